"""Workers as actors on the nodes of a Ray cluster."""

import ctypes
import functools
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from hyper.sweeping.workers import LOST, Job

PR_SET_PDEATHSIG = 1  # of prctl: the signal that a parent's death sends


class Process:
  """A worker on some node, which exits when this actor dies.

  Args:
    command: of the worker.
    folder: the one in which it runs.
    log: a file for its output.
  """

  def __init__(self, command: Sequence[str], folder: str, log: str):
    prctl = getattr(ctypes.CDLL(None), 'prctl', lambda *_: None)  # of Linux
    with open(log, 'ab') as file:
      self._process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=file,
        stderr=file,
        preexec_fn=functools.partial(prctl, PR_SET_PDEATHSIG, signal.SIGTERM),
      )

  def poll(self) -> int | None:
    """Returns the exit status; None while the worker runs."""
    return self._process.poll()

  def terminate(self) -> None:
    """Lets the worker save and exit."""
    self._process.terminate()


class Placed:
  """An actor of the class `Process`, wherever Ray has put it."""

  def __init__(self, actor: Any):
    self._actor, self._has_begun = actor, False
    self._asked = actor.poll.remote()
    self._status: int | None = None

  def poll(self) -> int | None:
    """Returns the worker's exit status; None while it waits or runs."""
    if self._status is None and ray.wait([self._asked], timeout=0)[0]:
      try:
        self._status = ray.get(self._asked)
      except ray.exceptions.RayError:  # its node is lost
        self._status = LOST
      self._has_begun = True
      if self._status is None:
        self._asked = self._actor.poll.remote()
      else:  # others need what it holds
        ray.kill(self._actor)
    return self._status

  def terminate(self) -> None:
    """Lets the worker save and exit, or never begin."""
    if self._has_begun:
      self._actor.terminate.remote()
    else:
      ray.kill(self._actor)


def launcher(
  command: Sequence[str], folder: str, options: Mapping[str, Any]
) -> Callable[[int], Job]:
  """Returns a function that places a worker on a node.

  Args:
    command: of a worker.
    folder: for the logs of the workers.
    options: what an actor needs, such as `num_cpus` (1 by default) and
      `num_gpus`; and the cluster's `address`, by default RAY_ADDRESS, else that
      of a cluster that runs here, else that of a new one on this machine.

  Raises:
    ValueError: there is no such cluster or option.
  """
  given = {'num_cpus': 1, **options}
  address = given.pop('address', None)
  os.makedirs(folder, exist_ok=True)
  try:
    remote = ray.remote(**given)(Process)
    ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
  except (ConnectionError, ValueError, AssertionError) as error:
    raise ValueError(f'--launcher=ray: {error}') from error

  def start(number: int) -> Job:
    log = os.path.abspath(os.path.join(folder, f'{number}.log'))
    return Placed(remote.remote(command, os.getcwd(), log))

  return start
