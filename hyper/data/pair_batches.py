"""Sentence pairs to batches of one length each, under a token budget.

The pairs of a batch are a function of the lengths of all pairs, a seed and the
step. So a resumed run continues with the batch at which it stopped, and only
the lengths of a corpus need to fit into memory.
"""

import dataclasses
import hashlib
import io
import itertools
import math
import os
from collections.abc import Iterator

import numpy as np
from absl import logging

from hyper.data import raw_files
from hyper.data.parallel_text import Pairs
from hyper.data.word_pieces import END, PAD, START, UNKNOWN, WordPieces
from hyper.terminal import track

Arrays = dict[str, np.ndarray]
Chosen = tuple[int, int, np.ndarray]  # length, rows, numbers of pairs


@dataclasses.dataclass(frozen=True)
class Buckets:
  """The shapes of batches.

  Attributes:
    lengths: the longest sentence of each bucket, in pieces with its END; a
      pair is in the first that has room for both its sentences.
    batch_size: the most pairs in a batch.
    batch_tokens: the most pieces of one side, padding included.
  """

  lengths: tuple[int, ...]
  batch_size: int
  batch_tokens: int

  def __post_init__(self) -> None:
    rising = list(self.lengths) == sorted(set(self.lengths))
    if not self.lengths or not rising or self.lengths[0] < 1:
      raise ValueError(
        f'config.data.bucket_lengths is {self.lengths}; give positive lengths '
        'that rise.'
      )
    for name, least in (
      ('batch_size', 1),
      ('batch_tokens', self.lengths[-1]),
    ):
      if getattr(self, name) < least:
        raise ValueError(
          f'config.data.{name} is {getattr(self, name)}; with these buckets it '
          f'must be at least {least}.'
        )

  def rows(self, length: int) -> int:
    """Returns the number of pairs in a batch of this length."""
    return max(1, min(self.batch_size, self.batch_tokens // length))


class Order:
  """Assigns pairs to batches.

  Attributes:
    per_epoch: the number of batches in an epoch.
    left_out: the number of pairs in no batch, because a sentence is empty or
      longer than all buckets.

  Args:
    lengths: of the pairs, int [n, 2], with END.
    buckets: the shapes of batches.
    keep_all: whether every pair is in a batch, as in an evaluation. Longer
      pairs then get buckets at multiples of the longest length.
  """

  def __init__(
    self, lengths: np.ndarray, buckets: Buckets, keep_all: bool = False
  ):
    longest = lengths.max(1)
    bounds = list(buckets.lengths)
    usable = np.ones(len(lengths), bool)
    if keep_all:
      most = max(int(longest.max(initial=0)), bounds[-1])
      times = range(2, -(-most // bounds[-1]) + 1)
      bounds += [bounds[-1] * k for k in times]
    else:
      usable = (lengths > 1).all(1) & (longest <= bounds[-1])
    places = np.searchsorted(bounds, longest)
    self._members = [
      (bound, buckets.rows(bound), np.flatnonzero(usable & (places == k)))
      for k, bound in enumerate(bounds)
    ]
    self._lengths = lengths
    self.left_out = int((~usable).sum())
    self.per_epoch = sum(
      math.ceil(len(numbers) / rows) for _, rows, numbers in self._members
    )

  def once(self) -> Iterator[Chosen]:
    """Yields every pair once, the short ones first."""
    for length, rows, numbers in self._members:
      for first in range(0, len(numbers), rows):
        yield length, rows, numbers[first : first + rows]

  def epochs(self, seed: int, start: int) -> Iterator[Chosen]:
    """Yields shuffled epochs without end, from batch `start` on.

    The last batch of a bucket may have fewer pairs than rows.

    Raises:
      ValueError: no pair fits into a bucket.
    """
    if not self.per_epoch:
      raise ValueError(
        f'None of the {len(self._lengths):,} training pairs fits into '
        'config.data.bucket_lengths; give longer ones.'
      )
    epoch, step = divmod(start, self.per_epoch)
    while True:
      rng = np.random.default_rng((seed, epoch))
      shuffled = [rng.permutation(numbers) for _, _, numbers in self._members]
      batches = np.array(
        [
          (k, first)
          for k, (_, rows, numbers) in enumerate(self._members)
          for first in range(0, len(numbers), rows)
        ]
      )
      for k, first in rng.permutation(batches)[step:]:
        length, rows, _ = self._members[k]
        yield length, rows, shuffled[k][first : first + rows]
      epoch, step = epoch + 1, 0

  def padding_share(self) -> float:
    """Returns the share of padding in an epoch's batches, in [0, 1]."""
    places = pieces = 0
    for length, rows, numbers in self._members:
      places += 2 * length * rows * math.ceil(len(numbers) / rows)
      pieces += int(self._lengths[numbers].sum())
    return 1 - pieces / max(places, 1)


def fill(
  sources: list[np.ndarray], targets: list[np.ndarray], length: int, rows: int
) -> Arrays:
  """Returns a batch of encoded pairs, filled up with rows of padding.

  Returns:
    source [rows, length]; inputs [rows, length], which is START and then the
    target; and targets [rows, length]. After END all is PAD. A row without a
    pair has END as its source, and a target of PAD only, which is not scored.
  """
  batch = {
    key: np.full((rows, length), PAD, np.int32)
    for key in ('source', 'inputs', 'targets')
  }
  batch['source'][len(sources) :, 0] = END
  batch['inputs'][:, 0] = START
  for k, (source, target) in enumerate(zip(sources, targets, strict=True)):
    batch['source'][k, : len(source)] = source
    batch['inputs'][k, 1 : len(target)] = target[:-1]
    batch['targets'][k, : len(target)] = target
  return batch


def measure(pairs: Pairs, pieces: WordPieces, split: str) -> np.ndarray:
  """Returns lengths in pieces, with END, of all pairs, int32 [n, 2].

  If the pairs are on the disk, the lengths are stored beside them, with the
  fingerprint of the word pieces. So a large corpus is measured only once.

  Raises:
    ValueError: the stored lengths are damaged.
  """
  path = None
  if pairs.folder is not None:
    name = f'lengths_{split}_{pieces.fingerprint}.npy'
    path = os.path.join(pairs.folder, name)
    if os.path.exists(path):
      return _kept(path, len(pairs))
  chunks = track(
    pairs.chunks(), f'Measuring the {split} sentence pairs', len(pairs), len
  )
  parts = [
    np.array(
      [
        [len(x) for x in pieces.encode(side)]
        for side in zip(*chunk, strict=True)
      ],
      np.int32,
    ).T
    for chunk in chunks
  ]
  lengths = np.concatenate([np.zeros((0, 2), np.int32), *parts])
  if path is not None:
    _keep(lengths, path)
  return lengths


def _keep(lengths: np.ndarray, path: str) -> None:
  """Writes lengths and their SHA-256; logs a message if it cannot."""
  file = io.BytesIO()
  np.save(file, lengths)
  digest = hashlib.sha256(file.getvalue()).digest()
  try:
    raw_files.store(file.getvalue() + digest, path)
  except OSError as error:
    logging.info('The lengths of sentence pairs are not kept: %s', error)


def _kept(path: str, count: int) -> np.ndarray:
  """Reads what `_keep` wrote; files of early versions have no SHA-256."""
  with open(path, 'rb') as file:
    content = file.read()
  stream = io.BytesIO(content)
  try:
    lengths = np.lib.format.read_array(stream)
    if lengths.shape != (count, 2):
      raise ValueError(f'shape {lengths.shape}, not {(count, 2)}')
    body, digest = content[: stream.tell()], content[stream.tell() :]
    if digest and digest != hashlib.sha256(body).digest():
      raise ValueError('another checksum')
  except ValueError as error:
    raise ValueError(
      f'{path} is damaged ({error}). Delete it to have it made again.'
    ) from error
  return lengths


def unknown_share(pairs: Pairs, pieces: WordPieces) -> float:
  """Returns the share of UNKNOWN among the pieces of at most 10,000 pairs.

  These are taken evenly from all pairs; END does not count.
  """
  places = np.linspace(0, len(pairs) - 1, min(len(pairs), 10_000)).astype(int)
  sentences = itertools.chain.from_iterable(pairs.take(places))
  encoded = [x[:-1] for x in pieces.encode(list(sentences))]
  unknown = sum(int((x == UNKNOWN).sum()) for x in encoded)
  return unknown / max(sum(map(len, encoded)), 1)
