"""A grid as text: for a terminal, as Markdown, CSV or LaTeX."""

import csv
import io
import sys
from collections.abc import Callable, Sequence

from hyper.compare.tables import Grid

FEW = 4  # columns shown however narrow the terminal
UNLIMITED = 10**6  # characters in a line


def terminal(grid: Grid) -> str:
  """Returns the columns that fit the terminal; quoted rows are grey.

  A file or a pipe gets all columns, each as wide as it is.
  """
  from rich.console import Console
  from rich.table import Table
  from rich.text import Text

  console = Console() if sys.stdout.isatty() else Console(width=UNLIMITED)
  count = fitting(grid, console.width)
  table = Table()
  for name in grid.header[:count]:
    table.add_column(name, overflow='fold')
  for k, row in enumerate(grid.rows):
    style = 'bright_black' if k in grid.quoted else None
    table.add_row(*map(escape_rich, row[:count]), style=style)
  below = notes(grid)
  if left_out := grid.header[count:]:
    below.append(
      f'wider terminals and --format=markdown: {", ".join(left_out)}'
    )
  with console.capture() as capture:
    if grid.title:
      console.print(Text(grid.title, 'table.title'))
    console.print(table)
    for line in below:
      console.print(line, markup=False, highlight=False)
  return capture.get()


def fitting(grid: Grid, width: int) -> int:
  """Returns how many columns fit into `width`, but at least FEW."""
  columns = zip(grid.header, *grid.rows, strict=True)
  used, count = 1, 0
  for column in columns:
    used += max(map(len, column)) + 3
    if used > width:
      break
    count += 1
  return max(count, min(FEW, len(grid.header)))


def escape_rich(text: str) -> str:
  """Returns `text`, escaped so that rich sees no markup.

  >>> escape_rich('LSTM [1]')
  'LSTM \\\\[1]'
  """
  return text.replace('[', '\\[')


def notes(grid: Grid) -> list[str]:
  """Returns the numbered notes."""
  return [f'[{k}] {note}' for k, note in enumerate(grid.notes, 1)]


def markdown(grid: Grid) -> str:
  """Returns a Markdown table, its title as a heading, its notes as a list."""
  lines = [f'## {grid.title}', ''] if grid.title else []
  lines += [markdown_row(grid.header), markdown_row(['---'] * len(grid.header))]
  for k, row in enumerate(grid.rows):
    quoted = k in grid.quoted
    lines.append(markdown_row([f'*{x}*' if quoted and x else x for x in row]))
  if grid.notes:
    lines += ['', *(f'- {line}' for line in notes(grid))]
  return '\n'.join(lines) + '\n'


def markdown_row(row: Sequence[str]) -> str:
  """Returns a row of a Markdown table; bars in cells are escaped."""
  return '| ' + ' | '.join(x.replace('|', '\\|') for x in row) + ' |'


def comma_separated(grid: Grid) -> str:
  """Returns CSV; the title is the first column, the notes are the last."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(('data', *grid.header, 'notes'))
  for row in grid.rows:
    referred = [
      note for k, note in enumerate(grid.notes, 1) if f'[{k}]' in ' '.join(row)
    ]
    writer.writerow((grid.title, *row, '; '.join(referred)))
  return text.getvalue()


def latex(grid: Grid) -> str:
  """Returns a table for the package booktabs."""
  lines = [
    '\\begin{table}',
    f'\\caption{{{escape_latex(grid.title)}}}',
    f'\\begin{{tabular}}{{{"l" * len(grid.header)}}}',
    '\\toprule',
    latex_row(grid.header),
    '\\midrule',
    *(latex_row(row) for row in grid.rows),
    '\\bottomrule',
    '\\end{tabular}',
    *(f'\\\\{{}}{escape_latex(line)}' for line in notes(grid)),
    '\\end{table}',
  ]
  return '\n'.join(lines) + '\n'


def latex_row(row: Sequence[str]) -> str:
  """Returns the cells of a row, with its end."""
  return ' & '.join(map(escape_latex, row)) + ' \\\\'


LATEX = {
  '\\': '\\textbackslash{}',
  **{x: f'\\{x}' for x in '&%$#_{}'},
  **{'~': '\\textasciitilde{}', '^': '\\textasciicircum{}', '±': '$\\pm$'},
  **{'[': '{[}', ']': '{]}', '<': '$<$', '>': '$>$'},
}


def escape_latex(text: str) -> str:
  """Returns `text`, escaped so that LaTeX prints it.

  >>> escape_latex('0.79 ± 0.10 %')
  '0.79 $\\\\pm$ 0.10 \\\\%'
  """
  return ''.join(LATEX.get(x, x) for x in text)


FORMATS: dict[str, Callable[[Grid], str]] = {
  'terminal': terminal,
  'markdown': markdown,
  'csv': comma_separated,
  'latex': latex,
}
