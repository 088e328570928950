"""One process at a time trains in a run folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

FILE = '.lock'


@contextlib.contextmanager
def hold(workdir: str) -> Iterator[None]:
  """Keeps other processes from training in a run folder, made if need be.

  The operating system lets go of the lock when the process ends, however it
  ends. A folder made for it, in which nothing else is left, is removed again.

  Raises:
    ValueError: another process trains there.
  """
  is_new = not os.path.isdir(workdir)
  os.makedirs(workdir, exist_ok=True)
  path = os.path.join(workdir, FILE)
  with open(path, 'a', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(
        f'another train.py is at work in {workdir}; wait for it, or give '
        'another --workdir.'
      ) from error
    try:
      yield
    finally:
      if is_new and os.listdir(workdir) == [FILE]:
        os.remove(path)
        os.rmdir(workdir)
