"""A page of tables, curves and pictures that needs no network and no server."""

import base64
import html
import importlib.resources
import json
import os
import string
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hyper import files
from hyper.compare import curves, places, studies, tables
from hyper.compare.entries import Entry
from hyper.compare.tables import Grid
from hyper.drawing.progress import Curve, unit_of
from hyper.runs import folder
from hyper.sweeping import analysis, journal

IMAGES = {'.png': 'image/png', '.svg': 'image/svg+xml'}
TEXTS = ('.txt', '.md')
# Names of files and folders with other texts and pictures: logs, and copies.
NO_SAMPLES = {
  *('README.md', journal.LOG, 'wandb'),
  *(folder.CHECKPOINTS, folder.TENSORBOARD, folder.PROFILE),
}


def write(
  entries: Sequence[Entry],
  folders: Sequence[str],
  path: str,
  known: Mapping[str, Any] = MappingProxyType({}),
) -> None:
  """Writes the page.

  Args:
    entries: of the runs.
    folders: searched for pictures, samples and pages of figures.
    path: of the page.
    known: studies among the folders, by their folder.
  """
  template = importlib.resources.files('hyper.compare') / 'page.html'
  text = string.Template(template.read_text(encoding='utf-8')).substitute(
    title=html.escape(f'Runs in {", ".join(folders)}'),
    tables=''.join(map(table, tables.compare(entries))),
    studies=''.join(of_study(place, x) for place, x in known.items()),
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


def of_study(place: str, study: Any) -> str:
  """Returns tables and Optuna's plots of a study as HTML."""
  shown = ''.join(map(table, studies.tables(place, study)))
  for name, content in analysis.plots(study):
    caption = html.escape(f'{place}, {name.replace("_", " ")}')
    shown += figure(image(content, 'image/png', caption), caption)
  return shown


def image(content: bytes, kind: str, caption: str) -> str:
  """Returns an image with its content in it."""
  encoded = base64.b64encode(content).decode()
  return f'<img alt="{caption}" src="data:{kind};base64,{encoded}">'


def figure(shown: str, caption: str) -> str:
  """Returns a figure with a caption."""
  return f'<figure>{shown}<figcaption>{caption}</figcaption></figure>\n'


def data(entries: Sequence[Entry]) -> str:
  """Returns the curves as JSON that may stand in a script element."""
  found = curves.of_runs(entries).items()
  panels = [panel(title, shown) for title, shown in found]
  return json.dumps(panels).replace('<', '\\u003c')


def panel(title: str, shown: Sequence[Curve]) -> dict[str, Any]:
  """Returns curves that are drawn together."""
  unit = unit_of(shown)
  return {
    'title': title,
    'metric': shown[0].metric,
    'unit': unit,
    'curves': [
      {
        'name': x.name,
        'points': [*zip(x.steps, x.times(unit), x.values, strict=True)],
      }
      for x in shown
    ],
  }


def pictures(folders: Sequence[str], page: str) -> list[str]:
  """Returns the paths of pictures, samples and pages under the folders.

  Args:
    folders: of runs.
    page: the page itself, which is left out.
  """
  endings = (*IMAGES, *TEXTS, '.html')
  found = [
    os.path.join(root, name)
    for place in folders
    for root, names in places.walk(place)
    for name in names
    if name.endswith(endings)
    and not {*os.path.relpath(root, place).split(os.sep), name} & NO_SAMPLES
  ]
  own = os.path.realpath(page)
  return [x for x in places.once(found) if os.path.realpath(x) != own]


def picture(path: str) -> str:
  """Returns an HTML figure that holds the content of a file."""
  with open(path, 'rb') as file:
    content = file.read()
  ending = os.path.splitext(path)[1]
  caption = html.escape(path)
  if ending in IMAGES:
    shown = image(content, IMAGES[ending], caption)
  elif ending in TEXTS:
    shown = f'<pre>{html.escape(content.decode(errors="replace"))}</pre>'
  else:
    inside = html.escape(content.decode(errors='replace'))
    shown = f'<iframe sandbox title="{caption}" srcdoc="{inside}"></iframe>'
  return figure(shown, caption)
