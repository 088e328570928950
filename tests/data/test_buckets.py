"""Buckets: least padding, every example once, the same from any start."""

import itertools

import numpy as np
import pytest

from hyper.data import buckets


def make_examples(count=45, seed=0):
  """Returns examples of 3 to 20 steps, each with a value of its own."""
  rng = np.random.default_rng(seed)
  lengths = rng.integers(3, 21, count)
  return [np.full((n, 3), k + 1, np.float32) for k, n in enumerate(lengths)]


def lengths_of(examples):
  return np.array([len(example) for example in examples])


def steps_of(lengths, ends):
  return ends[np.searchsorted(ends, lengths)].sum()


@pytest.mark.parametrize('number', [1, 2, 3, 5])
def test_no_other_ends_need_fewer_steps(number):
  lengths = np.random.default_rng(1).integers(1, 12, 40)
  ends = buckets.choose_ends(lengths, number)
  assert len(ends) == number and ends[-1] == lengths.max()
  assert (np.diff(ends) > 0).all()
  every = itertools.combinations(range(1, lengths.max()), number - 1)
  least = min(
    steps_of(lengths, np.array([*some, lengths.max()])) for some in every
  )
  assert steps_of(lengths, ends) == least


def test_more_buckets_than_lengths_leave_no_padding():
  ends = buckets.choose_ends(np.array([4, 7, 4, 9]), 10)
  np.testing.assert_array_equal(ends, [4, 7, 9])
  assert buckets.padding_share(np.array([4, 7, 4, 9]), ends, 1) == 0


@pytest.mark.parametrize('shuffle', [False, True])
def test_a_plan_has_every_example_once_in_a_batch_that_it_fits(shuffle):
  lengths = lengths_of(make_examples())
  ends = buckets.choose_ends(lengths, 4)
  rng = np.random.default_rng(0) if shuffle else None
  batches = buckets.plan(lengths, ends, 4, rng)
  numbers = np.concatenate([numbers for _, numbers in batches])
  np.testing.assert_array_equal(np.sort(numbers), np.arange(45))
  for end, numbers in batches:
    assert end in ends and lengths[numbers].max() <= end
  sizes = sorted(len(numbers) for _, numbers in batches)
  assert sizes == [1] + [4] * 11


def test_an_example_too_long_for_all_buckets_is_an_error():
  with pytest.raises(ValueError, match='length 7 fits no bucket'):
    buckets.plan(np.array([3, 7]), np.array([3, 5]), 2)


def test_padding_follows_each_example():
  examples = [np.ones((2, 3)), 2 * np.ones((4, 3))]
  batch = buckets.padded(examples, 5, 3)
  assert batch['offsets'].shape == (3, 5, 3)
  np.testing.assert_array_equal(batch['length'], [2, 4, 0])
  np.testing.assert_array_equal(
    batch['offsets'][..., 0], [[1, 1, 0, 0, 0], [2, 2, 2, 2, 0], [0] * 5]
  )


def test_in_order_gives_each_example_once_and_padding_share_is_true():
  examples = make_examples()
  lengths = lengths_of(examples)
  ends = buckets.choose_ends(lengths, 4)
  batches = list(buckets.in_order(examples, ends, 4))
  found = [
    int(batch['offsets'][row, 0, 0])
    for batch in batches
    for row in range(4)
    if batch['length'][row]
  ]
  assert sorted(found) == list(range(1, 46))
  steps = sum(batch['offsets'][..., 0].size for batch in batches)
  share = buckets.padding_share(lengths, ends, 4)
  np.testing.assert_allclose(share, 1 - lengths.sum() / steps)
  assert len({batch['offsets'].shape for batch in batches}) <= 4


def test_an_epoch_is_a_new_order_of_whole_batches():
  examples = make_examples()
  ends = buckets.choose_ends(lengths_of(examples), 3)
  iterator = buckets.shuffled(examples, ends, 4, 0, 0)
  epochs = [list(itertools.islice(iterator, 11)) for _ in range(2)]
  orders = []
  for epoch in epochs:
    assert all((batch['length'] > 0).all() for batch in epoch)
    orders.append([int(x) for b in epoch for x in b['offsets'][:, 0, 0]])
    assert len(set(orders[-1])) == 44
  assert orders[0] != orders[1]


def test_batches_can_start_anywhere_and_depend_on_the_seed():
  examples = make_examples()
  ends = buckets.choose_ends(lengths_of(examples), 3)
  whole = list(itertools.islice(buckets.shuffled(examples, ends, 4, 5, 0), 30))
  for start in (0, 1, 10, 11, 12, 22, 25):
    later = next(buckets.shuffled(examples, ends, 4, 5, start))
    for key in later:
      np.testing.assert_array_equal(later[key], whole[start][key])
  other = next(buckets.shuffled(examples, ends, 4, 6, 0))
  assert other['offsets'].tobytes() != whole[0]['offsets'].tobytes()


def test_too_few_examples_are_an_error():
  examples = make_examples(3)
  with pytest.raises(ValueError, match='batch_size is 4, but .* only 3'):
    next(buckets.shuffled(examples, np.array([20]), 4, 0, 0))
