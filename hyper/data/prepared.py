"""Data sets prepared once as array records, then read into NumPy arrays.

The prepared copy of a data set lies in `<data_dir>/prepared/<name>/<version>`.
If that folder exists it is complete, since another folder is filled and then
renamed. A change in what a source reads must raise its version.

A copy belongs to the content that it was made from. Sources that have a
checksum in their code, or in their name, check this themselves. The others name
their raw files, whose hashes are stored beside the copy.

A `Source` fits into memory and is read into it; the records of a
`RecordSource` stay on the disk and are fetched by number.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from absl import logging

from hyper.data import array_records, fingerprints, raw_files
from hyper.data.array_records import Arrays, Described

SPLITS = ('train', 'validation', 'test')
ORIGIN = 'raw_files.json'  # beside a copy: the hashes of its raw files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(Described):
  """A data set that fits into memory, and how to read its raw files.

  Attributes:
    read: returns the arrays of every split, given data_dir. Axis 0 is examples,
      or symbols of a text; its length may differ between arrays. Raise the
      version when the arrays change.
    raw: returns the paths of the raw files, given data_dir, or [] if some are
      missing. Needed only if files of any content are accepted.
  """

  read: Callable[[str], dict[str, Arrays]]
  raw: Callable[[str], list[str]] = lambda data_dir: []


def load(source: Source, data_dir: str, split: str) -> Arrays:
  """Returns one split of `source`; prepares it first if there is no copy.

  Raises:
    FileNotFoundError: raw files are missing; the message names them, and where
      to get them.
    OSError: data_dir cannot be written.
    ValueError: no such split, damaged data, or raw files of other content than
      was prepared.
  """
  check_split(split, SPLITS)
  folder = _folder(source, data_dir, array_records.write_arrays)
  return array_records.read_arrays(folder, split)


def check_split(split: str, allowed: Collection[str]) -> None:
  """Raises a ValueError unless a data set has this split."""
  if split not in allowed:
    names = ', '.join(map(repr, allowed))
    raise ValueError(f'no split {split!r}; allowed are {names}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordSource(Described):
  """A data set of many small records, which need not fit into memory.

  Attributes:
    read: returns an iterator over the records of every split, given data_dir;
      a record is a dict of bytes with the keys `fields`. It must raise for
      missing files before the first record is read.
    fields: the keys of a record.
    raw: see `Source`.
  """

  read: Callable[[str], Mapping[str, Iterator[dict[str, bytes]]]]
  fields: tuple[str, ...]
  raw: Callable[[str], list[str]] = lambda data_dir: []


def open_records(
  source: RecordSource, data_dir: str, split: str
) -> tuple[array_records.Records, str]:
  """Returns a split of `source`, and the folder of its prepared copy.

  The copy is made first if there is none.

  Raises:
    FileNotFoundError: raw files are missing; the message names them, and where
      to get them.
    OSError: data_dir cannot be written.
    ValueError: no such split, damaged data, or raw files of other content than
      was prepared.
  """

  def write(source: RecordSource, splits: Any, root: str) -> None:
    array_records.write_records(source, splits, source.fields, root)

  folder = _folder(source, data_dir, write)
  return array_records.open_records(folder, split), folder


def _folder(
  source: Source | RecordSource, data_dir: str, write: Callable[..., None]
) -> str:
  """Returns the folder of the copy; `write(source, splits, root)` makes it."""
  data_dir = os.path.expanduser(data_dir)
  root = os.path.join(data_dir, 'prepared')
  folder = os.path.join(root, source.name, source.version)
  if os.path.isdir(folder):
    _check_origin(folder, source.raw(data_dir), data_dir)
    return folder
  logging.info('Preparing %s in %s', source.name, folder)
  splits = source.read(data_dir)
  try:
    write(source, splits, root)
  except OSError as error:
    if not os.path.isdir(folder):  # else another process was faster
      raise raw_files.unwritable(root, error) from error
  _note_origin(folder, source.raw(data_dir), data_dir)
  return folder


def _note_origin(folder: str, paths: list[str], data_dir: str) -> None:
  """Writes size, time and SHA-256 of a copy's raw files beside the copy."""
  if paths:
    _write_origin(folder, {_name(x, data_dir): _entry(x) for x in paths})


def _check_origin(folder: str, paths: list[str], data_dir: str) -> None:
  """Raises a ValueError if a raw file has changed since the copy was made.

  A file is hashed only if its size or time has changed. If a copy has no record
  of its raw files, or a damaged one, the present ones are recorded.
  """
  noted = _read_origin(os.path.join(folder, ORIGIN))
  if not noted:
    return _note_origin(folder, paths, data_dir)
  moved = {}
  for path in paths:
    name = _name(path, data_dir)
    known = noted.get(name, {})
    if known.get('stamp') != _stamp(path):
      moved[name] = entry = _entry(path)
      allowed = [known] if known else noted.values()
      if entry['sha256'] not in [x['sha256'] for x in allowed]:
        raise ValueError(
          f'{path} has other content than what {folder} was prepared from. '
          'Put the old file back, or delete that folder to have the new one '
          'prepared.'
        )
  if moved:
    _write_origin(folder, noted | moved)


def _read_origin(path: str) -> dict[str, Any]:
  """Returns what `_write_origin` wrote; {} if it is missing or damaged."""
  if not os.path.exists(path):
    return {}
  with open(path, 'rb') as file:
    content = file.read()
  try:
    noted = json.loads(content)
    if all(isinstance(x['sha256'], str) for x in noted.values()):
      return noted
  except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
    pass
  logging.warning('%s is damaged and is made again.', path)
  return {}


def _name(path: str, data_dir: str) -> str:
  return os.path.relpath(path, data_dir)


def _entry(path: str) -> dict[str, Any]:
  sha256 = fingerprints.of_file(path).hex()
  return {'stamp': _stamp(path), 'sha256': sha256}


def _stamp(path: str) -> list[int]:
  found = os.stat(path)
  return [found.st_size, found.st_mtime_ns]


def _write_origin(folder: str, noted: dict[str, Any]) -> None:
  try:
    content = json.dumps(noted, indent=1).encode()
    raw_files.store(content, os.path.join(folder, ORIGIN))
  except OSError as error:
    logging.info('The hashes of raw files are not stored: %s', error)
