"""The lock of a run folder: only one process trains in it."""

import contextlib
import os
from collections.abc import Iterator

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
  import fcntl  # Windows has none, where commands say so

  is_new = not os.path.isdir(workdir)
  os.makedirs(workdir, exist_ok=True)
  path = os.path.join(workdir, LOCK)
  with open(path, 'a', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(
        f'another train.py is at work in {workdir}; wait for it, or give '
        'another --workdir.'
      ) from error
    except OSError as error:
      raise OSError(
        f'{path} cannot be locked ({error.strerror}): the file system of '
        f'{workdir} has no flock. Give a --workdir on another one.'
      ) from error
    try:
      yield
    finally:
      if is_new and os.listdir(workdir) == [LOCK]:
        os.remove(path)
        os.rmdir(workdir)


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
