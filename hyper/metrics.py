"""Metrics of a run: JSON lines (the truth), TensorBoard, a progress line."""

import json
import math
import os
import shutil
import sys
import time
from typing import Any, TextIO

from absl import logging

FILE = 'metrics.jsonl'


class MetricsWriter:
  """Writes metrics.jsonl and TensorBoard events into a run folder.

  A line is {"step", "split", "time" (Unix seconds), and the values}. A run
  that resumes at a step first drops what was written after that step, so that
  the file reads as if the run had never stopped: training lines of step s and
  the evaluation of the state after step s are both written before the
  checkpoint s.
  """

  def __init__(self, workdir: str, start_step: int):
    from tensorboardX import SummaryWriter

    path = os.path.join(workdir, FILE)
    os.makedirs(workdir, exist_ok=True)
    if os.path.exists(path):
      _keep_until(path, start_step)
    self._file = open(path, 'a', encoding='utf-8')  # noqa: SIM115
    self._board = SummaryWriter(
      os.path.join(workdir, 'tensorboard'), purge_step=start_step + 1
    )

  def write(self, step: int, split: str, values: dict[str, float]) -> None:
    """Adds one line; a value that is not finite becomes null."""
    line = {'step': step, 'split': split, 'time': round(time.time(), 3)}
    for name, value in values.items():
      line[name] = value if math.isfinite(value) else None
      self._board.add_scalar(f'{split}/{name}', value, step)
    self._file.write(json.dumps(line, allow_nan=False) + '\n')
    self._file.flush()

  def close(self) -> None:
    """Closes both files."""
    self._file.close()
    self._board.close()


def _keep_until(path: str, step: int) -> None:
  kept = [line for line in _read_lines(path) if line['step'] <= step]
  with open(path + '.partial', 'w', encoding='utf-8') as file:
    file.writelines(json.dumps(line) + '\n' for line in kept)
  os.replace(path + '.partial', path)


def read(workdir: str) -> list[dict[str, Any]]:
  """The lines of a run's metrics; a half-written last one is left out.

  Raises:
    FileNotFoundError: the run has written none.
    ValueError: a line that is not the last is damaged.
  """
  path = os.path.join(workdir, FILE)
  if not os.path.exists(path):
    raise FileNotFoundError(f'{workdir} has no {FILE}: is it a run folder?')
  return _read_lines(path)


def _read_lines(path: str) -> list[dict[str, Any]]:
  with open(path, encoding='utf-8') as file:
    lines = file.read().split('\n')
  result = []
  for number, line in enumerate(lines, 1):
    if not line:
      continue
    try:
      result.append(json.loads(line))
    except json.JSONDecodeError as error:
      if number < len(lines):
        raise ValueError(f'{path}, line {number}, is damaged.') from error
  return result


class Progress:
  """How far a run is: one line on a terminal, log lines elsewhere.

  Args:
    total_steps: the step at which the run ends.
    start_step: the step at which it starts.
    unit: what speed is counted in, such as 'characters'.
    stream: where the line goes.
  """

  def __init__(
    self,
    total_steps: int,
    start_step: int,
    unit: str,
    stream: TextIO | None = None,
  ):
    self._total, self._unit = total_steps, unit
    self._stream = stream or sys.stderr
    self._last_step, self._last_time = start_step, time.monotonic()
    self._seconds_a_step: float | None = None
    self._updates = 0

  def update(self, step: int, values: dict[str, float], count: float) -> float:
    """Shows a step's values; returns the speed in units per second.

    Args:
      step: steps done.
      values: means since the last update.
      count: units processed since the last update.
    """
    now = time.monotonic()
    seconds = max(now - self._last_time, 1e-9)
    a_step = seconds / max(step - self._last_step, 1)
    self._last_step, self._last_time = step, now
    self._updates += 1
    if self._updates <= 2:  # the first one contains the compilation
      self._seconds_a_step = a_step
    else:
      self._seconds_a_step = 0.8 * self._seconds_a_step + 0.2 * a_step
    self._show(step, values, count / seconds)
    return count / seconds

  def _show(self, step: int, values: dict[str, float], speed: float) -> None:
    left = (self._total - step) * self._seconds_a_step
    text = '  '.join(
      (
        f'step {step:,}/{self._total:,}',
        *(f'{name} {value:.4g}' for name, value in values.items()),
        f'{speed:,.0f} {self._unit}/s',
        f'{duration(left)} left',
      )
    )
    if self._stream.isatty():
      width = shutil.get_terminal_size().columns - 1
      self._stream.write(f'\r\x1b[K{text[:width]}')
      self._stream.flush()
    else:
      logging.info('%s', text)

  def restart_clock(self) -> None:
    """Leaves what was done since the last update out of the speed."""
    self._last_time = time.monotonic()

  def clear(self) -> None:
    """Clears the terminal's line, so that something else can be written."""
    if self._stream.isatty():
      self._stream.write('\r\x1b[K')
      self._stream.flush()

  def close(self) -> None:
    """Ends the line."""
    self.clear()


def duration(seconds: float) -> str:
  """Hours, minutes and seconds, such as 1:02:03 or 12:03."""
  minutes, seconds = divmod(round(max(seconds, 0)), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minutes:02}:{seconds:02}'
  return f'{minutes}:{seconds:02}'
