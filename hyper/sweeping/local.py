"""Workers as processes of this machine, each on its share of it."""

import contextlib
import os
import subprocess
from collections.abc import Sequence

from hyper.sweeping.machine import Share


def start(command: Sequence[str], share: Share) -> 'subprocess.Popen[bytes]':
  """Starts a command on a share of this machine."""
  started = subprocess.Popen(command, env={**os.environ, **share.environment})
  with contextlib.suppress(ProcessLookupError):  # it has ended already
    pin(started.pid, share.cores)
  return started


def pin(process: int, cores: frozenset[int]) -> None:
  """Limits a process to some cores, where the system can do that.

  Args:
    process: its number; 0 is this process. Threads that it has are not limited,
      those that it starts later are.
    cores: the numbers of the cores.
  """
  if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(process, cores)
