"""Kernels of image classifiers, free and generated, side by side."""

import fnmatch
import itertools
from collections.abc import Sequence

import jax
from flax.traverse_util import flatten_dict

from hyper import trained
from hyper.drawing import kernels
from hyper.figures import run_names


def draw(
  workdirs: Sequence[str],
  path: str,
  patterns: Sequence[str] = (),
  checkpoint: str | int = 'best',
) -> None:
  """Draws a row for each kernel, with a panel for each run.

  Args:
    workdirs: folders of image classification runs.
    path: of the picture.
    patterns: shell patterns of parameter paths in the plain network. Without
      any, the first kernel of each shape that one of the runs generates.
    checkpoint: 'best', 'latest' or a step.

  Raises:
    FileNotFoundError: there is no run folder, or no checkpoint in it.
    ValueError: a run is of another task, or lacks one of the kernels.
  """
  names = run_names(workdirs)
  runs = [Run(*each, checkpoint) for each in zip(workdirs, names, strict=True)]
  rows = [[run.panel(name) for run in runs] for name in choose(runs, patterns)]
  kernels.draw(rows, path)


def choose(runs: Sequence['Run'], patterns: Sequence[str]) -> list[str]:
  """Returns the paths of the kernels to draw, in the first network's order.

  Raises:
    ValueError: no kernel is generated, or no kernel matches a pattern.
  """
  found = runs[0].kernels
  generated = {name for run in runs for name in run.generated}
  firsts = {x.shape: k for k, x in reversed(found.items()) if k in generated}
  matched = [fnmatch.filter(found, pattern) for pattern in patterns]
  if not patterns:
    matched = [list(firsts.values())]
  if not all(matched):
    asked = patterns[matched.index([])] if patterns else 'that is generated'
    raise ValueError(
      f'{runs[0].workdir} has no kernel {asked}; name one with --kernel, of: '
      f'{", ".join(found)}.'
    )
  chosen = set(itertools.chain(*matched))
  return [name for name in found if name in chosen]


class Run:
  """The kernels of a trained run.

  Attributes:
    workdir: the run folder.
    kernels: all kernels, by their paths in the plain network.
    generated: the paths of those that a hypernetwork makes.
  """

  def __init__(self, workdir: str, name: str, checkpoint: str | int):
    run = trained.load(workdir, checkpoint, task='classify')
    task = run.task
    self.workdir, self._name = workdir, name
    self._image_shape = task.kind.shape
    main_params = jax.device_get(task.main_params(run.params))
    params = flatten_dict(main_params, sep='/')
    self.kernels = {k: x for k, x in params.items() if x.ndim > 1}
    free = run.params
    if task.hypernetwork:
      free = free.get('network', {})
    names = flatten_dict(free, sep='/')
    self.generated = [name for name in self.kernels if name not in names]

  def panel(self, name: str) -> kernels.Panel:
    """Returns a kernel as it is drawn.

    Raises:
      ValueError: the network has no such kernel.
    """
    if name not in self.kernels:
      raise ValueError(
        f'{self.workdir} has no kernel {name}; it has: '
        f'{", ".join(self.kernels)}.'
      )
    reads_images = all(x.ndim == 2 for x in self.kernels.values())
    kind = 'generated' if name in self.generated else 'free'
    return kernels.Panel(
      f'{self._name}: {name}, {kind}',
      *kernels.as_filters(
        self.kernels[name], self._image_shape if reads_images else ()
      ),
    )
