"""The progress line of a run."""

import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from logging import LogRecord
from typing import Any, SupportsFloat

from absl import logging


class Progress:
  """Shows how far a run is: one line on a terminal, otherwise log messages.

  The line looks like this:

    step 1,200/20,000  bpc 1.532  31,200 characters/s  12:03 left

  While it is open, absl's log messages clear the line before they appear. Call
  `clear` before printing in another way.

  Args:
    total_steps: the last step of the run.
    start_step: the step that this part of the run starts from.
    unit: what `count` counts, such as 'characters'.
    stream: shows the line; None means standard error.
    clock: tells seconds.
  """

  def __init__(
    self,
    total_steps: int,
    start_step: int,
    unit: str,
    stream: io.TextIOBase | None = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    self._total_steps, self._unit = total_steps, unit
    self._stream = stream or sys.stderr
    self._clock = clock
    self._last_step, self._last_time = start_step, clock()
    self._has_compiled = False
    self._step_seconds: float | None = None
    self._is_shown = False
    logging.get_absl_handler().addFilter(self._make_room)

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *error: Any) -> None:
    self.close()

  def update(
    self, step: int, values: Mapping[str, float], count: SupportsFloat
  ) -> float:
    """Shows a step, its speed, and the time left.

    The time left follows from the recent steps. The first update does not
    count, since it contains compilation.

    Args:
      step: the number of steps taken.
      values: the scores to show, by name.
      count: units processed since the last update.

    Returns:
      Units per second since the last update.
    """
    now = self._clock()
    seconds = max(now - self._last_time, 1e-9)
    self._smooth(seconds / max(step - self._last_step, 1))
    self._last_step, self._last_time = step, now
    speed = float(count) / seconds
    parts = [f'step {step:,}/{self._total_steps:,}']
    parts += [f'{name} {value:#.4g}' for name, value in values.items()]
    parts.append(f'{speed:,.{0 if speed >= 10 else 2}f} {self._unit}/s')
    if self._step_seconds is not None:
      left = (self._total_steps - step) * self._step_seconds
      parts.append(f'{format_duration(left)} left')
    self._show('  '.join(parts))
    return speed

  def leave_out(self, seconds: float) -> None:
    """Does not count `seconds` of an evaluation since the last update."""
    self._last_time += seconds

  def clear(self) -> None:
    """Clears the line, so that something else can be printed."""
    if self._is_shown:
      self._stream.write('\r\x1b[K')
      self._stream.flush()
      self._is_shown = False

  def close(self) -> None:
    """Ends the line, which stays."""
    logging.get_absl_handler().removeFilter(self._make_room)
    if self._is_shown:
      self._stream.write('\n')
      self._stream.flush()
      self._is_shown = False

  def _smooth(self, step_seconds: float) -> None:
    if self._step_seconds is not None:
      self._step_seconds += 0.1 * (step_seconds - self._step_seconds)
    elif self._has_compiled:
      self._step_seconds = step_seconds
    self._has_compiled = True

  def _show(self, line: str) -> None:
    if not self._stream.isatty():
      logging.info('%s', line)
      return
    # A full last column would wrap, and \r return to the wrong line.
    self._stream.write(f'\r{line[: _width(self._stream) - 1]}\x1b[K')
    self._stream.flush()
    self._is_shown = True

  def _make_room(self, record: LogRecord) -> bool:
    del record
    self.clear()
    return True


def _width(terminal: Any) -> int:
  try:
    width = os.get_terminal_size(terminal.fileno()).columns
  except (OSError, ValueError):
    width = 0
  return width or shutil.get_terminal_size().columns


def format_duration(seconds: float) -> str:
  """Returns a time such as 12:03 or, with hours, 1:12:03."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minutes:02}:{seconds:02}'
  return f'{minutes}:{seconds:02}'
