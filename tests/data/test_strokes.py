"""Strokes to offsets and back, recording errors, packing, normalisation."""

import numpy as np
import pytest

from hyper.data import strokes


def stroke(*readings):
  return np.array(readings, float)


TWO = [
  stroke((0, 0, 0.0), (3, 4, 0.01)),
  stroke((10, 4, 0.5)),
  stroke((11, 5, 0.9), (12, 5, 0.91)),
]
OFFSETS = [[3, 4, 1], [7, 0, 1], [1, 1, 0], [1, 0, 1]]


def test_offsets_by_hand():
  offsets = strokes.to_offsets(TWO)
  assert offsets.dtype == np.float32
  np.testing.assert_array_equal(offsets, OFFSETS)


def test_a_first_stroke_of_one_reading_is_left_out():
  dots = [stroke((5, 5, 0)), stroke((6, 5, 0))]
  np.testing.assert_array_equal(strokes.to_offsets([*dots, *TWO]), OFFSETS)
  line = [stroke((5, 5, 0)), *TWO]
  np.testing.assert_array_equal(strokes.to_offsets(line), OFFSETS)


def test_gaps_are_filled_with_evenly_spaced_readings():
  line = stroke((0, 0, 0.0), (1, 1, 0.01), (5, -3, 0.05), (6, -3, 0.06))
  filled = strokes.fill_gaps(line, 0.01, 0.03, 1.0)
  np.testing.assert_allclose(filled[:, 0], [0, 1, 2, 3, 4, 5, 6])
  np.testing.assert_allclose(filled[:, 1], [0, 1, 0, -1, -2, -3, -3])
  np.testing.assert_allclose(filled[:, 2], np.arange(7) / 100, atol=1e-12)


@pytest.mark.parametrize('seconds', [-3.0, 0.0, 0.019, 1.5, np.nan])
def test_gaps_of_other_lengths_are_not_filled(seconds):
  line = stroke((0, 0, 0.0), (9, 9, seconds), (10, 9, seconds + 0.01))
  np.testing.assert_array_equal(strokes.fill_gaps(line, 0.01, 0.02, 1.0), line)


def test_a_long_step_is_removed_and_the_rest_moves_closer():
  offsets = np.float32([[1, 0, 0], [30, 40, 0], [2, 0, 0], [1, 1, 1]])
  found = strokes.remove_long_moves(offsets, 49.9)
  np.testing.assert_array_equal(found, offsets[[0, 2, 3]])
  np.testing.assert_array_equal(
    strokes.remove_long_moves(offsets, 50.0), offsets
  )


def test_a_stroke_ends_where_its_long_last_steps_are_removed():
  offsets = np.float32([[1, 0, 0], [99, 0, 0], [99, 0, 1], [1, 1, 0]])
  found = strokes.remove_long_moves(offsets, 50.0)
  np.testing.assert_array_equal(found, [[1, 0, 1], [1, 1, 0]])
  assert offsets[0, 2] == 0  # the argument is left as it was
  first = strokes.remove_long_moves(np.float32([[99, 0, 1], [1, 1, 0]]), 50.0)
  np.testing.assert_array_equal(first, [[1, 1, 0]])


def random_lines(count=5):
  rng = np.random.default_rng(0)
  return [
    strokes.Line(
      f'a-{k}', 'é\u2028 x' * (k % 2), rng.normal(3, [[2, 5, 1]], (k + 2, 3))
    )
    for k in range(count)
  ]


def test_packed_lines_unpack_to_the_same():
  lines = random_lines()
  again = strokes.unpack(strokes.pack(lines))
  for one, other in zip(lines, again, strict=True):
    assert (one.name, one.text) == (other.name, other.text)
    np.testing.assert_array_equal(one.offsets, other.offsets)


def test_normalised_offsets_have_mean_0_and_deviation_1():
  lines = random_lines(50)
  normal = strokes.normalisation_of(lines)
  steps = np.concatenate([normal.apply(line.offsets) for line in lines])
  np.testing.assert_allclose(steps[:, :2].mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(steps[:, :2].std(0), 1, rtol=1e-5)
  every = np.concatenate([line.offsets for line in lines])
  np.testing.assert_allclose(steps[:, 2], every[:, 2], rtol=1e-6)
  np.testing.assert_allclose(normal.invert(steps), every, rtol=1e-4, atol=1e-5)


def test_a_normalisation_survives_as_text():
  normal = strokes.normalisation_of(random_lines())
  again = strokes.Normalisation.from_text(normal.to_text())
  np.testing.assert_array_equal(again.mean, normal.mean)
  np.testing.assert_array_equal(again.deviation, normal.deviation)
  assert again.mean.dtype == np.float32
  old = strokes.Normalisation.from_text('{"mean": [1, 2], "deviation": [3, 4]}')
  assert old.mean.tolist() == [1, 2] and old.deviation.tolist() == [3, 4]


def test_lines_without_a_height_cannot_be_normalised():
  line = random_lines(1)[0]
  flat = strokes.Line('a', '', line.offsets * np.float32([1, 0, 1]))
  with pytest.raises(ValueError, match='equal in x or in y'):
    strokes.normalisation_of([flat])


def test_a_line_of_another_unit_is_scaled_to_the_usual_size():
  lines = random_lines(20)
  normal = strokes.normalisation_of(lines)
  every = np.concatenate([line.offsets for line in lines])
  fitted = normal.fit(every * (1000, 1000, 1))
  np.testing.assert_allclose(fitted, every, rtol=1e-4)
  with pytest.raises(ValueError, match='single point'):
    normal.fit(np.zeros((3, 3)))


def test_there_is_no_test_part():
  strokes.check_split('validation', 'it')
  with pytest.raises(ValueError, match='it has no test part.*--split=valid'):
    strokes.check_split('test', 'it')
