"""Pictures of kernels, free and generated (figures 2, 8, 12 and 13)."""

import fnmatch
import itertools
import math

import jax
import matplotlib
import numpy as np
from flax.traverse_util import flatten_dict

from hyper import trained
from hyper.figures import run_names


def draw(
  workdirs: list[str], patterns: list[str], which: str, path: str
) -> None:
  """Draws kernels as PNG or SVG: a row for each, with a panel for each run.

  Every panel has a grey scale of its own, with zero in the middle.

  Args:
    workdirs: folders of image classification runs.
    patterns: shell patterns of parameter paths of the plain network; none
      means the first of each shape that is generated in one of the runs.
    which: checkpoint, 'best' or 'latest'.
    path: of the picture.

  Raises:
    FileNotFoundError: no run folder, or no checkpoint in it.
    ValueError: a run of another task, or without one of the kernels.
  """
  matplotlib.use('agg')
  from matplotlib import pyplot

  names = run_names(workdirs)
  runs = [Run(*each, which) for each in zip(workdirs, names, strict=True)]
  chosen = choose(runs, patterns)
  rows = [[run.filters(name) for run in runs] for name in chosen]
  heights = [6 * max(x.shape[0] / x.shape[1] for x in line) for line in rows]
  figure, panels = pyplot.subplots(
    *(len(chosen), len(runs)),
    figsize=(6 * len(runs), sum(heights) + 0.3 * len(chosen)),
    height_ratios=heights,
    layout='constrained',
    squeeze=False,
  )
  for name, pictures, line in zip(chosen, rows, panels, strict=True):
    for axes, run, picture in zip(line, runs, pictures, strict=True):
      largest = np.nanmax(np.abs(picture)) or 1.0
      limits = {'vmin': -largest, 'vmax': largest}
      axes.imshow(picture, 'gray', interpolation='nearest', **limits)
      kind = 'generated' if name in run.generated else 'free'
      axes.set_title(f'{run.name}: {name}, {kind}')
      axes.set_axis_off()
  figure.savefig(path, dpi=120)
  pyplot.close(figure)


def choose(runs: list['Run'], patterns: list[str]) -> list[str]:
  """The paths of the kernels to draw, in the first network's order.

  Raises:
    ValueError: there are none, or none of one of the patterns.
  """
  kernels = runs[0].kernels
  generated = {name for run in runs for name in run.generated}
  firsts = {x.shape: k for k, x in reversed(kernels.items()) if k in generated}
  found = [fnmatch.filter(kernels, pattern) for pattern in patterns]
  if not patterns:
    found = [list(firsts.values())]
  if not all(found):
    asked = f'kernel {patterns[found.index([])]}' if patterns else 'such kernel'
    raise ValueError(
      f'{runs[0].workdir} has no {asked}; name one with --kernel, of: '
      f'{", ".join(kernels)}.'
    )
  chosen = set(itertools.chain(*found))
  return [name for name in kernels if name in chosen]


class Run:
  """The kernels of a trained run, by their paths in the plain network."""

  def __init__(self, workdir: str, name: str, which: str):
    task, state = trained.load_classifier(workdir, which)
    self.workdir, self.name = workdir, name
    self._image_shape = task.kind.shape
    main_params = jax.device_get(task.main_params(state.params))
    params = flatten_dict(main_params, sep='/')
    self.kernels = {k: x for k, x in params.items() if x.ndim > 1}
    free = state.params
    if task.hypernetwork:
      free = free.get('network', {})
    names = flatten_dict(free, sep='/')
    self.generated = [name for name in self.kernels if name not in names]

  def filters(self, name: str) -> np.ndarray:
    """The filters of a kernel as one picture; ValueError if it has none."""
    if name not in self.kernels:
      raise ValueError(
        f'{self.workdir} has no kernel {name}; it has: '
        f'{", ".join(self.kernels)}.'
      )
    is_perceptron = all(x.ndim == 2 for x in self.kernels.values())
    return mosaic(
      self.kernels[name], self._image_shape if is_perceptron else None
    )


def mosaic(
  kernel: np.ndarray, image_shape: tuple[int, int, int] | None
) -> np.ndarray:
  """Lays the filters of a kernel out as a picture, NaN between them.

  A kernel [h, w, i, o] becomes a grid of i rows and o columns; a matrix [p, u]
  over the pixels of a grey image, where matrices read images at all, becomes a
  grid of u filters, as square as can be; another matrix stays as it is.
  """
  height, width, channels = image_shape or (0, 0, 0)
  if kernel.ndim == 2 and channels == 1 and len(kernel) == height * width:
    rows = math.isqrt(kernel.shape[1])
    while kernel.shape[1] % rows:
      rows -= 1
    kernel = kernel.reshape(height, width, rows, -1)
  if kernel.ndim != 4:
    return kernel.reshape(-1, kernel.shape[-1])
  h, w, i, o = kernel.shape
  framed = np.full((i, h + 1, o, w + 1), np.nan, np.float32)
  framed[:, :h, :, :w] = kernel.transpose(2, 0, 3, 1)
  return framed.reshape(i * (h + 1), o * (w + 1))[:-1, :-1]
