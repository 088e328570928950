"""How much a HyperLSTM changes its weights from step to step (figure 4).

The effective weight of gate y at step t is diag(d_h^y(t)) W_h^y. The intensity
of its change is the Frobenius norm of its difference to the step before, over
the largest norm of that gate in the sample.

Deviation: the paper says neither which norm it takes nor what the colours are
relative to.
"""

import html
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

GATES = ('i', 'g', 'f', 'o')
COLORS = ('#e41a1c', '#4daf4a', '#377eb8', '#f0c000')  # rows of the figure
CAPTION = (
  'Rows, from above: Frobenius norm of the change of diag(d_h) W_h since the '
  'step before, for the gates i (red), g (green), f (blue), o (yellow), each '
  'over its maximum in the sample.'
)
COLUMNS = 80


def intensities(
  cell: Any, weights: dict[str, Array], carries: Any, start: Any
) -> Float[np.ndarray, 't 4']:
  """The intensity of the change of W_h at each step, in [0, 1].

  There is no step before the first, whose intensity is 0.

  Args:
    cell: one with `scaled_gates`.
    weights: its parameters.
    carries: the carries after each step, with time in front, of one stream
      (leaves [t, 1, k]).
    start: the carry before the first step (leaves [1, k]).

  Raises:
    ValueError: the cell scales no gates: its weights do not change.
  """
  if not cell.scaled_gates:
    raise ValueError(
      f'{type(cell).__name__} does not change its weights; weight changes are '
      'those of a cell with a hypernetwork.'
    )
  after, start = jax.tree.map(lambda x: x[..., 0, :], (carries, start))
  before = jax.tree.map(
    lambda x, y: np.concatenate([x[None], y[:-1]]), start, after
  )
  d_h = np.asarray(jax.jit(cell.scalings)(weights, before, after))
  norms = weight_change_norms(d_h, np.asarray(weights['w_h']))
  return norms / np.maximum(norms.max(0), np.finfo(np.float32).tiny)


def of_top_layer(
  model: Any, params: dict[str, Any], carries: Any
) -> Float[np.ndarray, 't 4']:
  """The intensities of a model's topmost cell, which reads from the start on.

  Args:
    model: with `cells` and `zeros`, as all our sequence models.
    params: its parameters.
    carries: the carries of all cells after each step, see `intensities`.

  Raises:
    ValueError: as `intensities`.
  """
  top = len(model.cells) - 1
  weights, start = params[f'cells_{top}'], model.zeros(1)[top]
  return intensities(model.cells[top], weights, carries[top], start)


def weight_change_norms(
  d_h: Float[np.ndarray, 't 4 n'], w_h: Float[np.ndarray, 'n 4*n']
) -> Float[np.ndarray, 't 4']:
  """Frobenius norms of diag(d_h(t) - d_h(t - 1)) W_h; 0 at the first step."""
  row_norms = np.linalg.norm(w_h, axis=0).reshape(4, -1)
  changes = np.diff(d_h, axis=0, prepend=d_h[:1])
  return np.linalg.norm(changes * row_norms, axis=-1)


def draw_text(
  symbols: list[str], rows: Float[np.ndarray, 't 4'], path: str
) -> None:
  """Writes a text with its four rows of intensity, as HTML or as a picture."""
  if path.endswith('.html'):
    with open(path, 'w', encoding='utf-8') as file:
      file.write(to_html(symbols, rows))
  else:
    _plot(symbols, rows, path)


def to_html(symbols: list[str], rows: Float[np.ndarray, 't 4']) -> str:
  """A page that needs no other file."""
  cells = []
  for symbol, row in zip(symbols, rows, strict=True):
    bars = ''.join(
      f'<i style="background:{color};opacity:{x:.3f}"></i>'
      for color, x in zip(COLORS, row, strict=True)
    )
    title = ' '.join(f'{y} {x:.2f}' for y, x in zip(GATES, row, strict=True))
    shown = html.escape(visible(symbol))
    cells.append(f'<span title="{title}"><b>{shown}</b>{bars}</span>')
  return _PAGE.format(caption=html.escape(CAPTION), text=''.join(cells))


def visible(symbol: str) -> str:
  """Something to see for each symbol; a line end is an arrow."""
  if symbol == '\n':
    return '\u21b5'
  is_shown = symbol.isprintable() and symbol != '\ufffd'
  return symbol if is_shown else '\u00b7'


def _plot(
  symbols: list[str], rows: Float[np.ndarray, 't 4'], path: str
) -> None:
  import matplotlib

  matplotlib.use('agg')
  from matplotlib import pyplot
  from matplotlib.collections import PatchCollection
  from matplotlib.colors import to_rgba
  from matplotlib.patches import Rectangle

  lines = -(-len(symbols) // COLUMNS)
  figure, axes = pyplot.subplots(
    figsize=(0.12 * COLUMNS, 0.3 * lines + 0.5), layout='constrained'
  )
  patches, colors = [], []
  for k, (symbol, row) in enumerate(zip(symbols, rows, strict=True)):
    line, column = divmod(k, COLUMNS)
    axes.text(column + 0.5, 3 * line + 1.2, visible(symbol), **_FONT)
    for gate, color in enumerate(COLORS):
      corner = (column, 3 * line + 1.45 + 0.3 * gate)
      patches.append(Rectangle(corner, 0.95, 0.28))
      colors.append(to_rgba(color, float(row[gate])))
  axes.add_collection(PatchCollection(patches, facecolors=colors))
  axes.set(xlim=(0, COLUMNS), ylim=(3 * lines + 0.2, 0))
  axes.set_axis_off()
  figure.suptitle(CAPTION, size=7, wrap=True)
  figure.savefig(path, dpi=150)
  pyplot.close(figure)


_FONT: dict[str, Any] = {
  'family': 'monospace',
  'size': 8,
  'horizontalalignment': 'center',
  'parse_math': False,
}
_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Weight changes of a HyperLSTM</title>
<style>
body {{ font: 16px monospace; margin: 2em; max-width: 90ch; }}
span {{ display: inline-block; width: 1ch; margin-bottom: .6em; }}
b {{ font-weight: normal; display: block; white-space: pre; }}
i {{ display: block; height: 4px; margin-bottom: 1px; }}
</style>
<p>{caption}</p>
<p>{text}</p>
"""
