"""How much a hypernetwork changes a cell's weights at each step (figure 4).

The effective weight of gate y at step t is diag(d_h^y(t)) W_h^y (eq. 12). The
intensity of its change is the Frobenius norm of its difference to the step
before, over the largest norm of that gate in the sample.

Deviation: the paper says neither which norm it takes nor what the colours are
relative to. Here a colour is full from the 95th percentile of its gate on: the
first steps, from a state of zeros, change the weights most, and would leave the
others pale.

Shapes: t steps, k gates, n units.
"""

import html
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hyper import files
from hyper.drawing.canvas import make_figure

if TYPE_CHECKING:
  from matplotlib.axes import Axes

COLORS = (  # of the gates, in their order; i, g, f, o as in the figure
  *('#e41a1c', '#4daf4a', '#377eb8', '#e0a800'),
  *('#984ea3', '#f07f00', '#a65628', '#f781bf'),
)
CAPTION = (
  'Change of the weights that a gate has for the state, diag(d_h) W_h, since '
  'the symbol before: its Frobenius norm over the largest of the sample. '
  'Colours are full from the 95th percentile on.'
)
COLUMNS = 80  # symbols in a line of a picture


def intensities(
  d_h: Float[np.ndarray, 't k n'], w_h: Float[np.ndarray, 'n kn']
) -> Float[np.ndarray, 't k']:
  """Returns ||diag(d_h(t) - d_h(t-1)) W_h|| of each gate over its maximum.

  The first step has intensity 0, and so has a gate that never changes.

  Args:
    d_h: the factors that scale the rows of W_h at each step.
    w_h: W_h of the k gates side by side, one column for each unit, kn = k n.

  >>> d_h = np.array([[[1.0, 1.0]], [[1.0, 2.0]], [[1.0, 0.0]]])
  >>> intensities(d_h, np.eye(2)).tolist()
  [[0.0], [0.5], [1.0]]
  """
  row_norms = np.linalg.norm(w_h, axis=0).reshape(d_h.shape[1:])
  changes = np.diff(d_h, axis=0, prepend=d_h[:1])
  norms = np.linalg.norm(changes * row_norms, axis=-1)
  return norms / np.maximum(norms.max(0), np.finfo(np.float32).tiny)


def shades(rows: Float[np.ndarray, 't k']) -> Float[np.ndarray, 't k']:
  """Returns opacities in [0, 1]: 1 from the 95th percentile of a gate on.

  >>> rows = np.linspace(0, 1, 21)[:, None]
  >>> shades(rows)[[0, 1, 19, 20], 0].round(2).tolist()
  [0.0, 0.05, 1.0, 1.0]
  """
  full = np.percentile(rows, 95, axis=0) if len(rows) else 1.0
  return (rows / np.maximum(full, np.finfo(np.float32).tiny)).clip(0, 1)


def draw_text(
  symbols: Sequence[str],
  rows: Float[np.ndarray, 't k'],
  gates: Sequence[str],
  title: str,
  path: str,
) -> None:
  """Writes a text with a row of intensities for each gate.

  Args:
    symbols: the t symbols that were read.
    rows: the intensities at each symbol, in [0, 1].
    gates: the names of the k gates.
    title: such as 'runs/a at step 2,000'.
    path: of a page if it ends in .html, otherwise of a picture.
  """
  if path.endswith('.html'):
    files.write(path, to_html(symbols, rows, gates, title))
  else:
    _plot(symbols, rows, gates, title, path)


def to_html(
  symbols: Sequence[str],
  rows: Float[np.ndarray, 't k'],
  gates: Sequence[str],
  title: str,
) -> str:
  """Returns a page that needs no other file; arguments as in `draw_text`.

  The page is light or dark as the reader prefers. The values of a symbol appear
  when the pointer is on it.
  """
  key = ''.join(
    f'<dt><i class="c{k}"></i></dt><dd>gate {html.escape(gate)}</dd>'
    for k, gate in enumerate(gates)
  )
  return _PAGE.format(
    title=html.escape(title),
    caption=html.escape(CAPTION),
    colors=''.join(
      f'.c{k} {{ --c: {color_of(k)}; }}\n' for k in range(len(gates))
    ),
    key=key,
    text=''.join(_spans(symbols, rows, gates)),
  )


def color_of(gate: int) -> str:
  """Returns the colour of a gate, given its number from 0."""
  return COLORS[gate % len(COLORS)]


def visible(symbol: str) -> str:
  """Returns a visible character for a symbol; that of a line end is an arrow.

  >>> visible('a'), visible('\\n'), visible('\\x00')
  ('a', '↵', '·')
  """
  if symbol == '\n':
    return '\u21b5'
  is_shown = symbol.isprintable() and symbol != '\ufffd'
  return symbol if is_shown else '\u00b7'


def _spans(
  symbols: Sequence[str], rows: np.ndarray, gates: Sequence[str]
) -> Iterator[str]:
  """Yields a column for each symbol, and <br> after a line end."""
  for symbol, row, shade in zip(symbols, rows, shades(rows), strict=True):
    values = '  '.join(f'{y} {x:.2f}' for y, x in zip(gates, row, strict=True))
    bars = ''.join(
      f'<i class="c{k}"><u style="opacity:{x:.3f}"></u></i>'
      for k, x in enumerate(shade)
    )
    shown = html.escape(visible(symbol))
    label = f'{shown}  {html.escape(values)}'
    yield f'<span aria-label="{label}"><b>{shown}</b>{bars}</span>'
    if symbol == '\n':
      yield '<br>\n'


def _plot(
  symbols: Sequence[str],
  rows: np.ndarray,
  gates: Sequence[str],
  title: str,
  path: str,
) -> None:
  parts = _lines(symbols)
  height = 2 + 0.45 * len(gates)  # of a line, in widths of a symbol
  figure = make_figure(0.12 * COLUMNS, 0.12 * height * len(parts) + 1)
  axes = figure.add_subplot()
  colored = shades(rows)
  for line, part in enumerate(parts):
    _plot_line(axes, symbols[part], colored[part], line * height)
  axes.set(xlim=(0, COLUMNS), ylim=(height * len(parts), 0))
  axes.set_axis_off()
  figure.suptitle(f'Weight changes: {title}', size=9, parse_math=False)
  _plot_key(axes, gates)
  figure.savefig(path)


def _lines(symbols: Sequence[str]) -> list[slice]:
  """Splits a text after line ends and after COLUMNS symbols."""
  begins = [0]
  for k in range(1, len(symbols)):
    if k - begins[-1] == COLUMNS or symbols[k - 1] == '\n':
      begins.append(k)
  return [slice(*ends) for ends in itertools.pairwise([*begins, len(symbols)])]


def _plot_line(
  axes: 'Axes',
  symbols: Sequence[str],
  shaded: np.ndarray,
  top: float,
) -> None:
  """Draws a line of symbols and, below each, a bar for each gate."""
  from matplotlib.collections import PatchCollection
  from matplotlib.colors import to_rgba
  from matplotlib.patches import Rectangle

  bars, colors = [], []
  for column, (symbol, row) in enumerate(zip(symbols, shaded, strict=True)):
    axes.text(column + 0.5, top + 1.2, visible(symbol), **_FONT)
    for k, x in enumerate(row):
      bars.append(Rectangle((column, top + 1.5 + 0.45 * k), 0.95, 0.4))
      colors.append(to_rgba(color_of(k), float(x)))
  axes.add_collection(PatchCollection(bars, facecolors=colors))


def _plot_key(axes: 'Axes', gates: Sequence[str]) -> None:
  """Draws a legend of the gates, and the caption, below the text."""
  from matplotlib.patches import Patch

  axes.legend(
    handles=[
      Patch(color=color_of(k), label=f'gate {y}') for k, y in enumerate(gates)
    ],
    title=textwrap.fill(CAPTION, 120),
    title_fontsize=7,
    fontsize=8,
    ncols=len(gates),
    loc='upper center',
    bbox_to_anchor=(0.5, 0),
    frameon=False,
  )


_FONT: dict[str, Any] = {
  'family': 'monospace',
  'size': 10,
  'horizontalalignment': 'center',
  'parse_math': False,
}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Weight changes: {title}</title>
<style>
:root {{
  color-scheme: light dark;
  --ink: #1b1b1b; --paper: #fff; --track: #ececec;
}}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e6e6; --paper: #17191c; --track: #2b2e33; }}
}}
body {{
  font: 18px/1.3 ui-monospace, monospace; margin: 2em auto; padding: 0 1em;
  max-width: 80ch; color: var(--ink); background: var(--paper);
}}
h1 {{ font-size: 1.2em; }}
p, dl {{ font-size: .8em; }}
dl {{ display: flex; gap: .5em; align-items: center; }}
dd {{ margin: 0 1em 0 0; }}
dt i {{ width: 2em; background: var(--c); }}
main {{ margin-top: 2em; }}
span {{
  display: inline-block; width: 1ch; margin-bottom: .8em;
}}
b {{ font-weight: normal; display: block; white-space: pre; }}
i {{
  display: block; height: 8px; margin-bottom: 1px; background: var(--track);
}}
u {{ display: block; height: 100%; background: var(--c); }}
span:hover {{ outline: 1px solid var(--ink); }}
span:hover::after {{
  content: attr(aria-label); position: fixed; z-index: 1;
  bottom: 0; left: 0; right: 0;
  padding: .5em 1em; white-space: pre; text-align: center;
  color: var(--paper); background: var(--ink);
}}
{colors}</style>
<h1>Weight changes: {title}</h1>
<p>{caption} Point at a symbol for its values, which appear below.</p>
<dl>{key}</dl>
<main>{text}</main>
</html>
"""
