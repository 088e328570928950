"""How saturated LSTMs are: histograms of their hidden states (figure 5).

Those are phi(c_t) or, under layer norm, phi(LN(c_t)): what the output gate is
multiplied with.
"""

import math
from collections.abc import Mapping

import matplotlib
import numpy as np

BINS = 50


def draw(values: Mapping[str, np.ndarray], path: str) -> None:
  """Draws one normalised histogram for each run, on common axes.

  Args:
    values: by name, the hidden states of all units and steps, in [-1, 1].
    path: of the picture, .png or .svg.
  """
  matplotlib.use('agg')
  from matplotlib import pyplot

  columns = min(len(values), 2)
  lines = math.ceil(len(values) / columns)
  figure, grid = pyplot.subplots(
    *(lines, columns),
    figsize=(4.5 * columns, 3 * lines),
    sharex=True,
    sharey=True,
    squeeze=False,
    layout='constrained',
  )
  for axes in grid.flat[len(values) :]:
    axes.set_axis_off()
  for axes, (name, x) in zip(grid.flat, values.items(), strict=False):
    axes.hist(np.ravel(x), BINS, range=(-1, 1), density=True, color='#377eb8')
    share = np.mean(np.abs(x) > 0.9)
    axes.set_title(f'{name}: {share:.0%} beyond 0.9', size=10)
    axes.set(xlabel='hidden state before the output gate', ylabel='density')
  figure.savefig(path, dpi=120)
  pyplot.close(figure)
