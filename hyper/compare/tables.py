"""Tables of entries, as plain cells: what any format shows."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hyper import paper
from hyper.compare import labels
from hyper.compare.entries import Entry, difference, figure, printed
from hyper.paper import Row, Table, recipes

HEADER = (
  *('network', 'paper', 'here', 'difference', "paper's parameters"),
  *('our parameters', 'steps', 'time', 'speed', 'hardware', 'runs'),
)
ROWS_HEADER = (
  *('network', 'paper', 'measured', 'of other configs', 'missing'),
  *('parameters', 'computed', 'command'),
)
README_HEADER = ('experiment', 'config', 'paper', 'here', 'what ran here')
README = (  # the rows of the README's table
  *('mnist_cnn', 'mnist_hyper', 'cifar10_wrn', 'cifar10_hyper_wrn'),
  *('ptb_hyperlstm', 'enwik8_hyperlstm', 'iam_hyperlstm', 'nmt_hyperlstm'),
)
BRIEF = {  # by field, a phrase for its new and its old value
  'data.source': 'other data ({})',
  'data.prefix_bytes': 'the first {:,} bytes',
  'model.layers': '{} of {} layers',
  'model.cell.units': '{:,} of {:,} units',
  'train_steps': '{:,} of {:,} steps',
}
SEEDS = 3  # the least number of seeds for a deviation


@dataclasses.dataclass(frozen=True)
class Grid:
  """A table of cells.

  Attributes:
    title: above it.
    header: of the columns, the ones that matter first.
    rows: their cells.
    quoted: numbers of the rows with figures that the paper cites.
    notes: below it, numbered from 1 as cells refer to them.
  """

  title: str
  header: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  quoted: frozenset[int] = frozenset()
  notes: tuple[str, ...] = ()


def compare(entries: Sequence[Entry]) -> list[Grid]:
  """Returns a grid for each data set, in the paper's order.

  If a run's config differs from the paper's, the paper's figure is in
  parentheses, a note has the changes, and the difference is left out. A column
  that is empty in all rows is left out.
  """
  grids = []
  for title, group in by_title(entries).items():
    notes: list[str] = []
    named = zip(labels.names(group, notes), group, strict=True)
    rows = [
      (name, *cells(entry), folders(entry, notes)) for name, entry in named
    ]
    columns = zip(HEADER, *rows, strict=True)
    header, *rows = zip(*(x for x in columns if any(x[1:])), strict=True)
    grids.append(Grid(title, header, tuple(rows), notes=tuple(notes)))
  return grids


def by_title(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
  """Returns the entries of each data set, by the title of its table."""
  groups: dict[str, list[Entry]] = {}
  for entry in entries:
    groups.setdefault(title_of(entry), []).append(entry)
  return groups


def title_of(entry: Entry) -> str:
  """Returns the data set, with the paper's table if there is one.

  An entry without a row is in the first table of its data.
  """
  config = entry.first.config
  source = config.data.get('source')
  tables = [table for table in paper.TABLES if table.data == source]
  if entry.table_row:
    tables = [entry.table_row[0]]
  if tables:
    return f'{tables[0].title} ({tables[0].label} of the paper)'
  return f'{config.task}, {source}' if source else config.task


def cells(entry: Entry) -> tuple[str, ...]:
  """Returns the row of an entry, without its name and its runs."""
  first, theirs, count = entry.first, '', ''
  seconds = [run.total_seconds for run in entry.runs]
  if entry.table_row:
    table, row = entry.table_row
    theirs, count = printed(row, table, entry.measure), row.count
  if theirs and first.changes:
    theirs = f'({row.name}: {theirs})'
  return (
    theirs,
    here(entry),
    difference(entry),
    f'({count})' if count and first.changes else count,
    parameters(entry),
    f'{first.steps:,}',
    duration(mean_on_one_machine(entry, seconds)),
    speed(entry),
    hardware(entry),
  )


def hardware(entry: Entry) -> str:
  """Returns the hardware of the runs, such as 'TPU v4, then cpu'."""
  kinds = dict.fromkeys(', then '.join(run.hardware) for run in entry.runs)
  return '; '.join(filter(None, kinds))


def folders(entry: Entry, notes: list[str]) -> str:
  """Returns the names of an entry's runs; notes those that have copies."""
  notes += map(same_run, entry.copies)
  first = len(notes) - len(entry.copies) + 1
  marks = (f' [{k}]' for k in range(first, len(notes) + 1))
  return entry.name + ''.join(marks)


def same_run(copies: str) -> str:
  """Returns a note on folders that hold one run."""
  return f'{copies}: the same run, counted once'


def parameters(entry: Entry) -> str:
  """Returns the number of parameters, with the part that the paper counts."""
  count = max(run.parameters for run in entry.runs)  # some may be unknown
  found = entry.table_row
  if not count:
    return ''
  if found and found[1].counted and not entry.first.changes:
    return f'{found[1].counted:,} of {count:,}'
  return f'{count:,}'


def here(entry: Entry) -> str:
  """Returns the measured figure.

  Its split is added if it is not the paper's, and the number of runs if not all
  have a score on it.
  """
  values = entry.values(entry.measure)
  if not values:
    return 'not evaluated yet'
  notes = [entry.measure.split] if is_odd(entry) else []
  if len(values) < len(entry.runs):
    notes.append(f'{len(values)} of {len(entry.runs)} runs')
  text = figure(values, entry.measure)
  return f'{text} ({", ".join(notes)})' if notes else text


def is_odd(entry: Entry) -> bool:
  """Returns whether the split shown is not the one that the paper reports."""
  found = entry.table_row
  return not found or entry.measure.split != found[0].measures[0].split


def duration(seconds: float) -> str:
  """Returns a time in seconds, minutes or hours, from two of them on.

  >>> duration(0), duration(4.6), duration(2654), duration(40_000)
  ('', '5 s', '44 min', '11.1 h')
  """
  if not seconds:
    return ''
  if seconds < 119.5:
    return f'{max(round(seconds), 1)} s'
  minutes = round(seconds / 60)
  return f'{minutes} min' if minutes < 120 else f'{seconds / 3600:.1f} h'


def speed(entry: Entry) -> str:
  """Returns the mean speed of the runs, such as '1,200 characters/s'."""
  mean = mean_on_one_machine(entry, [run.speed for run in entry.runs])
  unit = next((run.unit for run in entry.runs if run.unit), '')
  return f'{mean:,.0f} {unit}/s' if mean else ''


def mean_on_one_machine(entry: Entry, values: Sequence[float]) -> float:
  """Returns the mean of those of the runs' values that are known, not 0.

  It is 0 if none is known, or if several runs had different hardware.
  """
  known = [x for x in values if x]
  kinds = {run.hardware for run in entry.runs}
  is_one = len(kinds) == 1 and len(entry.first.hardware) < 2
  can_mean = is_one or len(entry.runs) == 1
  return statistics.mean(known) if known and can_mean else 0.0


def rows_of_the_paper(entries: Sequence[Entry]) -> list[Grid]:
  """Returns every table of the paper, with our figures for its rows."""
  grids = []
  for table in paper.TABLES:
    notes: list[str] = []
    rows = tuple(status(table, row, entries, notes) for row in table.rows)
    quoted = frozenset(k for k, row in enumerate(table.rows) if row.is_cited)
    title = f'{table.label}: {table.title}'
    grids.append(Grid(title, ROWS_HEADER, rows, quoted, tuple(notes)))
  return grids


def status(
  table: Table, row: Row, entries: Sequence[Entry], notes: list[str]
) -> tuple[str, ...]:
  """Returns the cells of a row of the paper: what is measured and missing."""
  figures = paper.in_units(table, row)
  if not row.config:
    return row.name, figures, '', '', '', row.count, '', ''
  own = [x for x in entries if x.table_row == (table, row)]
  full = [x for x in own if not x.first.changes]
  changed = [x for x in own if x.first.changes]
  smaller = []
  for entry in changed:
    notes.append(f'{entry.name}: {recipes.in_words(entry.first.changes)}')
    smaller.append(f'{here(entry)} [{len(notes)}]')
  computed = f'{row.computed_count:,}'
  return (
    *(row.name, figures, ', '.join(here(entry) for entry in full)),
    *(', '.join(smaller), missing(table, full)),
    *(row.count, computed, command(row.config)),
  )


def command(config: str) -> str:
  """Returns the command that trains a config."""
  workdir = f'runs/{config.replace(":", "_")}'
  path = recipes.argument(config)
  return f'python train.py --config={path} --workdir={workdir}'


def missing(table: Table, entries: Sequence[Entry]) -> str:
  """Returns what is missing from a row, given the runs of its own config."""
  if not entries:
    return 'a run of this config'
  measure = table.measures[0]
  count = max(len(entry.values(measure)) for entry in entries)
  if not count:
    return f'its {measure.split} score (evaluate.py)'
  more = SEEDS - count
  return f'{more} more seed{"s" * (more > 1)}' if more > 0 else ''


def readme(entries: Sequence[Entry]) -> Grid:
  """Returns the README's table: eight rows of the paper, and ours."""
  rows = []
  for config in README:
    found = paper.find(config)
    assert found  # a test compares README with the tables
    table, row = found
    file = config.partition(':')[0]
    unit = table.measures[0].unit
    own = [entry for entry in entries if entry.first.row == config]
    rows.append(
      (
        f'{table.title}, {row.name}',
        f'`{file}.py`',
        f'{row.printed[0]} {unit}',
        *nearest(own),
      )
    )
  return Grid('', README_HEADER, tuple(rows))


def nearest(entries: Sequence[Entry]) -> tuple[str, str]:
  """Returns the figure of the least changed entry, and its changes in brief."""
  if not entries:
    return 'not yet', ''
  entry = min(entries, key=lambda entry: len(entry.first.changes))
  seeds = len(entry.values(entry.measure))
  what = in_brief(entry.first.changes) or 'the whole recipe'
  return here(entry), what + (f'; {seeds} seeds' if seeds > 1 else '')


def in_brief(changes: Mapping[str, tuple[Any, Any]]) -> str:
  """Returns the changes in BRIEF as text, and the number of other changes.

  >>> in_brief({'l2_rate': (0.0, 0.1), 'train_steps': (40_000, 2_000)})
  '2,000 of 40,000 steps, 1 other change'
  """
  parts = [
    text.format(*reversed(changes[field]))
    for field, text in BRIEF.items()
    if field in changes
  ]
  if others := len(set(changes) - set(BRIEF)):
    parts.append(f'{others} other change' + 's' * (others > 1))
  return ', '.join(parts)
