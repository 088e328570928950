"""Arrays to batches: slices whose content is a function of (seed, step).

All iterators can start at any step, so a resumed run continues with the batch
at which it stopped. Images come in shuffled epochs, text in contiguous streams.
"""

from collections.abc import Iterator

import numpy as np

Arrays = dict[str, np.ndarray]


def shuffled(
  arrays: Arrays, batch_size: int, seed: int, start: int
) -> Iterator[Arrays]:
  """Yields batches without end, in a new order each epoch, from `start` on.

  Drops the last, incomplete batch of each epoch.

  Raises:
    ValueError: there are fewer examples than one batch needs.
  """
  count = len(next(iter(arrays.values())))
  per_epoch = count // batch_size
  if not per_epoch:
    raise ValueError(
      f'config.data.batch_size is {batch_size}, but there are only {count} '
      'training examples; choose a smaller one.'
    )
  epoch, step = divmod(start, per_epoch)
  while True:
    order = np.random.default_rng((seed, epoch)).permutation(count)
    for k in range(step, per_epoch):
      chosen = order[k * batch_size : (k + 1) * batch_size]
      yield {key: x[chosen] for key, x in arrays.items()} | {
        'mask': np.ones(batch_size, bool)
      }
    epoch, step = epoch + 1, 0


def in_order(arrays: Arrays, batch_size: int) -> Iterator[Arrays]:
  """Yields all examples once; `mask` is false where a batch is filled up."""
  count = len(next(iter(arrays.values())))
  for first in range(0, count, batch_size):
    chosen = np.arange(first, first + batch_size)
    yield {
      key: x[np.minimum(chosen, count - 1)] for key, x in arrays.items()
    } | {'mask': chosen < count}


def training_windows(
  symbols: np.ndarray, streams: int, window: int, seed: int, start: int
) -> Iterator[Arrays]:
  """Yields windows of contiguous streams without end, from `start` on.

  In each epoch the text is cut into streams of equal length, which are read
  side by side. The first stream begins at one of the first `window` symbols,
  drawn for each epoch.

  Yields:
    inputs [streams, window]; targets, the symbols one place later; mask, all
    true; reset [streams], true in the first window of an epoch.

  Raises:
    ValueError: the text is too short for one window of every stream.
  """
  length = (len(symbols) - window) // streams
  per_epoch = (length - 1) // window
  if per_epoch < 1:
    raise ValueError(
      f'A text of {len(symbols):,} symbols is too short for {streams} streams '
      f'of {window} symbols; choose a smaller config.data.batch_size or '
      'config.data.window_steps.'
    )
  mask = np.ones((streams, window), bool)
  epoch, step = divmod(start, per_epoch)
  while True:
    shift = np.random.default_rng((seed, epoch)).integers(window)
    first = shift + np.arange(streams)[:, None] * length
    for k in range(step, per_epoch):
      here = first + k * window + np.arange(window)
      yield {
        'inputs': symbols[here],
        'targets': symbols[here + 1],
        'mask': mask,
        'reset': np.full(streams, k == 0),
      }
    epoch, step = epoch + 1, 0


def scoring_windows(
  symbols: np.ndarray, first: int, streams: int, window: int, warmup: int
) -> Iterator[Arrays]:
  """Yields windows that together score every symbol of a text exactly once.

  The text is cut into streams of equal length, and each stream begins up to
  `warmup` symbols early, on text that belongs to the stream before it and is
  not scored there. One stream is the plain pass over the whole text.

  Args:
    symbols: the text [n].
    first: the symbol to read before the text.
    streams: the number of streams read at once.
    window: the symbols of each stream in a batch; a shorter stream has one
      batch.
    warmup: the most unscored symbols read before a stream.

  Yields:
    What `training_windows` yields; `mask` is true where a target is scored.
  """
  count = len(symbols)
  inputs = np.concatenate([[first], symbols[:-1]]).astype(symbols.dtype)
  length = -(-count // streams)
  start = np.minimum(np.arange(streams) * length, count)
  end = np.minimum(start + length, count)
  begin = np.maximum(start - warmup, 0)
  longest = int((end - begin).max())
  window = min(window, longest)
  for k in range(-(-longest // window)):
    here = begin[:, None] + k * window + np.arange(window)
    scored = (here >= start[:, None]) & (here < end[:, None])
    inside = np.minimum(here, count - 1)
    yield {
      'inputs': inputs[inside],
      'targets': symbols[inside],
      'mask': scored,
      'reset': np.full(streams, k == 0),
    }
