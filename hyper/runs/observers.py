"""Observers of a run: one that fails is dropped, and the run continues."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from absl import logging

SECONDS = 60.0  # that an observer may take to close


@runtime_checkable  # annotations are checked in the tests
class Observer(Protocol):
  """Receives the metrics of a run; may raise, and must return quickly."""

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Takes the finite values of a split after `step` steps."""

  def show(self, step: int, name: str, sample: str | bytes) -> None:
    """Takes what the state after `step` steps makes: a text, or a PNG."""

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
    self._tell('write', step, split, values)

  def show(self, step: int, name: str, sample: str | bytes) -> None:
    """Calls `show` of every observer."""
    self._tell('show', step, name, sample)

  def close(self) -> None:
    """Closes all observers; one that takes a minute is left alone."""
    for observer in self._observers:
      try:
        _close(observer)
      except Exception as error:
        _warn(observer, error)

  def _tell(self, what: str, *args: Any) -> None:
    for observer in [*self._observers]:
      try:
        getattr(observer, what)(*args)
      except Exception as error:
        _warn(observer, error)
        self._observers.remove(observer)
        with contextlib.suppress(Exception):
          _close(observer)


def _close(observer: Any) -> None:
  """Closes an observer; raises a TimeoutError if that does not end in time."""
  failures: list[Exception] = []

  def close() -> None:
    try:
      observer.close()
    except Exception as error:
      failures.append(error)

  thread = threading.Thread(target=close, daemon=True)
  thread.start()
  thread.join(SECONDS)
  if thread.is_alive():
    raise TimeoutError(f'it has not closed after {SECONDS:g} s')
  if failures:
    raise failures[0]


def _warn(observer: Any, error: Exception) -> None:
  made_by = getattr(observer, 'func', observer)  # of a partial
  name = getattr(made_by, '__name__', type(observer).__name__)
  logging.warning('%s failed; the run continues without it: %s', name, error)
