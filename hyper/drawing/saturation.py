"""How saturated LSTMs are: histograms of their hidden states (figure 5)."""

import math
from collections.abc import Mapping

import numpy as np

from hyper.drawing.canvas import make_figure

BINS = 50
SATURATED = 0.9


def draw(values: Mapping[str, np.ndarray], path: str) -> None:
  """Draws a normalised histogram for each run, all on common axes.

  Each title gives the share of states beyond 0.9 in absolute value.

  Args:
    values: by run, tanh(c), or tanh(LN(c)) under layer norm, of all units and
      steps, in [-1, 1]; an array of any shape.
    path: the picture; its ending chooses the format.
  """
  columns = min(len(values), 2)
  lines = math.ceil(len(values) / columns)
  figure = make_figure(4.5 * columns, 3.0 * lines)
  grid = figure.subplots(
    *(lines, columns), sharex=True, sharey=True, squeeze=False
  )
  for axes in grid.flat[len(values) :]:
    axes.set_axis_off()
  for axes, (name, x) in zip(grid.flat, values.items(), strict=False):
    axes.tick_params(labelbottom=True)  # also where no panel is below
    axes.hist(np.ravel(x), BINS, range=(-1, 1), density=True, color='#377eb8')
    share = np.mean(np.abs(x) > SATURATED)
    title = f'{name}: {share:.0%} beyond {SATURATED}'
    axes.set_title(title, size=10, parse_math=False)
    axes.set(xlabel='hidden state before the output gate', ylabel='density')
  figure.savefig(path)
