"""Batches by length: every pair once, in an order that depends on the seed."""

import itertools

import numpy as np
import pytest

from configs import nmt_hyperlstm, nmt_lstm
from hyper.data import pair_batches, word_pieces
from hyper.data.pair_batches import Buckets, Order, fill
from hyper.data.parallel_text import Pairs
from hyper.data.word_pieces import END, PAD, START

SHAPES = Buckets((4, 8, 12), batch_size=6, batch_tokens=32)


@pytest.mark.parametrize('recipe', [nmt_lstm, nmt_hyperlstm])
def test_eight_devices_divide_a_batch_of_every_bucket(recipe):
  data = recipe.get_config().data
  buckets = Buckets(data.bucket_lengths, data.batch_size, data.batch_tokens)
  rows = [buckets.rows(length) for length in data.bucket_lengths]
  assert rows == [128, 128, 128, 128, 128, 120, 80]
  assert all(count % 8 == 0 for count in rows)


def make_lengths(count=200, seed=0):
  return np.random.default_rng(seed).integers(1, 16, (count, 2))


def test_rows_are_under_both_budgets():
  assert [SHAPES.rows(length) for length in (4, 8, 12, 64)] == [6, 4, 2, 1]


def test_every_pair_that_fits_is_in_an_epoch_once():
  lengths = make_lengths()
  order = Order(lengths, SHAPES)
  fits = np.flatnonzero((lengths > 1).all(1) & (lengths.max(1) <= 12))
  assert order.left_out == len(lengths) - len(fits) > 0
  iterator = order.epochs(seed=3, start=0)
  for _ in range(2):
    epoch = list(itertools.islice(iterator, order.per_epoch))
    numbers = np.concatenate([chosen for _, _, chosen in epoch])
    np.testing.assert_array_equal(np.sort(numbers), fits)
    for length, rows, chosen in epoch:
      assert rows == SHAPES.rows(length) and 1 <= len(chosen) <= rows
      assert lengths[chosen].max() <= length
      smaller = [x for x in SHAPES.lengths if x < length]
      assert not smaller or lengths[chosen].max(1).min() > smaller[-1]


def take(order, seed, start, count):
  return [
    (length, chosen.tolist())
    for length, _, chosen in itertools.islice(order.epochs(seed, start), count)
  ]


def test_any_start_gives_the_same_batches():
  order = Order(make_lengths(), SHAPES)
  per_epoch = order.per_epoch
  whole = take(order, 5, 0, 2 * per_epoch + 3)
  for start in (1, per_epoch - 1, per_epoch, per_epoch + 2, 2 * per_epoch):
    again = Order(make_lengths(), SHAPES)
    assert take(again, 5, start, len(whole) - start) == whole[start:]


def test_the_order_depends_on_the_seed_and_the_epoch():
  order = Order(make_lengths(), SHAPES)
  count = order.per_epoch
  one, other = take(order, 1, 0, 2 * count), take(order, 2, 0, count)
  assert one[:count] != other and one[:count] != one[count:]
  by_length = [length for length, _ in one[:count]]
  assert by_length != sorted(by_length)  # buckets are mixed


def test_an_evaluation_leaves_nothing_out():
  lengths = np.array([[1, 1], [3, 30], [12, 12], [13, 2], [24, 24], [25, 2]])
  order = Order(lengths, SHAPES, keep_all=True)
  found = [(length, chosen.tolist()) for length, _, chosen in order.once()]
  assert found == [
    (4, [0]),
    (12, [2]),
    (24, [3]),
    (24, [4]),
    (36, [1]),
    (36, [5]),
  ]
  assert order.left_out == 0


def test_the_padding_share_is_that_of_the_batches():
  lengths = make_lengths()
  order = Order(lengths, SHAPES)
  empty = places = 0
  for length, rows, chosen in order.once():
    sides = [[np.full(lengths[k, j], 9) for k in chosen] for j in (0, 1)]
    batch = fill(*sides, length, rows)
    places += batch['source'].size + batch['targets'].size
    empty += (batch['source'] != 9).sum() + (batch['targets'] != 9).sum()
  assert order.padding_share() == pytest.approx(empty / places)
  assert 0.2 < order.padding_share() < 0.9


def test_a_filled_batch_by_hand():
  source, target = np.array([7, END]), np.array([5, 6, END])
  batch = fill([source], [target], 4, 2)
  assert batch['source'].tolist() == [[7, END, PAD, PAD], [END, PAD, PAD, PAD]]
  assert batch['inputs'].tolist() == [
    [START, 5, 6, PAD],
    [START, PAD, PAD, PAD],
  ]
  assert batch['targets'].tolist() == [[5, 6, END, PAD], [PAD] * 4]


class Folder(Pairs):
  """Holds pairs in memory, and counts how often they are read."""

  def __init__(self, pairs):
    super().__init__(pairs)
    self.reads = 0

  def take(self, numbers):
    self.reads += 1
    return [self._records[number] for number in numbers]


def test_lengths_are_measured_once_for_each_set_of_pieces(tmp_path):
  sentences = [('aa bb', 'cc'), ('', 'b c a'), ('c', '')] * 5
  pieces = word_pieces.train(lambda: itertools.chain(*sentences), 20)
  pairs = Folder(sentences)
  plain = pair_batches.measure(pairs, pieces, 'train')
  wanted = [
    [len(pieces.encode([side])[0]) for side in pair] for pair in sentences
  ]
  np.testing.assert_array_equal(plain, wanted)
  pairs.folder, pairs.reads = str(tmp_path), 0
  for _ in range(2):
    np.testing.assert_array_equal(
      pair_batches.measure(pairs, pieces, 'train'), wanted
    )
    assert pairs.reads == 1
  other = word_pieces.train(lambda: ['aa bb cc'] * 3, 12)
  pair_batches.measure(pairs, other, 'train')
  assert pairs.reads == 2 and len(list(tmp_path.iterdir())) == 2


def kept_lengths(folder):
  """Returns pairs whose lengths are stored, their pieces, and the file."""
  pairs = Folder([('a', 'b')] * 3)
  pairs.folder = str(folder)
  pieces = word_pieces.train(lambda: ['aa bb cc'] * 3, 12)
  pair_batches.measure(pairs, pieces, 'train')
  (path,) = folder.iterdir()
  return pairs, pieces, path


@pytest.mark.parametrize(
  'damage', ['empty', 'text', 'zip', 'shape', 'number', 'cut']
)
def test_lengths_that_are_damaged_are_named(tmp_path, damage):
  pairs, pieces, path = kept_lengths(tmp_path)
  content = bytearray(path.read_bytes())
  if damage == 'shape':
    np.save(path, np.ones((2, 2), np.int32))
  elif damage == 'zip':
    np.savez(path.with_suffix('.npz'), lengths=np.ones((3, 2), np.int32))
    path.with_suffix('.npz').rename(path)
  else:
    content[-40] ^= damage == 'number'
    cut = {'empty': 0, 'cut': len(content) - 1}.get(damage, len(content))
    path.write_bytes(b'lengths' if damage == 'text' else content[:cut])
  with pytest.raises(ValueError, match=r'\.npy is damaged .* Delete it'):
    pair_batches.measure(pairs, pieces, 'train')


def test_lengths_without_a_checksum_are_read(tmp_path):
  pairs, pieces, path = kept_lengths(tmp_path)
  np.save(path, np.full((3, 2), 7, np.int32))
  assert (pair_batches.measure(pairs, pieces, 'train') == 7).all()


def test_lengths_that_cannot_be_kept_are_returned(tmp_path):
  pairs = Folder([('a', 'b')] * 3)
  (tmp_path / 'file').touch()
  pairs.folder = str(tmp_path / 'file')
  pieces = word_pieces.train(lambda: ['aa bb cc'] * 3, 12)
  assert pair_batches.measure(pairs, pieces, 'train').shape == (3, 2)


def test_the_share_of_unknown_pieces_by_hand():
  pieces = word_pieces.train(lambda: ['aa bb cc'] * 3, 12)
  pairs = Folder([('a', 'x'), ('', 'axx')] * 3)
  share = pair_batches.unknown_share(pairs, pieces)
  (one,), (other,) = pieces.encode(['a']), pieces.encode(['axx'])
  known = len(one) - 1 + len(other) - 1 - 2
  # A blank before x is a piece, too.
  assert share == pytest.approx(3 / (known + 3 + 1))
  assert pair_batches.unknown_share(Folder([]), pieces) == 0


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'lengths': ()}, 'bucket_lengths'),
    ({'lengths': (8, 4)}, 'bucket_lengths'),
    ({'lengths': (0, 4)}, 'bucket_lengths'),
    ({'batch_size': 0}, 'batch_size is 0'),
    ({'batch_tokens': 11}, 'batch_tokens is 11'),
  ],
)
def test_impossible_shapes_are_refused(fields, message):
  good = {'lengths': (4, 12), 'batch_size': 2, 'batch_tokens': 12}
  Buckets(**good)
  with pytest.raises(ValueError, match=message):
    Buckets(**good | fields)


def test_training_pairs_that_fit_no_bucket_are_an_error():
  with pytest.raises(ValueError, match='None of the 2 training pairs'):
    next(Order(np.array([[1, 3], [20, 2]]), SHAPES).epochs(0, 0))
