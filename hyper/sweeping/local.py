"""Workers as processes of this machine, each on its share of it."""

import functools
import os
import subprocess
from collections.abc import Sequence

from hyper.sweeping.machine import Share


def start(command: Sequence[str], share: Share) -> 'subprocess.Popen[bytes]':
  """Starts a command on a share of this machine."""
  pin = functools.partial(pin_to, share.cores)
  environment = {**os.environ, **share.environment}
  return subprocess.Popen(command, env=environment, preexec_fn=pin)


def pin_to(cores: frozenset[int]) -> None:
  """Limits this process to some cores, where the system can do that."""
  if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, cores)
