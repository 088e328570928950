"""Compares runs with the paper and with each other.

  python -m hyper.compare runs/ptb_lstm runs/ptb_hyper
  python -m hyper.compare results --format=markdown
  python -m hyper.compare results --paper
  python -m hyper.compare runs --curves=runs/curves.png --html=runs/runs.html
  python -m hyper.compare studies/units --plots=runs/plots
  python -m hyper.compare results --readme=README.md

Folders are run folders or have run folders in them. Runs that differ only in
their seed are one row, with the mean and the deviation of their scores at the
best validation score. A score on test is there once evaluate.py has run. Of a
study of hyper.sweep the best trials and the importance of what varies are
shown too.
"""

import re
from collections.abc import Mapping
from typing import Any

from absl import flags

from hyper import files
from hyper.compare import (
  curves,
  entries,
  finished,
  page,
  records,
  studies,
  tables,
)
from hyper.compare.entries import Entry
from hyper.compare.formats import FORMATS, markdown
from hyper.runs import commands

FLAGS = flags.FLAGS
MARKED = re.compile(r'(<!-- results -->\n).*?(<!-- /results -->)', re.S)


def main(folders: list[str]) -> None:
  """Prints tables of the runs in `folders`, and writes files if flags ask."""
  commands.prepare_output(FLAGS.curves, ('png', 'svg', 'pdf'), '--curves')
  commands.prepare_output(FLAGS.html, ('html',), '--html')
  runs = [finished.read(workdir) for workdir in finished.find(folders)]
  found, known = entries.group(runs), studies.read(folders)
  if FLAGS.curves:
    curves.draw(found, FLAGS.curves)
  if FLAGS.html:
    page.write(found, folders, FLAGS.html, known)
  if FLAGS.plots:
    plot(known, FLAGS.plots)
  if FLAGS.readme:
    update(FLAGS.readme, found)
  if FLAGS.format == 'csv' and not FLAGS.paper:
    print(records.comma_separated(found))
  else:
    grids = tables.rows_of_the_paper if FLAGS.paper else tables.compare
    for grid in grids(found):
      print(FORMATS[FLAGS.format](grid))
  for place, study in known.items():
    for grid in studies.tables(place, study):
      print(FORMATS[FLAGS.format](grid))


def plot(known: Mapping[str, Any], folder: str) -> None:
  """Writes Optuna's plots of studies.

  Raises:
    ValueError: there are no studies.
  """
  if not known:
    raise ValueError(
      '--plots draws studies of hyper.sweep, and the folders given have none.'
    )
  studies.draw(known, folder)


def update(path: str, found: list[Entry]) -> None:
  """Writes the table of eight rows between the marks in a Markdown file.

  Raises:
    ValueError: the file does not have the marks.
  """
  with open(path, encoding='utf-8') as file:
    text = file.read()
  if not MARKED.search(text):
    raise ValueError(
      f'{path} has no place for the table; put the lines <!-- results --> and '
      '<!-- /results --> where it belongs.'
    )
  table = markdown(tables.readme(found))
  text = MARKED.sub(lambda found: f'{found[1]}{table}{found[2]}', text)
  files.write(path, text)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_enum(
    'format', 'terminal', list(FORMATS), 'Format of the tables.'
  )
  flags.DEFINE_bool(
    'paper',
    False,
    'Print every row of the paper, with its command and what is missing.',
  )
  flags.DEFINE(
    commands.PATH,
    'curves',
    '',
    'Picture to write: validation over steps and over time.',
  )
  flags.DEFINE(
    commands.PATH,
    'html',
    '',
    'Page to write: tables, curves, and pictures in the folders.',
  )
  flags.DEFINE(
    commands.PATH,
    'plots',
    '',
    "Folder for Optuna's plots of the studies given, as PNG.",
  )
  flags.DEFINE(
    commands.PATH,
    'readme',
    '',
    'Markdown file whose marked table of results is replaced.',
  )


if __name__ == '__main__':
  commands.start(main, define_flags, operands='run folders')
