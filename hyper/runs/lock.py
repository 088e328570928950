"""The lock of a run folder: only one process trains in it."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

LOCK = '.lock'


@contextlib.contextmanager
def hold(workdir: str) -> Iterator[None]:
  """Locks `workdir` for training; creates it if it is missing.

  The operating system releases the lock when the process ends, however it ends.
  A folder that was created here is removed if it holds nothing but the lock.

  Raises:
    ValueError: another process trains there.
    OSError: the file system has no locks, or cannot be written.
  """
  is_new = not os.path.isdir(workdir)
  with _locked(workdir):
    try:
      yield
    finally:
      # The folder may be gone, or another process may have come.
      with contextlib.suppress(OSError):
        if is_new and os.listdir(workdir) == [LOCK]:
          os.remove(os.path.join(workdir, LOCK))
          os.rmdir(workdir)


def _locked(workdir: str) -> IO[str]:
  """Returns the lock of `workdir`, open and locked."""
  os.makedirs(workdir, exist_ok=True)
  path = os.path.join(workdir, LOCK)
  with contextlib.ExitStack() as stack:
    file = stack.enter_context(open(path, 'a', encoding='utf-8'))
    _lock(file, workdir)
    if _is_at(path, file):
      stack.pop_all()
      return file
  return _locked(workdir)  # the last holder removed it, and perhaps the folder


def _lock(file: IO[str], workdir: str) -> None:
  """Locks a file; raises the errors of `hold`."""
  import fcntl  # Windows has none, where commands say so

  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    raise ValueError(
      f'another train.py is at work in {workdir}; wait for it, or give '
      'another --workdir.'
    ) from error
  except OSError as error:
    raise OSError(
      f'{file.name} cannot be locked ({error.strerror}): the file system of '
      f'{workdir} has no flock. Give a --workdir on another one.'
    ) from error


def _is_at(path: str, file: IO[str]) -> bool:
  """Returns whether `path` is still the name of an open file."""
  try:
    return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
  except FileNotFoundError:
    return False


def is_held(workdir: str) -> bool:
  """Returns whether a process trains in `workdir`.

  Raises:
    OSError: the file system has no locks, or cannot be written.
  """
  try:
    with hold(workdir):
      return False
  except ValueError:
    return True
