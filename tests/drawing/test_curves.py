"""Curves show the numbers of each run, and the spread over seeds."""

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes

from hyper.drawing import curves


def curve(steps, values):
  return np.array(steps), np.array(values, float)


@pytest.fixture
def drawn(monkeypatch):
  """Returns a list that gets (steps, values, style) of every plotted line."""
  found, plot = [], Axes.plot

  def note(axes, x, y, *style, **options):
    if len(x):
      found.append((list(x), list(y), *style))
    return plot(axes, x, y, *style, **options)

  monkeypatch.setattr(Axes, 'plot', note)
  return found


def test_a_run_alone_is_drawn_as_it_is(drawn, tmp_path):
  run = {
    'validation': [curve([2], [3.0])],
    'train': [curve([1, 2], [5.0, 4.0])],
  }
  curves.draw(
    {'_$a': run}, 'bpc', str(tmp_path / 'x.png'), {'_$a': {'paper': 1.2}}
  )
  # A single point has no line, so it gets a marker.
  assert drawn == [([2], [3.0], '-o'), ([1, 2], [5.0, 4.0], ':')]


def test_runs_without_common_steps_stay_apart():
  apart = [curve([1, 2], [1, 1]), curve([5, 6], [2, 2])]
  found = curves.spread(apart)
  assert [mean[0].tolist() for mean, _, _ in found] == [[1, 2], [5, 6]]


def test_the_band_reaches_from_the_lowest_to_the_highest_run():
  runs = [curve([0, 10], [0, v]) for v in (1, 5, 3)]
  (((steps, mean), low, high),) = curves.spread(runs)
  assert steps.tolist() == [0, 10] and mean.tolist() == [0, 3]
  assert low.tolist() == [0, 1] and high.tolist() == [0, 5]


def test_the_frame_holds_validation_and_the_lowest_values():
  run = {
    'validation': [curve([1, 2, 3], [5.0, np.nan, 3.0])],
    'train': [curve([1, 2], [90.0, 2.0])],
  }
  for levels, ends in (([], (1.85, 5.15)), ([1.0], (0.8, 5.2))):
    found = curves.scale({'a': run}, levels)
    assert found['yscale'] == 'linear'
    np.testing.assert_allclose(found['ylim'], ends)
  del run['validation']
  assert curves.scale({'a': run}, []) == {}


def test_validation_without_errors_hides_no_training():
  run = {
    'validation': [curve([1, 2], [0.0, 0.0])],
    'train': [curve([1, 2], [2.0, 0.5])],
  }
  assert curves.scale({'a': run}, [])['ylim'] == (0.0, 2.1)
  run['validation'] = [curve([1, 2], [0.0, 10.0])]
  assert curves.scale({'a': run}, [])['ylim'] == (0.0, 10.5)


def test_the_legend_leaves_the_width_to_the_curves(tmp_path, monkeypatch):
  figures, make = [], curves.make_figure
  monkeypatch.setattr(
    curves,
    'make_figure',
    lambda *size: figures.append(make(*size)) or figures[0],
  )
  run = {'validation': [curve([500, 18_000], [2.0, 1.0])]}
  paper = {f'paper, LN HyperLSTM 1000, {x}: 1.250': 1.25 for x in 'abcd'}
  curves.draw({'a': run}, 'bpc', str(tmp_path / 'x.png'), {'a': paper})
  (axes,) = figures[0].axes
  assert axes.get_position().width > 0.8
  ends = sorted(
    (box.x0, box.x1)
    for text in axes.get_xticklabels()
    for box in [text.get_window_extent()]
  )
  assert len(ends) > 4
  assert all(a[1] < b[0] for a, b in itertools.pairwise(ends))


def test_a_wide_range_is_logarithmic_where_all_is_positive(tmp_path):
  run = {
    'validation': [curve([1, 2, 3], [60.0, 6.0, 3.0])],
    'train': [curve([1, 2], [90.0, 0.0])],
  }
  found = curves.scale({'a': run}, [1.2])
  assert found['yscale'] == 'log'
  np.testing.assert_allclose(found['ylim'], (1.0, 72.0))
  assert curves.scale({'a': run}, [-1.2])['yscale'] == 'linear'
  curves.draw({'a': run}, 'error', str(tmp_path / 'x.png'))


@pytest.mark.parametrize('count', [2, 11])
def test_every_group_has_a_colour_of_its_own(count):
  assert len({str(color) for color in curves._colors(count)}) == count
