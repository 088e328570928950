"""Examples of different lengths to batches of few shapes.

Examples of similar length share a bucket, and all batches of a bucket have the
length of its longest example. As in `batches`, the content of a batch is a
function of (seed, step).
"""

from collections.abc import Iterator, Sequence

import numpy as np

Arrays = dict[str, np.ndarray]


def choose_ends(lengths: np.ndarray, buckets: int) -> np.ndarray:
  """Returns the longest length of each bucket, so that padding is least.

  Args:
    lengths: of all examples, positive integers [n].
    buckets: the most buckets; fewer are returned if there are fewer lengths.

  Returns:
    int64 [at most `buckets`], increasing; the last is the greatest length.
  """
  ends, counts = np.unique(lengths, return_counts=True)
  number = np.concatenate([[0], np.cumsum(counts)])  # shorter than each end
  # price[j, k]: the size of one bucket of the lengths j to k, padding included.
  # cost[k]: the least size of the buckets so far that hold lengths 0 to k.
  price = (number[None, 1:] - number[:-1, None]) * ends.astype(np.float64)
  price[np.tril_indices(len(ends), -1)] = np.inf
  cost, firsts = price[0], []
  for _ in range(min(buckets, len(ends)) - 1):
    before = np.concatenate([[np.inf], cost[:-1]])
    total = before[:, None] + price
    firsts.append(total.argmin(0))
    cost = total.min(0)
  chosen = [len(ends) - 1]
  for first in reversed(firsts):
    chosen.append(first[chosen[-1]] - 1)
  return ends[chosen[::-1]]


def plan(
  lengths: np.ndarray,
  ends: np.ndarray,
  batch_size: int,
  rng: np.random.Generator | None = None,
) -> list[tuple[int, np.ndarray]]:
  """Returns batches that have every example once.

  Examples that do not fill a batch of their bucket go into the next longer one;
  those of the last bucket make an incomplete batch.

  Args:
    lengths: of the examples [n].
    ends: the length of each bucket's batches.
    batch_size: examples of a whole batch.
    rng: shuffles examples and then batches; None keeps them in order.

  Returns:
    For each batch its length, and the numbers of its examples.

  Raises:
    ValueError: an example is longer than the last bucket.
  """
  if lengths.max() > ends[-1]:
    raise ValueError(
      f'an example of length {lengths.max()} fits no bucket; the longest is '
      f'{ends[-1]}.'
    )
  bucket = np.searchsorted(ends, lengths)
  batches, left = [], np.zeros(0, np.int64)
  for k, end in enumerate(ends):
    order = np.concatenate([left, np.flatnonzero(bucket == k)])
    order = order if rng is None else rng.permutation(order)
    parts = np.split(order, np.arange(batch_size, len(order), batch_size))
    left = parts.pop() if len(parts[-1]) < batch_size else left[:0]
    batches += [(int(end), part) for part in parts]
  if len(left):
    batches.append((int(ends[-1]), left))
  if rng is not None:
    batches = [batches[k] for k in rng.permutation(len(batches))]
  return batches


def shuffled(
  examples: Sequence[np.ndarray],
  ends: np.ndarray,
  batch_size: int,
  seed: int,
  start: int,
) -> Iterator[Arrays]:
  """Yields whole batches without end, in a new order each epoch.

  Drops the last, incomplete batch of each epoch.

  Args:
    examples: arrays [t, ...].
    ends: the length of each bucket's batches.
    batch_size: examples of a batch.
    seed: of the order.
    start: the first batch.

  Yields:
    'offsets' [batch_size, t, ...] with zeros after each example, and 'length'
    int32 [batch_size].

  Raises:
    ValueError: there are fewer examples than one batch needs.
  """
  lengths = np.array([len(example) for example in examples])
  per_epoch = len(examples) // batch_size
  if not per_epoch:
    raise ValueError(
      f'config.data.batch_size is {batch_size}, but there are only '
      f'{len(examples)} training examples; choose a smaller one.'
    )
  epoch, step = divmod(start, per_epoch)
  while True:
    rng = np.random.default_rng((seed, epoch))
    batches = plan(lengths, ends, batch_size, rng)
    whole = [batch for batch in batches if len(batch[1]) == batch_size]
    for length, numbers in whole[step:]:
      yield padded([examples[n] for n in numbers], length, batch_size)
    epoch, step = epoch + 1, 0


def in_order(
  examples: Sequence[np.ndarray], ends: np.ndarray, batch_size: int
) -> Iterator[Arrays]:
  """Yields all examples once, short ones first; a padded row has length 0."""
  lengths = np.array([len(example) for example in examples])
  for length, numbers in plan(lengths, ends, batch_size):
    yield padded([examples[n] for n in numbers], length, batch_size)


def padded(
  examples: Sequence[np.ndarray], length: int, batch_size: int
) -> Arrays:
  """Returns one batch, with zeros after each example and in missing rows."""
  offsets = np.zeros(
    (batch_size, length, *examples[0].shape[1:]), examples[0].dtype
  )
  lengths = np.zeros(batch_size, np.int32)
  for k, example in enumerate(examples):
    offsets[k, : len(example)] = example
    lengths[k] = len(example)
  return {'offsets': offsets, 'length': lengths}


def padding_share(
  lengths: np.ndarray, ends: np.ndarray, batch_size: int
) -> float:
  """Returns the share of padding in the steps of all batches, in [0, 1]."""
  batches = plan(lengths, ends, batch_size)
  return float(1 - lengths.sum() / sum(end * batch_size for end, _ in batches))
