"""Kernels, free and generated, as grids of filters (figures 2, 8, 12, 13).

Shapes: h, w the places of a filter; i, o input and output channels.
"""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from hyper.drawing.canvas import make_figure

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.axis import Axis

WIDTH = 6.0  # inches of a panel
TALLEST = 2.0  # height of a panel over its width
MOST_TICKS = 9
BETWEEN = '#cfe0f0'  # between filters; not grey, since weights are


class Panel(NamedTuple):
  """A kernel with its title and labels.

  Attributes:
    title: such as 'runs/hyper: conv2/kernel, generated'.
    kernel: its filters; a matrix has h = w = 1.
    labels: of the rows and of the columns.
  """

  title: str
  kernel: Float[np.ndarray, 'h w i o']
  labels: tuple[str, str]


def draw(rows: Sequence[Sequence[Panel]], path: str) -> None:
  """Draws rows of panels, each with a grey scale of its own around zero.

  Args:
    rows: of equal length; a row is a kernel, a column a run.
    path: the picture; its ending chooses the format.
  """
  heights = [WIDTH * max(map(_ratio, row)) for row in rows]
  columns = len(rows[0])
  figure = make_figure(WIDTH * columns, sum(heights) + 1.0 * len(rows))
  grid = figure.subplots(
    *(len(rows), columns), height_ratios=heights, squeeze=False
  )
  for axes, panel in zip(grid.flat, itertools.chain(*rows), strict=True):
    _draw_panel(axes, panel)
  figure.savefig(path)


def as_filters(
  kernel: Float[np.ndarray, '...'], image_shape: tuple[int, ...] = ()
) -> tuple[Float[np.ndarray, 'h w i o'], tuple[str, str]]:
  """Returns a kernel's filters [h, w, i, o], and labels of i and o.

  Args:
    kernel: [h, w, i, o], or a matrix [inputs, units].
    image_shape: height, width and channels of the images that a matrix reads;
      empty if it reads none. A matrix over the pixels of a grey image becomes a
      grid with one filter for each unit, as square as the number allows.
  """
  height, width, channels = image_shape or (0, 0, 0)
  if kernel.ndim == 2 and channels == 1 and len(kernel) == height * width:
    rows = math.isqrt(kernel.shape[1])
    while kernel.shape[1] % rows:
      rows -= 1
    filters = kernel.reshape(height, width, rows, -1)
    return filters, ('row of units', 'unit of the row')
  if kernel.ndim == 4:
    return kernel, ('input channel', 'output channel')
  matrix = kernel.reshape(-1, kernel.shape[-1])
  return matrix[None, None], ('input', 'unit')


def mosaic(
  kernel: Float[np.ndarray, 'h w i o'],
) -> Float[np.ndarray, 'height width']:
  """Lays filters out as a grid of i rows and o columns, NaN between them.

  There are no lines between filters of one row, or of one column.
  """
  h, w, i, o = kernel.shape
  gaps = int(h > 1), int(w > 1)
  framed = np.full((i, h + gaps[0], o, w + gaps[1]), np.nan, np.float32)
  framed[:, :h, :, :w] = kernel.transpose(2, 0, 3, 1)
  grid = framed.reshape(i * framed.shape[1], -1)
  return grid[: len(grid) - gaps[0], : grid.shape[1] - gaps[1]]


def _ratio(panel: Panel) -> float:
  """Returns the height of a panel's picture over its width, bounded."""
  height, width = mosaic(panel.kernel).shape
  return min(height / width, TALLEST)


def _draw_panel(axes: 'Axes', panel: Panel) -> None:
  picture = mosaic(panel.kernel)
  largest = float(np.nanmax(np.abs(picture))) or 1.0
  image = axes.imshow(picture, 'gray', interpolation='nearest')
  image.set_clim(-largest, largest)
  if _ratio(panel) == TALLEST:
    axes.set_aspect('auto')
  axes.set_facecolor(BETWEEN)
  h, w, i, o = panel.kernel.shape
  size = f'{h} x {w}, ' if h * w > 1 else ''
  range_ = f'{size}black {-largest:.3g} to white {largest:.3g}'
  axes.set_title(f'{panel.title}\n{range_}', size=9, parse_math=False)
  _number(axes.yaxis, panel.labels[0], h, i)
  _number(axes.xaxis, panel.labels[1], w, o)


def _number(axis: 'Axis', label: str, size: int, count: int) -> None:
  """Labels an axis, with channel numbers at the centres of their filters."""
  shown = range(0, count, -(-count // MOST_TICKS))
  pitch = size + 1 if size > 1 else 1
  axis.set_ticks([pitch * k + (size - 1) / 2 for k in shown], map(str, shown))
  axis.set_label_text(label)
