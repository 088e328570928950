"""Runs of one config as one entry: means over seeds, beside the paper's row."""

import dataclasses
import statistics
from collections.abc import Sequence

from hyper import paper
from hyper.compare import seeds
from hyper.compare.finished import Run
from hyper.compare.measures import digits_of, measure_of, selection_of
from hyper.paper import Measure, Row, Table, recipes


@dataclasses.dataclass(frozen=True)
class Entry:
  """Runs that differ only in their seed.

  Attributes:
    runs: at least one, each of them once.
    data: the fingerprint of their training data, if runs of other data are
      equal otherwise; else ''.
    copies: the names of folders that hold one run, such as 'a, b'.
  """

  runs: tuple[Run, ...]
  data: str = ''
  copies: tuple[str, ...] = ()

  @property
  def first(self) -> Run:
    """Returns the first run, for the properties that all runs share."""
    return self.runs[0]

  @property
  def name(self) -> str:
    """Returns the names of the folders."""
    return ', '.join(run.name for run in self.runs)

  @property
  def table_row(self) -> tuple[Table, Row] | None:
    """Returns the paper's row, if the entry uses the data of its table."""
    return (
      paper.find(self.first.row) if self.first.has_the_papers_data else None
    )

  @property
  def is_the_papers(self) -> bool:
    """Returns whether the config is the row's, so that its figure applies."""
    return self.table_row is not None and not self.first.changes

  @property
  def measure(self) -> Measure:
    """Returns the measure to show.

    That is the paper's if it has been scored, else its metric on another split,
    such as one of several test sets. If there is no score, it is the one that
    selects checkpoints, on validation.
    """
    task = self.first.config.task
    wanted = measure_of(task)
    known = [key for run in self.runs for key in run.scores]
    splits = [split for split, metric in known if metric == wanted.metric]
    others = [split for split in splits if split != 'validation']
    if wanted.split in splits:
      return wanted
    if splits:
      return dataclasses.replace(wanted, split=(others or splits)[0])
    metric, _ = selection_of(task)
    unit = wanted.unit if metric == wanted.metric else metric.replace('_', ' ')
    return Measure('validation', metric, unit)

  def values(self, measure: Measure) -> list[float]:
    """Returns the scores of the runs that have one."""
    key = measure.split, measure.metric
    return [run.scores[key] for run in self.runs if key in run.scores]


def group(runs: Sequence[Run]) -> list[Entry]:
  """Returns an entry for each config, in the order of the paper's rows.

  Entries of one row are ordered by the number of changed fields; entries
  without a row are last.
  """
  groups = seeds.group([*map(identity, runs)], [run.data for run in runs])
  configs, lines = [x.config for x in runs], [x.lines for x in runs]
  entries = [
    entry_of([[runs[k] for k in same] for same in copies], data)
    for (_, data), places in groups.items()
    for copies in [seeds.copies(places, configs, lines)]
  ]
  order = [row.config for table in paper.TABLES for row in table.rows]
  return sorted(
    entries,
    key=lambda entry: (
      not entry.first.has_the_papers_data,
      order.index(entry.first.row) if entry.first.row else len(order),
      len(entry.first.changes),
    ),
  )


def entry_of(copies: Sequence[Sequence[Run]], data: str) -> Entry:
  """Returns the entry of runs; of copies, the one with most scores counts."""
  return Entry(
    tuple(max(same, key=lambda run: len(run.scores)) for same in copies),
    data,
    tuple(', '.join(x.name for x in same) for same in copies if same[1:]),
  )


def identity(run: Run) -> str:
  """Returns a key, equal for two runs if they differ only in their seed.

  A run that is still in training equals runs that have taken as many steps. The
  data do not count here, since those of earlier runs are unknown.
  """
  own = seeds.key(run.config, run.origin)
  return f'{run.row}; {own}; {recipes.in_words(run.changes)}'


def figure(values: Sequence[float], measure: Measure) -> str:
  """Returns the mean of values and their deviation, with the unit.

  >>> figure([0.67, 0.84, 0.85], Measure('test', 'error', '% error'))
  '0.79 ± 0.10 % error'
  """
  if not values:
    return ''
  text = rounded(statistics.mean(values), measure)
  if len(values) > 1:
    text += f' ± {rounded(statistics.stdev(values), measure)}'
  return f'{text} {measure.unit}'


def rounded(value: float, measure: Measure) -> str:
  """Returns a value with as many digits as the paper prints."""
  return f'{value:,.{digits_of(measure.metric)}f}'


def printed(row: Row, table: Table, measure: Measure) -> str:
  """Returns the paper's figure for a measure, as printed; '' if none is."""
  for column, text in zip(table.measures, row.printed, strict=True):
    if (column.split, column.metric) == (measure.split, measure.metric):
      return text
  return ''


def difference(entry: Entry) -> str:
  """Returns our figure minus the paper's; '' unless the config is the row's."""
  values = entry.values(entry.measure)
  if not (entry.is_the_papers and entry.table_row and values):
    return ''
  table, row = entry.table_row
  text = printed(row, table, entry.measure)
  if not text:
    return ''
  gap = statistics.mean(values) - paper.number(text)
  return f'{gap:+,.{digits_of(entry.measure.metric)}f}'
