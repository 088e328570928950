"""The workers of a sweep, on whatever engine runs them."""

import signal
import time
from collections.abc import Callable
from typing import Protocol

LOST = -9  # as after SIGKILL, the status of a worker that its engine lost
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # saved, and exited
POLL_SECONDS = 0.1
QUICK_SECONDS, QUICK_LOSSES = 60.0, 10


class Job(Protocol):
  """A worker; a `subprocess.Popen` is one."""

  def poll(self) -> int | None:
    """Returns the exit status, below 0 if it was killed; None while it runs."""

  def terminate(self) -> None:
    """Lets the worker save and exit."""


class Workers:
  """Workers that an engine runs. One that is killed is started again.

  Args:
    start: starts the worker with a given number.
    count: the number of workers.
    log: where to find the error of a worker, for messages.
  """

  def __init__(
    self, start: Callable[[int], Job], count: int, log: str = 'above'
  ):
    self._start, self._log = start, log
    self._jobs = [start(k) for k in range(count)]
    self._began = [time.monotonic()] * count
    self._quick_losses = 0  # in a row

  def poll(self) -> bool:
    """Starts killed workers again; returns whether any is at work.

    Raises:
      ValueError: a worker has ended with an error, or workers are killed as
        soon as they start.
    """
    states = [job.poll() for job in self._jobs]
    for k, status in enumerate(states):
      if status is None or status == 0:
        continue
      if status > 0 and status not in STOPPED:
        self._fail(f'a worker has ended with status {status}')
      self._start_again(k)
    return any(status != 0 for status in states)

  def stop(self) -> None:
    """Lets all workers save and exit, and waits for them."""
    for job in self._jobs:
      if job.poll() is None:
        job.terminate()
    while any(job.poll() is None for job in self._jobs):
      time.sleep(POLL_SECONDS)

  def _start_again(self, k: int) -> None:
    now = time.monotonic()
    is_quick = now - self._began[k] < QUICK_SECONDS
    self._quick_losses = self._quick_losses + 1 if is_quick else 0
    if self._quick_losses >= QUICK_LOSSES:
      self._fail(f'{QUICK_LOSSES} workers in a row were killed at their start')
    self._jobs[k], self._began[k] = self._start(k), now

  def _fail(self, what: str) -> None:
    self.stop()
    raise ValueError(
      f'{what}; its error is {self._log}. The same command resumes the trials.'
    )
