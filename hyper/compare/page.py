"""A page of tables, curves and pictures that needs no network and no server."""

import base64
import html
import importlib.resources
import json
import os
import string
from collections.abc import Sequence

from hyper import files
from hyper.compare import curves, tables
from hyper.compare.entries import Entry
from hyper.compare.tables import Grid

IMAGES = {'.png': 'image/png', '.svg': 'image/svg+xml'}
TEXTS = ('.txt', '.md')


def write(entries: Sequence[Entry], folders: Sequence[str], path: str) -> None:
  """Writes the page.

  Args:
    entries: of the runs.
    folders: in which pictures, samples and pages of figures are looked for.
    path: of the page.
  """
  template = importlib.resources.files('hyper.compare') / 'page.html'
  text = string.Template(template.read_text(encoding='utf-8')).substitute(
    title=html.escape(f'Runs in {", ".join(folders)}'),
    tables=''.join(map(table, tables.compare(entries))),
    pictures=''.join(map(picture, pictures(folders, path))),
    data=data(entries),
  )
  files.write(path, text)


def table(grid: Grid) -> str:
  """Returns a grid as HTML."""
  head = ''.join(f'<th>{html.escape(name)}' for name in grid.header)
  rows = ''.join(
    f'<tr{" class=quoted" if k in grid.quoted else ""}>'
    + ''.join(f'<td>{html.escape(cell)}' for cell in row)
    for k, row in enumerate(grid.rows)
  )
  notes = ''.join(f'<li>{html.escape(note)}' for note in grid.notes)
  return (
    f'<h2>{html.escape(grid.title)}</h2>\n'
    f'<div class=wide><table><tr>{head}{rows}</table></div>\n<ol>{notes}</ol>\n'
  )


def data(entries: Sequence[Entry]) -> str:
  """Returns the curves as JSON that may stand in a script element."""
  panels = [
    {
      'title': title,
      'metric': found[0].metric,
      'curves': [
        {
          'name': curve.name,
          'points': [*zip(curve.steps, curve.hours, curve.values, strict=True)],
        }
        for curve in found
      ],
    }
    for title, found in curves.collect(entries).items()
  ]
  return json.dumps(panels).replace('<', '\\u003c')


def pictures(folders: Sequence[str], page: str) -> list[str]:
  """Returns the paths of pictures, samples and pages under the folders.

  Args:
    folders: of runs.
    page: the page itself, which is none of them.
  """
  endings = (*IMAGES, *TEXTS, '.html')
  found = [
    os.path.join(root, name)
    for folder in folders
    for root, _, names in sorted(os.walk(folder))
    for name in sorted(names)
    if name.endswith(endings) and name != 'README.md'
  ]
  return [x for x in found if os.path.abspath(x) != os.path.abspath(page)]


def picture(path: str) -> str:
  """Returns a figure with the content of a file in it."""
  with open(path, 'rb') as file:
    content = file.read()
  ending = os.path.splitext(path)[1]
  caption = html.escape(path)
  if ending in IMAGES:
    encoded = base64.b64encode(content).decode()
    shown = (
      f'<img alt="{caption}" src="data:{IMAGES[ending]};base64,{encoded}">'
    )
  elif ending in TEXTS:
    shown = f'<pre>{html.escape(content.decode(errors="replace"))}</pre>'
  else:
    inside = html.escape(content.decode(errors='replace'))
    shown = f'<iframe sandbox title="{caption}" srcdoc="{inside}"></iframe>'
  return f'<figure>{shown}<figcaption>{caption}</figcaption></figure>\n'
