"""Handwriting: lines side by side, and what a model expects of the pen.

A line is its offsets [t, 3]: how far the pen goes to the right and down in each
move, and 1 where a stroke ends. Every picture is written as SVG and as PNG.

Shapes: t moves of the pen, m mixture components.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hyper.drawing.canvas import make_figure
from hyper.drawing.weight_change import color_of, shades

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

INK, PRIMED = 'black', 'tab:blue'
FAINT = np.array([0.85, 0.85, 0.85])  # where no weight changes
WIDTH = 7.0  # inches of a column
GAP = 0.35  # between lines, of the median height of a line
UP = np.array([1.0, -1.0])  # offsets go down, pictures up
LEAST_WEIGHT = 1e-3  # components of less weight are not drawn

Line = Float[np.ndarray, 't 3']
Placed = list[tuple[np.ndarray, np.ndarray]]  # lines and where they begin


def draw_page(
  columns: Mapping[str, Sequence[np.ndarray]], path: str, primed: int = 0
) -> list[str]:
  """Draws columns of lines, all to the same scale.

  Args:
    columns: title and lines of each column.
    path: the pictures, without an ending.
    primed: how many moves of each line were given to the model; they are drawn
      in another colour.

  Returns:
    The paths of the SVG and of the PNG.
  """
  placed = {title: _stack(lines) for title, lines in columns.items()}
  corners = np.concatenate([_box(lines) for lines in placed.values()])
  low, high = corners.min(0), corners.max(0)
  figure = _figure(high - low, columns=len(columns))
  for k, (title, lines) in enumerate(placed.items()):
    axes = figure.add_subplot(1, len(columns), k + 1)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect='equal')
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.axis('off')
    for line, place in lines:
      _draw_line(axes, line, place, primed)
  return _save(figure, path)


def draw_density(
  line: Line,
  path: str,
  weights: Float[np.ndarray, 't m'],
  means: Float[np.ndarray, 't m 2'],
  deviations: Float[np.ndarray, 't m 2'],
  correlations: Float[np.ndarray, 't m'],
) -> list[str]:
  """Draws where a model expects the pen while it reads a line.

  The upper panel has the densities of the pen's next place, summed over all
  moves; the lower one the weights of the mixture's components at each move
  (Graves, arXiv 1308.0850, figure 10).

  Args:
    line: the line that the model reads.
    path: of the pictures, without an ending.
    weights: of the components of the density of each offset of the line.
    means: of each component, in the unit of the line.
    deviations: of each component, in the unit of the line.
    correlations: of x and y.

  Returns:
    The paths of the SVG and of the PNG.
  """
  low, high = _box([(line, np.zeros(2))])
  margin = 0.05 * (high - low).max()
  low, high = low - margin, high + margin
  density = density_map(
    line, low, high, weights, means, deviations, correlations
  )
  figure = _figure(high - low, panel=1.2)
  above, below = figure.subplots(
    2, height_ratios=[1, 0.3], gridspec_kw={'hspace': 0.15}
  )
  colours = {'cmap': 'inferno', 'interpolation': 'nearest'}
  above.imshow(
    np.sqrt(density / density.max()),
    extent=(low[0], high[0], low[1], high[1]),
    origin='lower',
    vmin=0,
    vmax=0.6,
    **colours,
  )
  above.axis('off')
  below.imshow(weights.T, aspect='auto', **colours)
  below.set(xlabel='move', ylabel='component', yticks=[])
  return _save(figure, path)


def draw_weight_change(
  line: Line,
  rows: Float[np.ndarray, 't k'],
  gates: Sequence[str],
  path: str,
) -> list[str]:
  """Draws a line once for each gate, coloured by its weight changes (fig. 7).

  Moves of the lifted pen are thin lines. `weight_change.shades` maps
  intensities to colours.

  Args:
    line: the line that the network reads.
    rows: intensities of the k gates at each move, in [0, 1]; see
      `weight_change.intensities`.
    gates: their names.
    path: of the pictures, without an ending.

  Returns:
    The paths of the SVG and of the PNG.
  """
  placed = _stack([line] * len(gates))
  box = _box(placed)
  figure = _figure(box[1] - box[0])
  axes, shaded = figure.add_subplot(), shades(rows)
  for k, (gate, (_, place)) in enumerate(zip(gates, placed, strict=True)):
    _draw_shades(axes, line, place, shaded[:, k], color_of(k))
    axes.text(box[0, 0], place[1], f'{gate}  ', ha='right', va='center')
  axes.set(xlim=box[:, 0], ylim=box[:, 1], aspect='equal')
  axes.axis('off')
  return _save(figure, path)


def density_map(
  line: Line,
  low: Float[np.ndarray, '2'],
  high: Float[np.ndarray, '2'],
  weights: Float[np.ndarray, 't m'],
  means: Float[np.ndarray, 't m 2'],
  deviations: Float[np.ndarray, 't m 2'],
  correlations: Float[np.ndarray, 't m'],
  width: int = 900,
) -> Float[np.ndarray, 'height width']:
  """Sums the densities of the pen's next place over a line, on a grid.

  A component narrower than a pixel is widened to about one, so that none
  falls between the pixels.

  Args:
    line: the line that the model reads.
    low: the lower left corner of the grid, with y upwards.
    high: the upper right corner.
    weights: of the mixture, see `draw_density`.
    means: in the unit of the line.
    deviations: in the unit of the line.
    correlations: of x and y.
    width: pixels of the grid from left to right.

  Returns:
    The density per unit of area, lowest row first.
  """
  size = (high[0] - low[0]) / width
  shape = max(1, round((high[1] - low[1]) / size)), width
  density = np.zeros(shape)
  places = (np.cumsum(line[:, :2], 0) - line[:, :2]) * UP
  centres = (places[:, None] + UP * means - low) / size  # in pixels
  sigmas = np.hypot(deviations / size, 0.5)
  for t, k in np.argwhere(weights > LEAST_WEIGHT):
    # The sign of y changes, and so does that of the correlation.
    gaussian = centres[t, k], sigmas[t, k], -float(correlations[t, k])
    _add_gaussian(density, weights[t, k] / size**2, *gaussian)
  return density


def _add_gaussian(
  grid: np.ndarray,
  weight: float,
  centre: np.ndarray,
  sigma: np.ndarray,
  rho: float,
) -> None:
  """Adds a Gaussian's density to the pixels within four deviations of it."""
  ends = np.floor(centre - 4 * sigma), np.ceil(centre + 4 * sigma) + 1
  (x0, y0), (x1, y1) = np.clip(ends, 0, grid.shape[::-1]).astype(int)
  u = (np.arange(x0, x1) + 0.5 - centre[0]) / sigma[0]
  v = (np.arange(y0, y1)[:, None] + 0.5 - centre[1]) / sigma[1]
  rest = 1 - rho**2
  form = (u**2 + v**2 - 2 * rho * u * v) / rest
  norm = 2 * np.pi * sigma.prod() * np.sqrt(rest)
  grid[y0:y1, x0:x1] += weight * np.exp(-form / 2) / norm


def to_strokes(offsets: Line) -> list[Float[np.ndarray, 'n 2']]:
  """Returns the strokes of a line, as places that begin at (0, 0)."""
  places = np.concatenate([np.zeros((1, 2)), np.cumsum(offsets[:, :2], 0)])
  ends = np.flatnonzero(offsets[:, 2] > 0.5) + 2
  return [stroke for stroke in np.split(places, ends) if len(stroke)]


def _stack(lines: Sequence[np.ndarray]) -> Placed:
  """Places lines one below the other, their left edges at 0."""
  boxes = [_box([(line, np.zeros(2))]) for line in lines]
  gap = GAP * np.median([high[1] - low[1] for low, high in boxes])
  placed, top = [], 0.0
  for line, (low, high) in zip(lines, boxes, strict=True):
    placed.append((line, np.array([-low[0], top - high[1]])))
    top -= high[1] - low[1] + gap
  return placed


def _box(lines: Placed) -> Float[np.ndarray, '2 2']:
  """Returns the lower left and the upper right corner of lines, y upwards."""
  points = [
    np.concatenate(to_strokes(line)) * UP + place for line, place in lines
  ]
  every = np.concatenate(points)
  return np.stack([every.min(0), every.max(0)])


def _figure(size: np.ndarray, columns: int = 1, panel: float = 0.0) -> 'Figure':
  """Returns a figure for columns of lines that extend over `size` [2].

  A panel of `panel` inches has room below.
  """
  ratio = size[1] / max(size[0], 1e-6)
  height = WIDTH * float(np.clip(ratio, 0.1, 3)) + 0.3 + panel
  return make_figure(WIDTH * columns, height)


def _draw_line(
  axes: 'Axes', line: np.ndarray, place: np.ndarray, primed: int
) -> None:
  """Draws the strokes of a line; those that begin in the prime are PRIMED."""
  from matplotlib.collections import LineCollection

  strokes = to_strokes(line)
  begins = np.cumsum([0, *map(len, strokes)])[:-1]
  # A stroke of one point is a dot: a piece from the point to itself.
  pieces = [
    np.concatenate([stroke, stroke[-1:]]) * UP + place for stroke in strokes
  ]
  colours = [PRIMED if 0 < primed >= begin else INK for begin in begins]
  axes.add_collection(
    LineCollection(pieces, colors=colours, linewidths=1.0, capstyle='round')
  )


def _draw_shades(
  axes: 'Axes', line: np.ndarray, place: np.ndarray, x: np.ndarray, color: str
) -> None:
  """Draws each move of a line in `color`, as full as x [t] in [0, 1]."""
  from matplotlib.collections import LineCollection
  from matplotlib.colors import to_rgb

  ends = np.cumsum(line[:, :2], 0) * UP + place
  begins = np.concatenate([place[None], ends[:-1]])
  # A move is ink unless the one before it ended a stroke.
  is_ink = np.concatenate([[True], line[:-1, 2] < 0.5])
  axes.add_collection(
    LineCollection(
      list(np.stack([begins, ends], 1)),
      colors=(1 - x[:, None]) * FAINT + x[:, None] * np.array(to_rgb(color)),
      linewidths=np.where(is_ink, 1.6, 0.5),
      capstyle='round',
    )
  )


def _save(figure: 'Figure', path: str) -> list[str]:
  paths = [f'{path}.svg', f'{path}.png']
  for each in paths:
    figure.savefig(each)
  return paths
