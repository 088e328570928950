"""Metrics of a run: JSON lines for programs, TensorBoard for people."""

import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any, SupportsInt

from absl import logging

from hyper import files
from hyper.runs.observers import Observers
from hyper.runs.record import METRICS

KINDS: dict[str, Any] = {'step': int, 'split': str, 'time': int | float}
SECONDS_PER_STEP = 'seconds_per_step'  # in lines of training
RESERVED = (*KINDS, SECONDS_PER_STEP)  # names that no value may have


class MetricsWriter:
  """Appends to metrics.jsonl of a new or resumed run.

  A run resumes from a checkpoint, at `start_step`, and takes the later steps
  again. Their lines are therefore dropped on opening, as is an incomplete last
  line. Lines of `start_step` itself stay and are not written twice. The caller
  writes the metrics of the step that led to a state, and the evaluation of that
  state, before it saves the checkpoint. The file then reads as if the run had
  never been interrupted, except for times, and for the first means of training,
  which leave out the steps before the interruption.

  A line that cannot be written (a full disk) is kept and tried again with the
  next one; `flush` raises if that fails too. TensorBoard gets the same values.

  JSON has neither NaN nor infinity; both are written as null.

  Args:
    workdir: folder of the run, made if it is missing.
    start_step: the step of the state that the run starts from.

  Raises:
    ValueError: a line of an existing file, other than the last, is broken.
  """

  def __init__(
    self,
    workdir: str | os.PathLike[str],
    start_step: int = 0,
    observers: Observers | None = None,
  ):
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    self._path = folder / METRICS
    is_resumed = self._path.exists()
    self._written = _rewind(self._path, start_step) if is_resumed else set()
    self._file = self._path.open('ab', buffering=0)
    self._unwritten = b''
    self._has_warned = False
    self._observers = observers or Observers()

  def __enter__(self) -> 'MetricsWriter':
    return self

  def __exit__(self, *error: Any) -> None:
    self.close()

  def write(
    self,
    step: SupportsInt,
    split: str,
    values: Mapping[str, float],
    seconds_per_step: float | None = None,
  ) -> None:
    """Writes one line, at once, and tells the observers.

    Args:
      step: the number of steps taken.
      split: 'train', 'validation' or another; the group in TensorBoard.
      values: means by name; TensorBoard gets those that are finite.
      seconds_per_step: of training, for the line alone.

    Raises:
      ValueError: a value has a name of RESERVED.
    """
    if reserved := set(values).intersection(RESERVED):
      raise ValueError(f'{min(reserved)} cannot be the name of a value.')
    numbers = {name: float(value) for name, value in values.items()}
    finite = {name: x for name, x in numbers.items() if math.isfinite(x)}
    line = {'step': int(step), 'split': split, **dict.fromkeys(numbers)}
    line |= finite
    if _identity(line) in self._written:
      return
    if seconds_per_step is not None:
      line[SECONDS_PER_STEP] = seconds_per_step
    line['time'] = round(time.time(), 3)
    self._unwritten += json.dumps(line, allow_nan=False).encode() + b'\n'
    self._try_to_flush()
    self._observers.write(int(step), split, finite)

  def flush(self) -> None:
    """Writes the lines that could not be written before.

    Raises:
      OSError: they cannot be written now either.
    """
    try:
      while self._unwritten:
        written = self._file.write(self._unwritten) or 0
        self._unwritten = self._unwritten[written:]
    except OSError as error:
      raise OSError(error.errno, error.strerror, str(self._path)) from error

  def close(self) -> None:
    """Closes the file and the observers."""
    self._try_to_flush()
    self._file.close()
    self._observers.close()

  def _try_to_flush(self) -> None:
    try:
      self.flush()
    except OSError as error:
      if not self._has_warned:
        logging.warning('%s; the lines are kept until the next save.', error)
      self._has_warned = True


def read(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """Returns the metrics of a run, a dict for each line, in order.

  A null, which stands for NaN or infinity, becomes NaN. An incomplete last line
  is left out, so a run can be read while it trains.

  Raises:
    FileNotFoundError: the run has no metrics.
    ValueError: a line other than the last is broken; file and line are named.
  """
  lines = _parse(pathlib.Path(workdir) / METRICS)
  return [
    {name: math.nan if x is None else x for name, x in line.items()}
    for _, line in lines
  ]


def _parse(path: pathlib.Path) -> list[tuple[bytes, dict[str, Any]]]:
  """Returns bytes and content of each line, without an incomplete last one."""
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
  except (ValueError, RecursionError):
    return None
  if not isinstance(line, dict):
    return None
  if not all(isinstance(line.get(x), kind) for x, kind in KINDS.items()):
    return None
  values = [x for name, x in line.items() if name not in KINDS]
  is_sound = all(isinstance(x, int | float | None) for x in values)
  return line if is_sound else None


def _rewind(path: pathlib.Path, step: int) -> set[Any]:
  """Drops lines after `step`; returns the identities of the lines of `step`."""
  kept = [pair for pair in _parse(path) if pair[1]['step'] <= step]
  content = b''.join(text + b'\n' for text, _ in kept)
  if content != path.read_bytes():
    files.write(path, content)
  return {_identity(line) for _, line in kept if line['step'] == step}


def _identity(line: Mapping[str, Any]) -> tuple[Any, ...]:
  names = frozenset(line).difference(RESERVED)
  return line['step'], line.get('split'), names
