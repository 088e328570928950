"""What a person sees of long work: short log lines, and bars on a terminal.

Anywhere else there are only log lines, without colour. A terminal that fails
ends the bars, never the work.
"""

import contextlib
import logging as standard
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TextIO, TypeVar

from absl import logging

LINE_SECONDS = 5.0  # from one log line of `track` to the next
BAR_SECONDS = 0.25  # from one drawing of the bars to the next
YELLOW, RED, PLAIN = '\x1b[33m', '\x1b[31m', '\x1b[0m'
T = TypeVar('T')


class Brief(standard.Formatter):
  """Formats a record as `HH:MM:SS message`, with its level from warnings on.

  Args:
    colour: whether warnings are yellow and errors red.
  """

  def __init__(self, colour: bool):
    super().__init__('%(asctime)s %(mark)s%(message)s', '%H:%M:%S')
    self._colour = colour

  def format(self, record: standard.LogRecord) -> str:
    """Returns the line of a record, with the traceback if it has one."""
    record.mark = ''
    if record.levelno < standard.WARNING:
      return super().format(record)
    record.mark = f'{record.levelname.lower()}: '
    line = super().format(record)
    if not self._colour:
      return line
    colour = YELLOW if record.levelno == standard.WARNING else RED
    return f'{colour}{line}{PLAIN}'


def log_briefly() -> None:
  """Makes absl's log lines short, for a command.

  JAX's own lines are warnings and worse: it also logs each kind of accelerator
  that it did not find.
  """
  has_colour = sys.stderr.isatty() and not os.environ.get('NO_COLOR')
  logging.get_absl_handler().setFormatter(Brief(has_colour))
  standard.getLogger('jax').setLevel(standard.WARNING)


@contextlib.contextmanager
def errors_to(file: IO[bytes]) -> Iterator[None]:
  """Writes standard error to `file`, and no longer to a terminal.

  This includes libraries that are not written in Python, such as XLA.
  """
  sys.stderr.flush()
  before = os.dup(2)
  os.dup2(file.fileno(), 2)
  try:
    yield
  finally:
    sys.stderr.flush()
    os.dup2(before, 2)
    os.close(before)


class Bars:
  """Bars at the foot of a terminal, below the log.

  They are first drawn BAR_SECONDS after they were made, so short work has none.

  Args:
    stream: the terminal; None means standard error.

  Attributes:
    is_shown: whether there is a terminal, and it has not failed.
  """

  def __init__(self, stream: TextIO | None = None):
    self._stream = stream or sys.stderr
    dumb = os.environ.get('TERM', '') in ('', 'dumb', 'unknown')
    self.is_shown = self._stream.isatty() and not dumb
    self._drawn = time.monotonic()
    self._progress = _make_progress(self._stream) if self.is_shown else None
    self._moved: dict[int, dict[str, Any]] = {}
    self._before = sys.stderr, _handler().stream

  def __enter__(self) -> 'Bars':
    return self

  def __exit__(self, *error: Any) -> None:
    self.close()

  def add(self, text: str, total: int = 0) -> int:
    """Returns the number of a new bar; one of `total` 0 has no end."""
    if self._progress is None:
      return 0
    return self._progress.add_task(text, total=total or None, note='')

  def move(self, bar: int, done: int, text: str, note: str) -> None:
    """Moves a bar to `done`, with `text` on its left, `note` on its right."""
    if self._progress is None:
      return
    self._moved[bar] = {'completed': done, 'description': text, 'note': note}
    if time.monotonic() - self._drawn >= BAR_SECONDS:
      self._guarded(self._draw)

  def remove(self, bar: int) -> None:
    """Removes a bar."""
    if self._progress is not None:
      self._moved.pop(bar, None)
      self._progress.remove_task(bar)

  def close(self) -> None:
    """Draws the bars a last time; they stay on the screen."""
    if self._progress is not None and self._progress.live.is_started:
      self._guarded(self._draw)
      self._guarded(self._stop)
    self._progress, self.is_shown = None, False

  def _draw(self, progress: Any) -> None:
    if not progress.live.is_started:
      progress.start()  # puts a stream that makes room into sys.stderr
      _handler().setStream(sys.stderr)
    for bar, changed in self._moved.items():
      progress.update(bar, **changed)
    progress.refresh()
    self._moved, self._drawn = {}, time.monotonic()

  def _stop(self, progress: Any) -> None:
    progress.stop()
    self._restore()

  def _restore(self) -> None:
    sys.stderr, stream = self._before
    _handler().setStream(stream)

  def _guarded(self, act: Callable[[Any], None]) -> None:
    """Calls `act` with the display, unless that has failed before."""
    if self._progress is None:
      return
    try:
      act(self._progress)
    except Exception as error:
      self._progress, self.is_shown = None, False
      self._restore()
      logging.warning('No bars are shown from now on: %r', error)


def _handler() -> Any:
  """Returns the handler that writes absl's log lines."""
  return logging.get_absl_handler().python_handler


def _make_progress(stream: TextIO) -> Any:
  from rich.console import Console  # takes 0.1 s, and only terminals need it
  from rich.progress import BarColumn, Progress, TextColumn
  from rich.table import Column

  return Progress(
    TextColumn('{task.description}', markup=False),
    BarColumn(bar_width=None, table_column=Column(min_width=8, ratio=1)),
    TextColumn('{task.fields[note]}', markup=False),
    console=Console(file=stream),
    auto_refresh=False,  # no thread
    redirect_stdout=False,  # which may be a file
    expand=True,
  )


def track(
  items: Iterable[T],
  action: str,
  total: int = 0,
  size: Callable[[T], int] = lambda item: 1,
  bars: Bars | None = None,
) -> Iterator[T]:
  """Yields `items`, and shows how many it has yielded.

  On a terminal it draws a bar, elsewhere it logs a line every LINE_SECONDS.

  Args:
    items: any items.
    action: what is done with them, such as 'Measuring sentence pairs'.
    total: the sum of their sizes; 0 if it is unknown.
    size: returns how many an item counts for.
    bars: where the bar is added; None opens some for this work alone.
  """
  shown = bars or Bars()
  bar = shown.add(action, total)
  began = last = time.monotonic()
  done, of_total = 0, f' of {total:,}' if total else ''
  try:
    for item in items:
      yield item
      done += size(item)
      shown.move(bar, done, action, f'{done:,}{of_total}')
      now = time.monotonic()
      if not shown.is_shown and now - last >= LINE_SECONDS:
        last = now
        logging.info(
          '%s: %s%s, %.0f s', action, f'{done:,}', of_total, now - began
        )
  finally:
    shown.remove(bar)
    if bars is None:
      shown.close()
