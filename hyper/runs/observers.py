"""Observers of a run: one that fails is dropped, and the run continues."""

import contextlib
import os
import pathlib
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from absl import logging


class Observer(Protocol):
  """Receives the metrics of a run; may raise, and must return quickly."""

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Takes the finite values of a split after `step` steps."""

  def close(self) -> None:
    """Ends the observation."""


class Observers:
  """The observers of a run. One that fails is dropped with a warning.

  >>> class Broken:
  ...   def write(self, step, split, values): raise OSError('disk full')
  ...   def close(self): print('closed')
  >>> Observers(Broken).write(1, 'train', {'loss': 2.0})
  closed

  Args:
    *makers: called without arguments, each returns an observer.
  """

  def __init__(self, *makers: Callable[[], Observer]):
    self._observers: list[Observer] = []
    for make in makers:
      try:
        self._observers.append(make())
      except Exception as error:
        _warn(make, error)

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Calls `write` of every observer."""
    for observer in [*self._observers]:
      try:
        observer.write(step, split, values)
      except Exception as error:
        _warn(observer, error)
        self._observers.remove(observer)
        with contextlib.suppress(Exception):
          observer.close()

  def close(self) -> None:
    """Closes all observers."""
    for observer in self._observers:
      try:
        observer.close()
      except Exception as error:
        _warn(observer, error)


def _warn(observer: Any, error: Exception) -> None:
  name = getattr(observer, '__name__', type(observer).__name__)
  logging.warning('%s failed; the run continues without it: %s', name, error)


class TensorBoard:
  """Writes TensorBoard's event files.

  tensorboardX writes from a thread with a short queue, which blocks the run
  once the thread has died. Here each event is written at once and whole.

  Args:
    folder: of the event files, made if it is missing.
    purge_step: tells TensorBoard to drop events of this step and later that
      earlier files have; None drops nothing.
  """

  def __init__(
    self, folder: str | os.PathLike[str], purge_step: int | None = None
  ):
    # Takes 0.2 s, which commands that only read the metrics need not spend.
    from tensorboardX.proto import event_pb2, summary_pb2
    from tensorboardX.record_writer import masked_crc32c

    self._event, self._summary = event_pb2.Event, summary_pb2.Summary
    self._checksum = masked_crc32c
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    host, now = socket.gethostname(), time.time_ns()
    # The last part keeps a quick restart from overwriting the file.
    name = f'events.out.tfevents.{now // 10**9}.{host}.{now}'
    self._path = path / name
    self.add(file_version='brain.Event:2')
    if purge_step is not None:
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self.add(step=purge_step, session_log=start)

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Writes the values as scalars called split/name."""
    scalars = [
      self._summary.Value(tag=f'{split}/{name}', simple_value=value)
      for name, value in values.items()
    ]
    self.add(step=step, summary=self._summary(value=scalars))

  def add(self, **fields: Any) -> None:
    """Appends an event: its length, its bytes, and a checksum of each.

    Raises:
      OSError: the file cannot be written.
    """
    data = self._event(wall_time=time.time(), **fields).SerializeToString()
    size = struct.pack('<Q', len(data))
    record = b''.join(
      part + struct.pack('<I', self._checksum(part)) for part in (size, data)
    )
    with self._path.open('ab', buffering=0) as file:
      if file.write(record) != len(record):
        raise OSError(f'{self._path} cannot be written whole')

  def close(self) -> None:
    """Does nothing: no file stays open between events."""
