"""Writes files whole or not at all, and refuses paths that cannot work."""

import contextlib
import errno
import os
import re
import secrets
import shutil

URL = re.compile(r'[A-Za-z][\w+.-]+:/')  # as pathlib writes it: one slash
UNUSABLE = '\\[]'  # orbax takes a backslash for a slash, brackets for a pattern


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
  """Writes a file, whole or not at all.

  A file that was there before keeps its permissions, and a link its target's
  place: the target is written. Any number of processes may write one path; the
  last one counts.

  Once the function has returned, the file survives a loss of power, provided
  that the disk does flush when it is told to.

  Args:
    path: of the file; its folder is made if it is missing.
    content: bytes, or text to write as UTF-8. Surrogates, as in names that are
      not UTF-8, become escapes such as \\udcff.

  Raises:
    ValueError: `path` is a URL.
    OSError: the file cannot be written. The error names `path`, and a file
      that was there before is unchanged.
  """
  path = os.fspath(path)
  check_path('the path', path)
  if not os.path.basename(path):
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
  if isinstance(content, str):
    content = content.encode(errors='backslashreplace')
  target = os.path.realpath(path)
  # Not named by the process: those of two hosts may have one number.
  partial = f'{target}.{secrets.token_hex(4)}.partial'
  try:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(partial, 'xb') as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    with contextlib.suppress(OSError):  # it is new, or the disk has no modes
      shutil.copymode(target, partial)
    os.replace(partial, target)
  except OSError as error:
    raise OSError(error.errno, error.strerror, path) from error
  finally:
    with contextlib.suppress(OSError):  # it has been renamed
      os.remove(partial)
  sync(os.path.dirname(target))


def sync(path: str | os.PathLike[str]) -> None:
  """Flushes a file, or the names in a folder, to the disk.

  Does nothing on a file system that cannot flush a folder.
  """
  with contextlib.suppress(OSError):
    number = os.open(path, os.O_RDONLY)
    try:
      os.fsync(number)
    finally:
      os.close(number)


def check_room(folder: str | os.PathLike[str], size: int) -> None:
  """Checks that a disk has room for `size` more bytes.

  Args:
    folder: an existing folder on the disk.
    size: the bytes that are about to be written there.

  Raises:
    OSError: the disk is full, or will be. The error names `folder`.
  """
  free = shutil.disk_usage(folder).free
  if free < size:
    raise OSError(
      errno.ENOSPC,
      f'No space left: {size / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB '
      'are free',
      os.fspath(folder),
    )


def free_name(path: str) -> str:
  """Returns `path`, with -2, -3 ... appended if that file exists."""
  name, count = path, 1
  while os.path.lexists(name):
    count += 1
    name = f'{path}-{count}'
  return name


def check_path(flag: str, path: str) -> None:
  """Checks that a path given by the user is on the local file system.

  Args:
    flag: what the message calls the path, such as '--workdir'.
    path: the path.

  Raises:
    ValueError: `path` is a URL.
  """
  if '://' in path or URL.match(path):
    raise ValueError(
      f'{flag} is {path!r}, a URL; only files on a disk are read and written. '
      'Mount the storage as a disk and give its path (see docs/devices.md).'
    )


def check_workdir(workdir: str) -> None:
  """Checks that orbax can write and find checkpoints in `workdir`.

  Raises:
    ValueError: `workdir` is a URL, or its absolute path has a character that
      orbax misreads.
  """
  check_path('--workdir', workdir)
  path = os.path.abspath(workdir)
  odd = [x for x in path if x in UNUSABLE or '\ud800' <= x <= '\udfff']
  if odd:
    raise ValueError(
      f'--workdir is {path!r}; checkpoints cannot be kept in a folder with '
      f'{odd[0]!r} in its path. Give another one.'
    )
