"""Watches over the workers of a study, and shows how far it is."""

import contextlib
import dataclasses
import datetime
import math
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

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
ENDED = ('COMPLETE', 'PRUNED')


def supervise(
  study: Study,
  workers: Workers,
  slots: int,
  selection: tuple[str, str],
  deadline: float,
) -> int:
  """Shows how far a study is until its workers end or have to stop.

  Args:
    study: the one that they work on.
    workers: of the study.
    slots: the number of trials that they train at once.
    selection: the score and 'min' or 'max'.
    deadline: when they must save and exit, by the monotonic clock.

  Returns:
    0, or 128 plus a signal's number.
  """
  progress = Progress()

  def show() -> None:
    given = study.latest(), study.unasked(), slots, selection
    progress.show(describe(*given))

  try:
    while workers.poll():
      show()
      if time.monotonic() > deadline:
        progress.say('time limit: saving and leaving')
        workers.stop()
        return 128 + signal.SIGTERM
      time.sleep(POLL_SECONDS)
  except KeyboardInterrupt:
    progress.say('saving and leaving; the same command resumes')
    workers.stop()
    return 128 + signal.SIGINT
  finally:
    show()
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


@dataclasses.dataclass(frozen=True)
class Report:
  """How far a study is.

  Attributes:
    counts: the number of trials in each state.
    best: the best score and its folder; empty if no trial is done.
    left: the time left; empty if it is unknown, or no trial is ahead.
  """

  counts: str
  best: str
  left: str

  def line(self, width: int = 0) -> str:
    """Returns the parts of the report that fit a width; 0 is any.

    >>> Report('1 running, 2 done', 'best error 8.5 in 0001', '1:30').line()
    '1 running, 2 done; 1:30 left; best error 8.5 in 0001'
    >>> Report('1 running, 2 done', 'best error 8.5 in 0001', '1:30').line(40)
    '1 running, 2 done; 1:30 left'
    """
    left = self.left and f'{self.left} left'
    parts = [part for part in (self.counts, left, self.best) if part]
    while width and len(parts) > 1 and len('; '.join(parts)) > width:
      parts.pop()
    return '; '.join(parts)[: width or None]


def describe(
  trials: Sequence[FrozenTrial],
  unasked: int,
  slots: int,
  selection: tuple[str, str],
) -> Report:
  """Returns how far a study is.

  Args:
    trials: the last of each run folder.
    unasked: the number of trials that are yet to be suggested.
    slots: the number of trials that train at once.
    selection: the score and 'min' or 'max'.
  """
  counts = Counter(STATES[trial.state.name] for trial in trials)
  counts['waiting'] += unasked
  shown = [f'{counts[x]} {x}' for x in STATES.values() if counts[x]]
  done = [trial for trial in trials if trial.state.name == 'COMPLETE']
  scores = [(trial.value or 0.0, folder_of(trial)) for trial in done]
  best = ''
  if scores:
    score, name = (min if selection[1] == 'min' else max)(scores)
    best = f'best {selection[0]} {score:.4g} in {name}'
  left = time_left(trials, counts['waiting'], slots)
  return Report(', '.join(shown) or 'no trials', best, left)


def time_left(trials: Sequence[FrozenTrial], waiting: int, slots: int) -> str:
  """Returns the time left if trials take as long as those that have ended."""
  ended = [trial for trial in trials if trial.state.name in ENDED]
  times = [trial.duration.total_seconds() for trial in ended if trial.duration]
  since = [
    (datetime.datetime.now() - trial.datetime_start).total_seconds()
    for trial in trials
    if trial.state.name == 'RUNNING' and trial.datetime_start
  ]
  if not times or not (since or waiting):
    return ''
  mean = statistics.mean(times)
  ahead = [max(mean - x, 0.0) for x in since] + [mean] * waiting
  return format_duration(max(sum(ahead) / max(slots, len(since)), *ahead))


class Progress:
  """A line on standard error: one that changes if that is a terminal.

  Elsewhere a line is printed when a trial changes its state.
  """

  def __init__(self) -> None:
    self._stream, self._shown = sys.stderr, Report('', '', '')
    self._is_terminal = self._stream.isatty()

  def show(self, report: Report) -> None:
    """Shows a report, unless it is there already."""
    seen, self._shown = self._shown, report
    if self._is_terminal and report != seen:
      self._write(f'\r{report.line(columns(self._stream) - 1)}\x1b[K')
    elif (report.counts, report.best) != (seen.counts, seen.best):
      self._write(f'{report.line()}\n')

  def say(self, text: str) -> None:
    """Prints a line of its own."""
    self.close()
    self._write(f'{text}\n')

  def close(self) -> None:
    """Ends the line on a terminal."""
    if self._is_terminal and self._shown.counts:
      self._shown = Report('', '', '')
      self._write('\n')

  def _write(self, text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
      self._stream.write(text)
      self._stream.flush()


def columns(stream: TextIO) -> int:
  """Returns the width of a terminal, or 80 if it is unknown."""
  try:
    return os.get_terminal_size(stream.fileno()).columns or 80
  except OSError:
    return 80
