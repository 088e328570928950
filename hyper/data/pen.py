"""Handwriting of your own, from JSON or CSV files of pen strokes.

Put files into `<data_dir>/pen`. A JSON file is a list of lines of handwriting.
A line is a list of strokes, and a stroke a list of readings [x, y] or
[x, y, seconds] with y downwards. A CSV file names its columns in the first row:
line, stroke, x, y and optionally seconds. Every other row is a reading; the
rows of a line are consecutive, and so are the rows of a stroke. Every tenth
line, in the order of the file names, is for validation.

The unit of x and y is free: lines are normalised before a network reads them.
With seconds, missing readings are interpolated as in IAM-OnDB.
"""

import csv
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from hyper.data import fingerprints, prepared, strokes
from hyper.terminal import track

FOLDER = 'pen'
KINDS = ('.json', '.csv')
COLUMNS = ('line', 'stroke', 'x', 'y')
VALIDATION = 10  # one line in this number is for validation
# The shortest gap that is filled, in median intervals; the longest is a second.
GAP_INTERVALS = 3.5
FASTEST = 0.001  # seconds; a shorter median interval counts as this
LARGEST = 1e9  # the largest coordinate, so that sums stay exact enough


def load(data_dir: str, split: str) -> dict[str, np.ndarray]:
  """Returns the lines of a split as `strokes.pack` packs them.

  The prepared copy belongs to the content of the files: if that changes,
  another copy is made.

  Raises:
    FileNotFoundError: there are no files.
    OSError: data_dir cannot be written.
    ValueError: no such split, a file of another form, or too few lines.
  """
  strokes.check_split(split, 'your own handwriting')
  folder = os.path.join(os.path.expanduser(data_dir), FOLDER)
  paths = _find(folder)
  source = prepared.Source(
    name=f'hyper_pen_{fingerprints.of_files(paths, folder)}',
    version='1.0.0',
    read=lambda _: _split(paths),
    description="Handwritten lines as pen offsets, of the user's own pen.",
  )
  return prepared.load(source, data_dir, split)


def _find(folder: str) -> list[str]:
  """Returns the files of handwriting in a folder, without hidden ones."""
  names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  names = [
    name
    for name in names
    if name.lower().endswith(KINDS)
    and not name.startswith('.')
    and os.path.isfile(os.path.join(folder, name))
  ]
  if not names:
    raise FileNotFoundError(
      f'There is no handwriting of your own: {folder} has no '
      f'{" or ".join(KINDS)} file. hyper/data/README.md says what goes into '
      "one. Or run the same config with ':embedded', which needs no data."
    )
  for name in names:
    if not name.isprintable():  # a line is named after its file
      raise ValueError(
        f'{folder} has a file with the name {name!r}; rename it to one without '
        'tabs, line ends and other characters that cannot be printed.'
      )
  named: dict[str, str] = {}
  for name in names:
    first = named.setdefault(os.path.splitext(name)[0], name)
    if first != name:
      raise ValueError(
        f'{folder} has {first} and another file whose lines would have the '
        f'same names, {name}; rename one of them.'
      )
  return [os.path.join(folder, name) for name in names]


def _split(paths: list[str]) -> dict[str, dict[str, np.ndarray]]:
  shown = track(paths, 'Reading pen strokes, files', len(paths))
  lines = [line for path in shown for line in read(path)]
  if len(lines) < VALIDATION:
    raise ValueError(
      f'{os.path.dirname(paths[0])} has {len(lines)} lines; at least '
      f'{VALIDATION} are needed, of which one in {VALIDATION} is for '
      'validation.'
    )
  is_validation = np.arange(1, len(lines) + 1) % VALIDATION == 0
  return {
    split: strokes.pack(
      line for line, held in zip(lines, is_validation, strict=True) if held == k
    )
    for k, split in enumerate(strokes.SPLITS)
  }


def read(path: str) -> list[strokes.Line]:
  """Returns the lines in a JSON or CSV file, named by file and number from 1.

  Raises:
    ValueError: the file has another form; the message names file and place.
    OSError: it cannot be read.
  """
  with open(path, encoding='utf-8-sig', newline='') as file:
    try:
      is_csv = path.lower().endswith('.csv')
      lines = _of_csv(file) if is_csv else _of_json(file)
      found = [_line(line, n) for n, line in enumerate(lines, 1)]
    except (ValueError, RecursionError, csv.Error) as error:
      raise ValueError(f'{path}: {error}') from error
  if not found:
    raise ValueError(f'{path} has no lines.')
  name = os.path.splitext(os.path.basename(path))[0]
  return [
    strokes.Line(f'{name}-{n:02d}', '', offsets)
    for n, offsets in enumerate(found, 1)
  ]


def _of_json(file: Any) -> list[Any]:
  lines = json.load(file)
  if not isinstance(lines, list):
    raise ValueError(
      'expected a list of lines, each a list of strokes, each a list of '
      f'readings [x, y] or [x, y, seconds]; found a {type(lines).__name__}.'
    )
  return lines


def _of_csv(file: Any) -> list[Any]:
  rows = csv.DictReader(file)
  named = rows.fieldnames or ()
  absent = [name for name in COLUMNS if name not in named]
  if absent:
    raise ValueError(
      f'the first row must name the columns {", ".join(COLUMNS)} and may name '
      f'seconds; {", ".join(absent)} are not there.'
    )
  columns = ['x', 'y', *(['seconds'] if 'seconds' in named else [])]
  return [
    [[[row[k] for k in columns] for row in stroke] for stroke in strokes]
    for strokes in (
      _together(line, 'stroke')
      for line in _together(_as_wide_as_the_first(rows), 'line')
    )
  ]


def _as_wide_as_the_first(rows: csv.DictReader) -> Iterator[dict[str, str]]:
  for row in rows:
    if None in row:  # DictReader's key for surplus cells
      raise ValueError(
        f'row {rows.line_num} has more cells than the first row has names; '
        'write numbers with a point, not a comma.'
      )
    yield row


def _together(
  rows: Iterable[dict[str, str]], column: str
) -> list[list[dict[str, str]]]:
  """Groups rows by a column; the rows of a group must be consecutive."""
  groups: dict[str, list[dict[str, str]]] = {}
  for name, group in itertools.groupby(rows, lambda row: row[column]):
    if name in groups:
      raise ValueError(
        f'the rows of {column} {name!r} do not stand together; sort the file.'
      )
    groups[name] = list(group)
  return list(groups.values())


def _line(line: Any, n: int) -> np.ndarray:
  """Returns offsets [t, 3] of the n-th line of a file, given as lists."""
  if not isinstance(line, list) or not line:
    raise ValueError(f'line {n} must be a list of strokes, and not empty.')
  found = [_stroke(stroke, n, k) for k, stroke in enumerate(line, 1)]
  gaps = np.concatenate([np.diff(stroke[:, 2]) for stroke in found])
  gaps = gaps[gaps > 0]  # False for NaN, which stands for a missing time
  if len(gaps):
    usual = max(float(np.median(gaps)), FASTEST)
    found = [
      strokes.fill_gaps(stroke, usual, GAP_INTERVALS * usual, 1.0)
      for stroke in found
    ]
  offsets = strokes.to_offsets(found)
  if len(offsets) < 2:
    raise ValueError(
      f'line {n} has fewer than three readings, not counting strokes of one '
      'reading at its beginning.'
    )
  return offsets


def _stroke(stroke: Any, n: int, k: int) -> np.ndarray:
  """Returns readings [r, 3]; an unknown time is NaN."""
  place = f'stroke {k} of line {n}'
  if not isinstance(stroke, list) or not stroke:
    raise ValueError(f'{place} must be a list of readings, and not empty.')
  rows = []
  for r, reading in enumerate(stroke, 1):
    try:
      x, y, *seconds = map(float, reading)
      (time,) = seconds or [math.nan]
      if not all(abs(number) <= LARGEST for number in (x, y, *seconds)):
        raise ValueError
    except (TypeError, ValueError, OverflowError):
      raise ValueError(
        f'reading {r} of {place} is {str(reading)[:60]}; it must be x, y and '
        f'optionally seconds, all numbers within {LARGEST:,.0f}.'
      ) from None
    rows.append((x, y, time))
  return np.array(rows)
