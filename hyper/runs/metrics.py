"""Numbers of a run: JSON lines, TensorBoard beside them, and a progress line.

The lines of WORKDIR/metrics.jsonl are the record, one object each, as in

  {"step": 400, "split": "validation", "time": 1795271773.4, "bpc": 1.53}

with the time in seconds since 1970. The files in WORKDIR/tensorboard show the
same numbers, and may be deleted.
"""

import json
import math
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from logging import LogRecord
from typing import Any, TextIO

from absl import logging

RESERVED = ('step', 'split', 'time')


class MetricsWriter:
  """Appends to the metrics of a run, which may have been interrupted.

  A run goes on from a checkpoint, at `start_step`; what was written of later
  steps is going to happen again. So these lines are dropped on opening, as is
  a last line of which only a half was written. Lines of `start_step` itself
  stay, and are not written twice: whatever tells of a state must be written
  before its checkpoint is saved, namely the training metrics of the step that
  led to it and its evaluation. Then the file reads as if the run had never been
  interrupted, but for times, and for the first means of training, which leave
  out the steps before the interruption.

  JSON has no NaN and no infinity; both are written as null.

  Args:
    workdir: folder of the run, made if it is missing.
    start_step: the step of the state that the run starts from.

  Raises:
    ValueError: a line of an existing file, other than the last, is broken.
  """

  def __init__(self, workdir: str | os.PathLike[str], start_step: int = 0):
    # Takes 0.2 s, which commands that only read the metrics need not spend.
    from tensorboardX import SummaryWriter

    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'metrics.jsonl'
    is_resumed = path.exists()
    self._written = _rewind(path, start_step) if is_resumed else set()
    self._file = path.open('a', buffering=1, encoding='utf-8')
    self._board = SummaryWriter(
      str(folder / 'tensorboard'),
      purge_step=start_step + 1 if is_resumed else None,
      flush_secs=30,
      # The rest of the name is the second; a quick restart would overwrite.
      filename_suffix=f'.{time.time_ns()}',
    )

  def __enter__(self) -> 'MetricsWriter':
    return self

  def __exit__(self, *error: Any) -> None:
    self.close()

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Writes one line, at once, and the same values to TensorBoard.

    Args:
      step: the number of steps taken.
      split: 'train', 'validation' or another; the group in TensorBoard.
      values: means by name; NaN and infinity are left out of TensorBoard.

    Raises:
      ValueError: a value is called step, split or time.
    """
    if reserved := set(values).intersection(RESERVED):
      raise ValueError(f'{min(reserved)} cannot be the name of a value.')
    line: dict[str, Any] = {'step': int(step), 'split': split}
    line |= {name: float(value) for name, value in values.items()}
    if _identity(line) in self._written:
      return
    for name in values:
      if math.isfinite(line[name]):
        self._board.add_scalar(f'{split}/{name}', line[name], line['step'])
      else:
        line[name] = None
    line['time'] = round(time.time(), 3)
    self._file.write(json.dumps(line, allow_nan=False) + '\n')

  def close(self) -> None:
    """Writes what TensorBoard has not yet been given, and closes the files."""
    self._file.close()
    self._board.close()


def read(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """The metrics of a run, one dict a line, in the order of writing.

  A null, which stands for NaN or infinity, becomes NaN. A last line of which
  only a half was written is left out, so a run can be read while it trains.

  Raises:
    FileNotFoundError: the run has no metrics.
    ValueError: a line other than the last is broken; file and line are named.
  """
  lines = _parse(pathlib.Path(workdir) / 'metrics.jsonl')
  return [
    {name: math.nan if x is None else x for name, x in line.items()}
    for _, line in lines
  ]


def _parse(path: pathlib.Path) -> list[tuple[bytes, dict[str, Any]]]:
  """Each line as it is and as what it says, without a half last line."""
  parsed = []
  texts = path.read_bytes().splitlines()
  for number, text in enumerate(texts, 1):
    line = _parse_line(text)
    if line is not None:
      parsed.append((text, line))
    elif number < len(texts):
      raise ValueError(
        f'{path}, line {number} is broken: {text[:60]!r}. Remove it, or put '
        'back a copy of the file.'
      )
  return parsed


def _parse_line(text: bytes) -> dict[str, Any] | None:
  try:
    line = json.loads(text)
  except ValueError:
    return None
  is_sound = isinstance(line, dict) and isinstance(line.get('step'), int)
  return line if is_sound else None


def _rewind(path: pathlib.Path, step: int) -> set[Any]:
  """Drops the lines of later steps; returns which the step itself has."""
  kept = [pair for pair in _parse(path) if pair[1]['step'] <= step]
  content = b''.join(text + b'\n' for text, _ in kept)
  if content != path.read_bytes():
    part = path.with_suffix('.part')
    part.write_bytes(content)
    part.replace(path)
  return {_identity(line) for _, line in kept if line['step'] == step}


def _identity(line: Mapping[str, Any]) -> tuple[Any, ...]:
  names = frozenset(line).difference(RESERVED)
  return line['step'], line.get('split'), names


class Progress:
  """Says how far a run is: one line that changes, or a log line each time.

  On a terminal it looks like this; elsewhere it is logged.

    step 1,200/20,000  bpc 1.532  31,200 characters/s  12:03 left

  While it is open, absl's log messages clear the line before they appear; what
  is printed in another way needs `clear` first.

  Args:
    total_steps: the last step of the run.
    start_step: the step that this part of the run starts from.
    unit: what is counted, such as 'characters'.
    stream: where the line goes; None means standard error.
    clock: tells seconds.
  """

  def __init__(
    self,
    total_steps: int,
    start_step: int,
    unit: str,
    stream: TextIO | None = None,
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
    self, step: int, values: Mapping[str, float], count: float
  ) -> float:
    """Shows a step.

    The speed is that since the last update; the time left follows from the
    recent past, without the first update, which contains compilation.

    Args:
      step: the number of steps taken.
      values: what to show of it, by name.
      count: how many units were processed since the last update.

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
      parts.append(f'{_format_duration(left)} left')
    self._show('  '.join(parts))
    return speed

  def leave_out(self, seconds: float) -> None:
    """Leaves time since the last update, such as an evaluation's, out."""
    self._last_time += seconds

  def clear(self) -> None:
    """Empties the line, so that something else can be printed."""
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


def _width(terminal: TextIO) -> int:
  try:
    width = os.get_terminal_size(terminal.fileno()).columns
  except (OSError, ValueError):
    width = 0
  return width or shutil.get_terminal_size().columns


def _format_duration(seconds: float) -> str:
  """Minutes and seconds, such as 12:03, with hours before them if any."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minutes:02}:{seconds:02}'
  return f'{minutes}:{seconds:02}'
