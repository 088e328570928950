"""Pictures of kernels, free and generated (figures 2, 8, 12 and 13)."""

import fnmatch
import math
import os

import jax
import matplotlib
import numpy as np
from flax.traverse_util import flatten_dict

from hyper import configuration, trained
from hyper.generated import generated_shapes
from hyper.tasks.classify import Classify


def draw(
  workdirs: list[str], patterns: list[str], which: str, folder: str
) -> list[str]:
  """Draws kernels of runs side by side, one PNG for each; returns the paths.

  Args:
    workdirs: folders of image classification runs, in the order of the panels.
    patterns: shell patterns of parameter paths of the plain network; none
      means all that are generated in one of the runs.
    which: checkpoint, 'best' or 'latest'.
    folder: of the pictures.

  Raises:
    FileNotFoundError: no run folder, or no checkpoint in it.
    ValueError: a run of another task, or without one of the kernels.
  """
  runs = [Run(workdir, which) for workdir in workdirs]
  patterns = patterns or [path for run in runs for path in run.generated]
  names = [
    name
    for name in runs[0].kernels
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
  ]
  if not names:
    raise ValueError(
      f'{workdirs[0]} has no kernel to draw; name one with --kernel, of '
      f'{", ".join(runs[0].kernels)}.'
    )
  return [draw_one(runs, name, folder) for name in names]


class Run:
  """The kernels of a trained run, by their paths in the plain network."""

  def __init__(self, workdir: str, which: str):
    config = configuration.load(workdir)
    task, _, state = trained.load(config, workdir, '', which)
    if not isinstance(task, Classify):
      raise ValueError(
        f'{workdir} is a run of the task {config.task!r}; kernels are drawn '
        'of classify.'
      )
    self.workdir = workdir
    self.name = os.path.basename(os.path.normpath(workdir))
    self.image_shape = task.data.shape
    self.generated: list[str] = []
    if task.hypernetwork:
      image = np.zeros((1, *self.image_shape), np.float32)
      generate = task.hypernetwork.generate
      shapes = generated_shapes(task.main, generate, image, False)
      self.generated = ['/'.join(path) for path in shapes]
    variables = task.main_variables({'params': state.params})
    params = flatten_dict(jax.device_get(variables['params']), sep='/')
    self.kernels = {k: x for k, x in params.items() if x.ndim > 1}

  def filters(self, name: str) -> np.ndarray:
    """The filters of a kernel as one picture; ValueError if it has none."""
    if name not in self.kernels:
      raise ValueError(
        f'{self.workdir} has no kernel {name}; it has: '
        f'{", ".join(self.kernels)}.'
      )
    return mosaic(self.kernels[name], self.image_shape)


def draw_one(runs: list[Run], name: str, folder: str) -> str:
  """Draws a kernel of all runs, each in its own grey scale around zero."""
  matplotlib.use('agg')
  from matplotlib import pyplot

  pictures = [run.filters(name) for run in runs]
  os.makedirs(folder, exist_ok=True)
  figure, panels = pyplot.subplots(
    1,
    len(runs),
    figsize=(6 * len(runs), 6.4),
    layout='constrained',
    squeeze=False,
  )
  for axes, run, picture in zip(panels[0], runs, pictures, strict=True):
    largest = np.nanmax(np.abs(picture)) or 1.0
    axes.imshow(picture, cmap='gray', vmin=-largest, vmax=largest)
    kind = 'generated' if name in run.generated else 'free'
    axes.set_title(f'{run.name}: {name}, {kind}')
    axes.axis('off')
  path = os.path.join(folder, f'{name.replace("/", ".")}.png')
  figure.savefig(path, dpi=120)
  pyplot.close(figure)
  return path


def mosaic(kernel: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
  """Lays the filters of a kernel out as a picture, NaN between them.

  A kernel [h, w, i, o] becomes a grid of i rows and o columns; a matrix [p, u]
  over the pixels of a grey image becomes a grid of u filters, as square as
  can be; another matrix stays as it is.
  """
  height, width, channels = image_shape
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
