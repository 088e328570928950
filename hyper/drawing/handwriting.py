"""Pictures of handwriting: lines side by side, and what a model expects.

Lines are offsets [t, 3] as in `hyper.data.strokes`, with y downwards. Every
picture is written as SVG and as PNG.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hyper.data.strokes import Normalisation, to_strokes
from hyper.drawing.weight_change import COLORS, GATES

INK, PRIMED = 'black', 'tab:blue'
FAINT = np.array([0.85, 0.85, 0.85])  # where no weight changes
WIDTH = 7.0  # inches of a column
GAP = 0.35  # between lines, of the median height of a line


def draw_page(
  columns: Mapping[str, Sequence[np.ndarray]], path: str, primed: int = 0
) -> list[str]:
  """Draws columns of lines, all to the same scale.

  Args:
    columns: title and lines, offsets [t, 3], of each column.
    path: of the pictures, without an ending.
    primed: how many steps of each line are drawn in another colour, because
      they were given to the model.

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
    axes.set_title(title, fontsize=9)
    axes.axis('off')
    for line, place in lines:
      _draw_line(axes, line, place, primed)
  return _save(figure, path)


def draw_density(
  mixture: Mapping[str, np.ndarray],
  normalisation: Normalisation,
  line: np.ndarray,
  path: str,
) -> list[str]:
  """Draws where a model expects the pen while it reads a line.

  Above, the densities of the pen's next place, summed over all steps; below,
  the weights of the mixture's components at each step (Graves, arXiv
  1308.0850, figure 10).

  Args:
    mixture: log_pi [t, m], mu and log_sigma [t, m, 2], rho_hat [t, m], as of
      `losses.to_mixture`, each of the step that the line then makes.
    normalisation: of the numbers in `mixture`.
    line: offsets [t, 3].
    path: of the pictures, without an ending.

  Returns:
    The paths of the SVG and of the PNG.
  """
  low, high = _box([(line, np.zeros(2))])
  margin = 0.05 * (high - low).max()
  low, high = low - margin, high + margin
  density = density_map(mixture, normalisation, line, low, high)
  figure = _figure(high - low, panel=1.2)
  above, below = figure.subplots(
    2, height_ratios=[1, 0.3], gridspec_kw={'hspace': 0.15}
  )
  above.imshow(
    np.sqrt(density / density.max()),
    extent=(low[0], high[0], low[1], high[1]),
    origin='lower',
    cmap='inferno',
    vmin=0,
    vmax=0.6,
  )
  above.axis('off')
  below.imshow(
    np.exp(mixture['log_pi']).T,
    aspect='auto',
    cmap='inferno',
    interpolation='nearest',
  )
  below.set(xlabel='step', ylabel='component', yticks=[])
  return _save(figure, path)


def draw_weight_change(
  line: np.ndarray, rows: np.ndarray, path: str
) -> list[str]:
  """Draws a line once for each gate, coloured by its weight changes (fig. 7).

  Moves of the lifted pen, where much may change, are thin lines.

  Deviation: the paper does not say what the colours are relative to. Here a
  colour is full from the 95th percentile of its gate on, since the first steps,
  from a state of zeros, change the weights most.

  Args:
    line: offsets [t, 3].
    rows: intensities [t, 4] of gates i, g, f, o as the network reads each step,
      in [0, 1]; see `weight_change.intensities`.
    path: of the pictures, without an ending.

  Returns:
    The paths of the SVG and of the PNG.
  """
  from matplotlib.collections import LineCollection
  from matplotlib.colors import to_rgb

  placed = _stack([line] * len(GATES))
  box = _box(placed)
  figure = _figure(box[1] - box[0])
  axes = figure.add_subplot()
  # A step is ink if the one before it did not end a stroke.
  is_ink = np.concatenate([[True], line[:-1, 2] < 0.5])
  for k, (_, place) in enumerate(placed):
    ends = np.cumsum(line[:, :2], 0) * (1, -1) + place
    begins = np.concatenate([place[None], ends[:-1]])
    full = max(np.percentile(rows[:, k], 95), np.finfo(np.float32).tiny)
    x = (rows[:, k, None] / full).clip(0, 1)
    axes.add_collection(
      LineCollection(
        list(np.stack([begins, ends], 1)),
        colors=(1 - x) * FAINT + x * np.array(to_rgb(COLORS[k])),
        linewidths=np.where(is_ink, 1.6, 0.5),
        capstyle='round',
      )
    )
    axes.text(box[0, 0], place[1], f'{GATES[k]}  ', ha='right', va='center')
  axes.set(xlim=box[:, 0], ylim=box[:, 1], aspect='equal')
  axes.axis('off')
  return _save(figure, path)


def density_map(
  mixture: Mapping[str, np.ndarray],
  normalisation: Normalisation,
  line: np.ndarray,
  low: np.ndarray,
  high: np.ndarray,
  width: int = 900,
) -> np.ndarray:
  """The densities of the pen's next place, summed over a line, on a grid.

  A component narrower than a pixel is widened to about one, so that none
  falls between the pixels.

  Args:
    mixture: see `draw_density`.
    normalisation: see `draw_density`.
    line: offsets [t, 3].
    low: the lower left corner of the grid [2], with y upwards.
    high: the upper right corner.
    width: pixels of the grid from left to right.

  Returns:
    The density per unit of area, [height, width], lowest row first.
  """
  size = (high[0] - low[0]) / width
  height = max(1, round((high[1] - low[1]) / size))
  density = np.zeros((height, width))
  up = np.array([1.0, -1.0])
  places = (np.cumsum(line[:, :2], 0) - line[:, :2]) * up
  means = places[:, None] + up * (
    mixture['mu'] * normalisation.deviation + normalisation.mean
  )
  sigmas = np.exp(mixture['log_sigma']) * normalisation.deviation
  sigmas = np.hypot(sigmas, size / 2)
  rhos = -np.tanh(mixture['rho_hat'])  # y is turned over
  weights = np.exp(mixture['log_pi'])
  for t, k in np.argwhere(weights > 1e-3):
    mean, sigma, rho = means[t, k], sigmas[t, k], rhos[t, k]
    first = np.floor((mean - 4 * sigma - low) / size).astype(int)
    last = np.ceil((mean + 4 * sigma - low) / size).astype(int) + 1
    (x0, y0), (x1, y1) = first.clip(0), last.clip(0, (width, height))
    if x0 >= x1 or y0 >= y1:
      continue
    u = (low[0] + (np.arange(x0, x1) + 0.5) * size - mean[0]) / sigma[0]
    v = (low[1] + (np.arange(y0, y1) + 0.5) * size - mean[1]) / sigma[1]
    rest = 1 - rho**2
    form = u[None] ** 2 + v[:, None] ** 2 - 2 * rho * u[None] * v[:, None]
    norm = 2 * np.pi * sigma.prod() * np.sqrt(rest)
    density[y0:y1, x0:x1] += weights[t, k] * np.exp(-form / (2 * rest)) / norm
  return density


Placed = list[tuple[np.ndarray, np.ndarray]]


def _stack(lines: Sequence[np.ndarray]) -> Placed:
  """Lines with the places where they begin, one below the other."""
  boxes = [_box([(line, np.zeros(2))]) for line in lines]
  gap = GAP * np.median([high[1] - low[1] for low, high in boxes])
  placed, top = [], 0.0
  for line, (low, high) in zip(lines, boxes, strict=True):
    placed.append((line, np.array([-low[0], top - high[1]])))
    top -= high[1] - low[1] + gap
  return placed


def _box(lines: Placed) -> np.ndarray:
  """The corners [2, 2] of what lines take up, with y upwards."""
  points = [
    np.concatenate(to_strokes(line)) * (1, -1) + place for line, place in lines
  ]
  every = np.concatenate(points)
  return np.stack([every.min(0), every.max(0)])


def _figure(size: np.ndarray, columns: int = 1, panel: float = 0.0) -> Any:
  """A figure for columns of such a width and height, in any unit."""
  from matplotlib.figure import Figure  # slow, and only drawing needs it

  ratio = size[1] / max(size[0], 1e-6)
  height = WIDTH * float(np.clip(ratio, 0.1, 3)) + 0.3 + panel
  return Figure((WIDTH * columns, height), layout='constrained')


def _draw_line(
  axes: Any, line: np.ndarray, place: np.ndarray, primed: int
) -> None:
  """Draws the strokes of a line; those begun in the prime in its colour."""
  from matplotlib.collections import LineCollection

  strokes = to_strokes(line)
  begins = np.cumsum([0, *map(len, strokes)])[:-1]
  # A stroke of one point is a dot: a piece from the point to itself.
  pieces = [
    np.concatenate([stroke, stroke[-1:]]) * (1, -1) + place
    for stroke in strokes
  ]
  colours = [PRIMED if 0 < primed >= begin else INK for begin in begins]
  axes.add_collection(
    LineCollection(pieces, colors=colours, linewidths=1.0, capstyle='round')
  )


def _save(figure: Any, path: str) -> list[str]:
  paths = [f'{path}.svg', f'{path}.png']
  for each in paths:
    figure.savefig(each, dpi=120)
  return paths
