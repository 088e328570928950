"""Log lines while data are prepared, so that long work is not silent."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from absl import logging

SECONDS = 5.0  # from one line to the next
T = TypeVar('T')


def logged(
  items: Iterable[T],
  action: str,
  total: int = 0,
  size: Callable[[T], int] = lambda item: 1,
) -> Iterator[T]:
  """Yields `items`, and logs every few seconds how many it has yielded.

  Args:
    items: any items.
    action: what is done with them, such as 'Measuring sentence pairs'.
    total: the sum of their sizes; 0 if it is unknown.
    size: returns how many an item counts for.
  """
  began = last = time.monotonic()
  done, of_total = 0, f' of {total:,}' if total else ''
  for item in items:
    yield item
    done += size(item)
    now = time.monotonic()
    if now - last >= SECONDS:
      last = now
      logging.info(
        '%s: %s%s, %.0f s', action, f'{done:,}', of_total, now - began
      )
