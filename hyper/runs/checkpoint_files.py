"""The files of a checkpoint: their names, their hashes, their summary."""

import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

from absl import logging

from hyper import files

SUMMARY, STATE = 'summary.json', 'state'  # in the folder of a checkpoint
NAME = re.compile('0|[1-9][0-9]*')
# Other names that a run makes, see `hyper.runs.checkpoint`.
LEFTOVER = re.compile(r'[0-9]+\.(deleting|new(\.orbax-checkpoint-tmp.*)?)')
CORRUPT = re.compile(r'[0-9]+\.corrupt(-[0-9]+)?')


class CorruptCheckpointError(ValueError):
  """A checkpoint is incomplete, or differs from what was saved."""


class VanishedError(Exception):
  """The run that writes deleted a checkpoint while it was being read."""


def is_checkpoint(path: pathlib.Path) -> bool:
  """Returns whether `path` is a checkpoint, which may be damaged.

  It is a folder that has a step as its name, and arrays or a summary in it.
  """
  if not NAME.fullmatch(path.name) or path.is_symlink():
    return False
  return (path / STATE).is_dir() or (path / SUMMARY).is_file()


def saved_steps(folder: pathlib.Path) -> list[int]:
  """Returns the steps of the checkpoints in a folder, in order."""
  return sorted(int(p.name) for p in _entries(folder) if is_checkpoint(p))


def strange_entries(folder: pathlib.Path) -> list[str]:
  """Returns the names in a folder of checkpoints that no run makes."""
  return sorted(
    path.name
    for path in _entries(folder)
    if not is_checkpoint(path)
    and not LEFTOVER.fullmatch(path.name)
    and not CORRUPT.fullmatch(path.name)
  )


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
  return list(folder.iterdir()) if folder.is_dir() else []


def warn_of_strange_entries(folder: pathlib.Path) -> None:
  """Warns of entries in a folder of checkpoints that no run makes."""
  if names := strange_entries(folder):
    logging.warning(
      '%s has entries that are no checkpoints and are left alone: %s',
      folder,
      ', '.join(names),
    )


def hash_files(folder: pathlib.Path) -> dict[str, str]:
  """Returns the SHA-256 of every file in a checkpoint but its summary."""
  hashes = {}
  for path in sorted(folder.rglob('*')):
    if path.is_file() and path != folder / SUMMARY:
      with path.open('rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
      hashes[path.relative_to(folder).as_posix()] = digest
  return hashes


def publish(new: pathlib.Path, path: pathlib.Path, summary: dict) -> None:
  """Writes the summary into the folder `new`, and renames it to `path`.

  An earlier checkpoint at `path` is deleted first, and anything else there is
  renamed. All files are flushed, so that the checkpoint survives a loss of
  power.

  Raises:
    OSError: no arrays lie in `new`.
  """
  hashes = hash_files(new)
  if not any(name.startswith(f'{STATE}/') for name in hashes):
    raise OSError(f'{new} has no arrays after they were written to it.')
  for name in hashes:
    files.sync(new / name)
  for place in [new, *new.rglob('*')]:
    if place.is_dir():
      files.sync(place)
  write_summary(new, summary | {'files': hashes})
  if is_checkpoint(path):
    delete(path)
  elif os.path.lexists(path):
    aside = files.free_name(f'{path}.foreign')
    path.rename(aside)
    logging.warning('%s is no checkpoint; it is renamed to %s.', path, aside)
  new.rename(path)
  files.sync(path.parent)


def write_summary(folder: pathlib.Path, summary: dict[str, Any]) -> None:
  """Writes summary.json, with a seal over its content."""
  content = json.dumps(summary | {'seal': _seal(summary)}, indent=1)
  files.write(folder / SUMMARY, content)


def read_summary(path: pathlib.Path) -> dict[str, Any]:
  """Returns the summary of a checkpoint: its metrics, and hashes.

  Raises:
    CorruptCheckpointError: it is missing, or differs from what was saved.
    VanishedError: the checkpoint is gone.
  """
  try:
    summary = json.loads((path / SUMMARY).read_bytes())
    if summary['seal'] != _seal(summary):
      raise ValueError(f'{SUMMARY} is not what was saved')
  except (
    FileNotFoundError,
    ValueError,
    KeyError,
    TypeError,
    RecursionError,
  ) as error:
    raise corrupt_or_vanished(path, error) from error
  return summary


def verify(found: Mapping[str, str], saved: Mapping[str, str]) -> None:
  """Raises a ValueError that names the first saved hash not in `found`."""
  for name in saved:
    if name not in found:
      raise ValueError(f'{name} is missing')
    if found[name] != saved[name]:
      raise ValueError(f'{name} is not what was saved')


def corrupt_or_vanished(path: pathlib.Path, error: Exception) -> Exception:
  """Returns the error to raise if reading a checkpoint raised `error`."""
  if not is_checkpoint(path):
    return VanishedError(path)
  return CorruptCheckpointError(f'{path}: {reason(error)}')


def reason(error: BaseException) -> str:
  """Returns the first line of the error that caused `error`.

  orbax wraps errors in several lines, and that of a full disk in pages.
  """
  while cause := error.__cause__ or error.__context__:
    error = cause
  if f"os_error_code='{errno.ENOSPC}'" in str(error):
    return os.strerror(errno.ENOSPC)
  lines = str(error).splitlines() or ['']
  return f'{type(error).__name__}: {lines[0][:200]}'


def delete(path: pathlib.Path) -> None:
  """Deletes a checkpoint: renames it, then removes the files.

  So a reader, or a process that is killed, never leaves half a checkpoint.
  """
  doomed = path.with_suffix('.deleting')
  path.rename(doomed)
  # A network file system may keep open files; the next run deletes them.
  shutil.rmtree(doomed, ignore_errors=True)


def delete_leftovers(folder: pathlib.Path) -> None:
  """Deletes folders that a killed process left half written or half deleted."""
  for path in _entries(folder):
    if LEFTOVER.fullmatch(path.name) and not path.is_symlink():
      shutil.rmtree(path, ignore_errors=True)


def sha256(data: Any) -> str:
  """Returns the SHA-256 of a buffer in hexadecimal digits."""
  return hashlib.sha256(data).hexdigest()


def _seal(summary: Mapping[str, Any]) -> str:
  """Returns the SHA-256 of the summary itself, which holds the metrics."""
  content = {name: summary[name] for name in ('metrics', 'arrays', 'files')}
  return sha256(json.dumps(content, sort_keys=True).encode())
