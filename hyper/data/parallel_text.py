"""Pairs of sentences, one in each of two languages, by number.

The raw form is two text files with a sentence a line; lines of the same number
belong together. The files may be larger than memory: pairs are prepared once as
array records and fetched by number.
"""

import gzip
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hyper.data import fingerprints, prepared, raw_files

FIELDS = ('source', 'target')
LARGEST_UNPACKED = 2**36  # bytes of a .gz, unpacked
Pair = tuple[str, str]


class Pairs:
  """Sentence pairs of a split.

  Attributes:
    folder: of the prepared copy; None if the pairs are in memory.
  """

  def __init__(self, records: Any, folder: str | None = None):
    self._records, self.folder = records, folder

  def __len__(self) -> int:
    return len(self._records)

  def take(self, numbers: Iterable[int]) -> list[Pair]:
    """Returns the pairs with these numbers, in the order of the numbers."""
    records = [self._records[int(number)] for number in numbers]
    if self.folder is None:
      return records
    return [(x['source'].decode(), x['target'].decode()) for x in records]

  def fingerprint(self) -> str:
    """Returns the name of the prepared copy, or a checksum of all pairs."""
    if self.folder is not None:
      name, version = pathlib.Path(self.folder).parts[-2:]
      return f'{name}/{version}'
    digest = hashlib.sha256(repr(self.take(range(len(self)))).encode())
    return digest.hexdigest()[:16]

  def chunks(self, size: int = 10_000) -> Iterator[list[Pair]]:
    """Yields all pairs in order, at most `size` at a time."""
    for first in range(0, len(self), size):
      yield self.take(range(first, min(first + size, len(self))))


def load(
  data_dir: str,
  split: str,
  train: Sequence[str],
  validation: Sequence[str],
  test: Sequence[str],
) -> Pairs:
  """Returns the pairs of two text files, in UTF-8, with a sentence a line.

  The prepared copy belongs to the content of the files: if that changes,
  another copy is made.

  Args:
    data_dir: the folder that the names are relative to.
    split: 'train', 'validation' or 'test'.
    train, validation, test: of each split, the file of the source and the file
      of the target. A file whose name ends in .gz is unpacked while it is read.

  Raises:
    FileNotFoundError: a file is missing.
    OSError: data_dir cannot be written.
    ValueError: no such split, a file is empty, damaged or not UTF-8, or the
      two have different numbers of lines; file and line are named.
  """
  splits = {'train': train, 'validation': validation, 'test': test}
  prepared.check_split(split, splits)
  names = splits[split]
  paths = find(data_dir, split, names)
  source = prepared.RecordSource(
    name=f'hyper_parallel_text_{_fingerprint(paths)}',
    version='1.0.0',
    read=lambda _: {'pairs': _records(*paths)},
    fields=FIELDS,
    description=f'Sentence pairs of {names[0]} and {names[1]}.',
  )
  return Pairs(*prepared.open_records(source, data_dir, 'pairs'))


def find(data_dir: str, split: str, names: Sequence[str]) -> list[str]:
  """Returns the paths of the two files of a split.

  Args:
    data_dir: the folder that the names are relative to.
    split: for the message.
    names: the file of the source and the file of the target.

  Raises:
    FileNotFoundError: a file is missing.
    ValueError: there are not two names.
  """
  if isinstance(names, str) or len(names) != 2:
    raise ValueError(
      f'config.data.{split} is {names!r}; give two names: the file of the '
      'source and the file of the target.'
    )
  paths = [os.path.join(os.path.expanduser(data_dir), name) for name in names]
  absent = [path for path in paths if not os.path.isfile(path)]
  if absent:
    raise raw_files.missing(
      f'Parallel text ({split})',
      absent,
      [data_dir],
      f'Give the names of your files as config.data.{split}, and their folder '
      'as --data_dir.',
    )
  return paths


def read_pairs(
  source: Iterable[bytes],
  target: Iterable[bytes],
  source_name: str,
  target_name: str,
) -> Iterator[dict[str, bytes]]:
  """Yields a record of each pair of lines, without line ends.

  Raises:
    ValueError: a line is not UTF-8, one side has more lines, or there are none;
      the message has the names.
  """
  sides = itertools.zip_longest(source, target)
  number = 0
  for number, lines in enumerate(sides, 1):
    if None in lines:
      _raise_unequal(number - 1, sides, lines, (source_name, target_name))
    yield {
      field: _checked(line, name, number)
      for field, line, name in zip(
        FIELDS, lines, (source_name, target_name), strict=True
      )
    }
  if not number:
    raise ValueError(f'{source_name} and {target_name} have no lines.')


def _raise_unequal(
  both: int,
  rest: Iterable[tuple],
  lines: tuple,
  names: tuple[str, str],
) -> None:
  more = both + 1 + sum(1 for _ in rest)
  short, long = names if lines[0] is None else reversed(names)
  raise ValueError(
    f'{short} ends after line {both:,}, but {long} has {more:,} lines; each '
    'line of one must belong to a line of the other.'
  )


def _checked(line: bytes, name: str, number: int) -> bytes:
  line = line.rstrip(b'\r\n')
  if number == 1:
    line = line.removeprefix(b'\xef\xbb\xbf')  # a byte order mark
  try:
    line.decode()
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{name}, line {number:,} is not UTF-8: {error.reason} at byte '
      f'{error.start + 1} of the line ({line[error.start : error.end]!r}).'
    ) from error
  return line


def _records(source: str, target: str) -> Iterator[dict[str, bytes]]:
  return read_pairs(_lines(source), _lines(target), source, target)


def _lines(path: str) -> Iterator[bytes]:
  # Lines end only at b'\n'; Python would also split text at other characters.
  if not path.endswith('.gz'):
    with open(path, 'rb') as file:
      yield from raw_files.lines(file, path)
    return
  with raw_files.reading_archive(path), gzip.open(path) as packed:
    yield from raw_files.lines(packed, path, LARGEST_UNPACKED)


def _fingerprint(paths: list[str]) -> str:
  digest = hashlib.sha256()
  for path in paths:
    digest.update(fingerprints.of_file(path))
  return digest.hexdigest()[:12]
