"""Watches over the workers of a study, and shows how far it is."""

import math
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence

from hyper.runs.progress import format_duration
from hyper.sweeping.journal import FrozenTrial, Study, folder_of
from hyper.sweeping.workers import Workers

POLL_SECONDS = 1.0
MARGIN_SECONDS = 30.0, 120.0  # before a time limit, to save
STATES = {  # of Optuna's trials, as they are called here
  'RUNNING': 'running',
  'COMPLETE': 'done',
  'PRUNED': 'pruned',
  'FAIL': 'failed',
  'WAITING': 'waiting',
}


def supervise(
  study: Study,
  workers: Workers,
  count: int,
  selection: tuple[str, str],
  deadline: float,
) -> int:
  """Shows how far a study is until its workers end or have to stop.

  Args:
    study: the one that they work on.
    workers: of the study.
    count: the number of workers.
    selection: the score and 'min' or 'max'.
    deadline: when they must save and exit, by the monotonic clock.

  Returns:
    0, or 128 plus a signal's number.
  """
  progress = Progress()
  try:
    while workers.poll():
      progress.show(describe(study.latest(), count, selection))
      if time.monotonic() > deadline:
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


def deadline(time_limit: float) -> float:
  """Returns when to save, so as to have exited after `time_limit` seconds.

  Args:
    time_limit: from now on; 0 is none.
  """
  if not time_limit:
    return math.inf
  return time.monotonic() + working_time(time_limit)


def working_time(time_limit: float) -> float:
  """Returns the seconds of a limit after which workers save and exit.

  A tenth of the limit is left for that: at least half a minute, and at most two
  minutes or half the limit.

  >>> working_time(300), working_time(3600)
  (270.0, 3480.0)
  """
  least, most = MARGIN_SECONDS
  return time_limit - min(max(time_limit / 10, least), most, time_limit / 2)


def describe(
  trials: Sequence[FrozenTrial], workers: int, selection: tuple[str, str]
) -> str:
  """Returns the number of trials in each state, the best, and the time left."""
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
  """A line on standard error that is printed when it changes."""

  def __init__(self) -> None:
    self._stream, self._shown = sys.stderr, ''

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
