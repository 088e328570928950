"""Workers as processes of this machine, and a line that tells how far they are.

A worker that is killed is started again; the trial that it had is enqueued
again, and continues from its last checkpoint.
"""

import functools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from hyper.runs.progress import format_duration
from hyper.sweeping.journal import FrozenTrial, Study, folder_of
from hyper.sweeping.machine import Share

POLL_SECONDS = 1.0
STATES = {  # of Optuna's trials, as they are called here
  'RUNNING': 'running',
  'COMPLETE': 'done',
  'PRUNED': 'pruned',
  'FAIL': 'failed',
  'WAITING': 'waiting',
}


class Workers:
  """Processes that run one command, each on its share of the machine."""

  def __init__(self, command: Sequence[str], shares: Sequence[Share]):
    self._command = command
    self._processes = [(share, self._start(share)) for share in shares]

  def poll(self) -> bool:
    """Starts killed workers again; returns whether any is at work.

    Raises:
      ValueError: a worker has ended with an error, which it has printed.
    """
    for k, (share, process) in enumerate(self._processes):
      status = process.poll()
      if status is not None and status < 0:
        self._processes[k] = share, self._start(share)
      elif status:
        self.stop()
        raise ValueError(
          f'a worker has ended with status {status}; its error is above. The '
          'same command resumes the trials.'
        )
    return any(process.poll() is None for _, process in self._processes)

  def stop(self) -> None:
    """Lets all workers save and leave, and waits for them."""
    for _, process in self._processes:
      if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    for _, process in self._processes:
      process.wait()

  def _start(self, share: Share) -> 'subprocess.Popen[bytes]':
    pin = functools.partial(pin_to, share.cores)
    environment = {**os.environ, **share.environment}
    return subprocess.Popen(self._command, env=environment, preexec_fn=pin)


def pin_to(cores: frozenset[int]) -> None:
  """Limits this process to some cores, where the system can do that."""
  if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, cores)


def supervise(
  study: Study,
  workers: Workers,
  count: int,
  selection: tuple[str, str],
  time_limit: float,
) -> int:
  """Shows how far a study is until its workers end or are to stop.

  Args:
    study: that they work on.
    workers: the processes.
    count: how many there are.
    selection: the score and 'min' or 'max'.
    time_limit: seconds after which they save and leave; 0 is none.

  Returns:
    0, or 128 plus a signal's number.
  """
  began, progress = time.monotonic(), Progress(sys.stderr)
  try:
    while workers.poll():
      progress.show(describe(study.latest(), count, selection))
      if time_limit and time.monotonic() - began > time_limit:
        print('time limit: saving and leaving', file=sys.stderr)
        workers.stop()
        return 128 + signal.SIGTERM
      time.sleep(POLL_SECONDS)
  except KeyboardInterrupt:
    print('saving and leaving; the same command resumes', file=sys.stderr)
    workers.stop()
    return 128 + signal.SIGINT
  finally:
    progress.show(describe(study.latest(), count, selection))
    progress.close()
  return 0


def describe(
  trials: Sequence[FrozenTrial], workers: int, selection: tuple[str, str]
) -> str:
  """Returns how many trials are in each state, the best, and the time left."""
  counts = Counter(STATES[trial.state.name] for trial in trials)
  parts = [', '.join(f'{counts[x]} {x}' for x in STATES.values())]
  done = [trial for trial in trials if trial.state.name == 'COMPLETE']
  scores = [(trial.value or 0.0, folder_of(trial)) for trial in done]
  times = [trial.duration.total_seconds() for trial in done if trial.duration]
  if scores:
    score, name = (min if selection[1] == 'min' else max)(scores)
    parts.append(f'best {selection[0]} {score:.4g} in {name}')
    mean = sum(times) / len(times)
    ahead = counts['waiting'] + counts['running'] / 2
    parts.append(f'{format_duration(mean * ahead / workers)} left')
  return '; '.join(parts)


class Progress:
  """A line that is printed when it changes, in its place on a terminal."""

  def __init__(self, stream: TextIO):
    self._stream, self._shown = stream, ''

  def show(self, line: str) -> None:
    """Prints the line, unless it is there already."""
    if line == self._shown:
      return
    self._shown = line
    is_terminal = self._stream.isatty()
    self._stream.write(f'\r{line}\x1b[K' if is_terminal else f'{line}\n')
    self._stream.flush()

  def close(self) -> None:
    """Ends the line."""
    if self._shown and self._stream.isatty():
      self._stream.write('\n')
