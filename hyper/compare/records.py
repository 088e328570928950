"""Entries as CSV: numbers without units, for programs."""

import csv
import io
import re
import statistics
from collections.abc import Sequence
from typing import Any

from hyper import paper
from hyper.compare import labels, tables
from hyper.compare.entries import Entry, printed

COLUMNS = (
  *('data', 'network', 'score', 'deviation', 'unit', 'split', 'scored_runs'),
  *('paper_row', 'paper_score', 'paper_parameters', 'changes', 'difference'),
  *('parameters', 'steps', 'seconds', 'units_per_second', 'speed_unit'),
  *('hardware', 'runs', 'notes'),
)
MARK = re.compile(r' \[(\d+)\]')  # of a note, in a name


def comma_separated(entries: Sequence[Entry]) -> str:
  """Returns CSV with a line for each entry, and empty fields for the unknown.

  The difference from the paper's score is there if `changes`, the number of
  fields that differ from the config of the paper's row, is 0.
  """
  text = io.StringIO()
  writer = csv.DictWriter(text, COLUMNS, restval='', lineterminator='\n')
  writer.writeheader()
  for title, group in tables.by_title(entries).items():
    notes: list[str] = []
    for name, entry in zip(labels.names(group, notes), group, strict=True):
      said = [notes[int(k) - 1] for k in MARK.findall(name)]
      said += map(tables.same_run, entry.copies)
      names = {'data': title, 'network': MARK.sub('', name)}
      writer.writerow(
        names | {'notes': '; '.join(said)} | scores(entry) | of_runs(entry)
      )
  return text.getvalue()


def scores(entry: Entry) -> dict[str, Any]:
  """Returns the score, beside the figures of the paper's row."""
  found: dict[str, Any] = {}
  measure, values = entry.measure, entry.values(entry.measure)
  if values:
    found = {'score': plain(statistics.mean(values))}
    found |= {'unit': measure.unit, 'split': measure.split}
    found['scored_runs'] = len(values)
  if len(values) > 1:
    found['deviation'] = plain(statistics.stdev(values))
  if entry.table_row is None:
    return found
  table, row = entry.table_row
  found |= {'paper_row': row.name, 'changes': len(entry.first.changes)}
  if row.count:
    found['paper_parameters'] = plain(paper.number(row.count))
  if text := printed(row, table, measure):
    theirs = paper.number(text)
    found['paper_score'] = plain(theirs)
    if values and entry.is_the_papers:
      found['difference'] = plain(statistics.mean(values) - theirs)
  return found


def of_runs(entry: Entry) -> dict[str, Any]:
  """Returns the size, the steps, the time and the speed of an entry's runs."""
  seconds = [run.total_seconds for run in entry.runs]
  speeds = [run.speed for run in entry.runs]
  return {
    'parameters': max(run.parameters for run in entry.runs) or '',
    'steps': entry.first.steps,
    'seconds': plain(tables.mean_on_one_machine(entry, seconds)) or '',
    'units_per_second': plain(tables.mean_on_one_machine(entry, speeds)) or '',
    'speed_unit': next((run.unit for run in entry.runs if run.unit), ''),
    'hardware': tables.hardware(entry),
    'runs': entry.name,
  }


def plain(value: float) -> float | int:
  """Returns a number of six digits at most, whole if it has no others.

  >>> plain(4.92e6), plain(1.25), plain(340311.6)
  (4920000, 1.25, 340312)
  """
  short = float(f'{value:.6g}')
  return int(short) if short.is_integer() else short
