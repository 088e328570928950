"""Batches: nothing lost, nothing twice, and the same from any start."""

import itertools

import numpy as np
import pytest

from hyper.data import batches


def take(iterator, count):
  return list(itertools.islice(iterator, count))


def assert_same(a, b):
  assert a.keys() == b.keys()
  for key in a:
    assert a[key].dtype == b[key].dtype
    np.testing.assert_array_equal(a[key], b[key], err_msg=key)


# A text that counts: each symbol is its own position.
def text(count):
  return np.arange(count, dtype=np.int32)


TRAINING = [(103, 4, 7), (64, 1, 5), (50, 3, 1), (200, 6, 16)]


def per_epoch(count, streams, window):
  iterator = batches.training_windows(text(count), streams, window, 3, 0)
  first = next(iterator)
  assert first['reset'].all()
  return 1 + sum(
    1 for _ in itertools.takewhile(lambda b: not b['reset'].any(), iterator)
  )


@pytest.mark.parametrize('count, streams, window', TRAINING)
def test_training_streams_continue_where_the_last_window_ended(
  count, streams, window
):
  steps = per_epoch(count, streams, window)
  iterator = batches.training_windows(text(count), streams, window, 3, 0)
  for _ in range(3):
    epoch = take(iterator, steps)
    for k, batch in enumerate(epoch):
      assert batch['inputs'].shape == (streams, window)
      assert batch['mask'].shape == (streams, window) and batch['mask'].all()
      np.testing.assert_array_equal(batch['reset'], np.full(streams, k == 0))
      np.testing.assert_array_equal(batch['targets'], batch['inputs'] + 1)
    inputs = np.concatenate([batch['inputs'] for batch in epoch], 1)
    assert (np.diff(inputs, axis=1) == 1).all()
    assert len(np.unique(inputs)) == inputs.size  # no symbol in two streams
    assert 0 <= inputs[0, 0] < window  # begins among the first symbols


@pytest.mark.parametrize('count, streams, window', TRAINING)
def test_little_of_the_text_is_left_out_of_an_epoch(count, streams, window):
  steps = per_epoch(count, streams, window)
  used = steps * streams * window
  assert used > count - window - streams * (window + 1)


def test_training_targets_are_the_symbols_of_the_text():
  symbols = np.random.default_rng(0).integers(0, 9, 90).astype(np.int32)
  places = take(batches.training_windows(text(90), 3, 4, 1, 0), 20)
  actual = take(batches.training_windows(symbols, 3, 4, 1, 0), 20)
  for place, batch in zip(places, actual, strict=True):
    np.testing.assert_array_equal(batch['inputs'], symbols[place['inputs']])
    np.testing.assert_array_equal(
      batch['targets'], symbols[place['inputs'] + 1]
    )


@pytest.mark.parametrize('count, streams, window', TRAINING)
def test_training_windows_can_start_anywhere(count, streams, window):
  steps = per_epoch(count, streams, window)
  whole = take(
    batches.training_windows(text(count), streams, window, 5, 0), 3 * steps + 2
  )
  for start in {0, 1, steps - 1, steps, steps + 1, 2 * steps, 3 * steps}:
    later = batches.training_windows(text(count), streams, window, 5, start)
    for batch in take(whole[start:], 3):
      assert_same(next(later), batch)


def test_epochs_and_seeds_begin_at_different_places():
  steps = per_epoch(400, 2, 50)
  starts = [
    int(
      next(batches.training_windows(text(400), 2, 50, seed, k * steps))[
        'inputs'
      ][0, 0]
    )
    for seed in (0, 1)
    for k in range(8)
  ]
  assert len(set(starts[:8])) > 4
  assert starts[:8] != starts[8:]


def test_the_shortest_text_works_and_a_shorter_one_is_an_error():
  streams, window = 3, 5
  shortest = window + streams * (window + 1)
  for seed in range(20):  # streams begin at different symbols
    next(batches.training_windows(text(shortest), streams, window, seed, 0))
  with pytest.raises(ValueError, match='too short for 3 streams of 5') as error:
    next(batches.training_windows(text(shortest - 1), streams, window, 0, 0))
  assert f'{shortest - 1}' in str(error.value)
  assert 'config.data.batch_size' in str(error.value)


# (symbols, streams, window, warmup)
SCORING = [
  *itertools.product((1, 10, 37), (1, 2, 5), (1, 4, 50), (0, 3, 20)),
  (3, 8, 2, 1),  # more streams than symbols
  (100, 7, 16, 40),
]


@pytest.mark.parametrize('count, streams, window, warmup', SCORING)
def test_scoring_windows_score_each_symbol_once(count, streams, window, warmup):
  symbols = text(count) + 100
  all_batches = list(
    batches.scoring_windows(symbols, 7, streams, window, warmup)
  )
  before = np.concatenate([[7], symbols[:-1]])
  length = -(-count // streams)
  starts = np.minimum(np.arange(streams) * length, count)
  ends = np.minimum(starts + length, count)
  window = min(window, (ends - np.maximum(starts - warmup, 0)).max())
  scored = []
  for k, batch in enumerate(all_batches):
    for key in ('inputs', 'targets', 'mask'):
      assert batch[key].shape == (streams, window)
    assert batch['inputs'].dtype == symbols.dtype
    np.testing.assert_array_equal(batch['reset'], np.full(streams, k == 0))
    np.testing.assert_array_equal(
      batch['inputs'], before[batch['targets'] - 100]
    )
    scored.append(batch['targets'][batch['mask']])
  np.testing.assert_array_equal(np.sort(np.concatenate(scored)), symbols)


def test_a_window_is_no_longer_than_its_streams():
  (batch,) = batches.scoring_windows(text(20), 7, 2, 10**12, 3)
  assert batch['inputs'].shape == (2, 13)


@pytest.mark.parametrize('count, streams, window, warmup', SCORING)
def test_warmup_is_the_text_just_before_a_stream(
  count, streams, window, warmup
):
  all_batches = list(
    batches.scoring_windows(text(count), 0, streams, window, warmup)
  )
  targets = np.concatenate([b['targets'] for b in all_batches], 1)
  mask = np.concatenate([b['mask'] for b in all_batches], 1)
  for stream in range(streams):
    if not mask[stream].any():
      continue
    first = int(mask[stream].argmax())  # the first symbol that is scored
    last = first + int(mask[stream].sum())
    start = int(targets[stream, first])
    assert mask[stream, first:last].all()
    assert first == min(warmup, start)
    np.testing.assert_array_equal(
      targets[stream, :last], np.arange(start - first, start + last - first)
    )


def images(count):
  return {'image': np.arange(count) * 10, 'label': np.arange(count)}


def test_a_shuffled_epoch_is_a_permutation():
  iterator = batches.shuffled(images(24), 6, 2, 0)
  epochs = []
  for _ in range(3):
    epoch = take(iterator, 4)
    for batch in epoch:
      assert batch['mask'].shape == (6,) and batch['mask'].all()
      np.testing.assert_array_equal(batch['image'], 10 * batch['label'])
    epochs.append(np.concatenate([batch['label'] for batch in epoch]))
    np.testing.assert_array_equal(np.sort(epochs[-1]), np.arange(24))
    assert (epochs[-1] != np.arange(24)).any()
  assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
  other = next(batches.shuffled(images(24), 6, 3, 0))['label']
  assert (other != epochs[0][:6]).any()


def test_an_incomplete_last_batch_is_left_out_of_an_epoch():
  epoch = take(batches.shuffled(images(23), 6, 2, 0), 3)
  labels = np.concatenate([batch['label'] for batch in epoch])
  assert len(np.unique(labels)) == 18
  again = take(batches.shuffled(images(23), 6, 2, 3), 3)
  assert (np.concatenate([b['label'] for b in again]) != labels).any()


@pytest.mark.parametrize('start', [0, 1, 2, 3, 4, 6, 8])
def test_shuffled_can_start_anywhere(start):
  whole = take(batches.shuffled(images(23), 6, 2, 0), 12)
  later = batches.shuffled(images(23), 6, 2, start)
  for batch in whole[start:]:
    assert_same(next(later), batch)


def test_a_batch_larger_than_the_data_is_an_error():
  next(batches.shuffled(images(6), 6, 0, 0))
  with pytest.raises(ValueError, match=r'batch_size is 7.* only 6 '):
    next(batches.shuffled(images(6), 7, 0, 0))


@pytest.mark.parametrize('count, size', [(12, 4), (13, 4), (3, 4), (1, 1)])
def test_in_order_covers_every_example_once(count, size):
  all_batches = list(batches.in_order(images(count), size))
  assert len(all_batches) == -(-count // size)
  for batch in all_batches:
    assert {len(x) for x in batch.values()} == {size}
    np.testing.assert_array_equal(batch['image'], 10 * batch['label'])
  labels = [batch['label'][batch['mask']] for batch in all_batches]
  np.testing.assert_array_equal(np.concatenate(labels), np.arange(count))
