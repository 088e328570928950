"""Learning curves over steps and over time are readable."""

import pytest

from hyper.drawing import progress
from hyper.drawing.progress import Curve


@pytest.fixture
def draw(tmp_path, monkeypatch):
  """Returns a function that draws a curve and returns its two axes."""
  figures, make = [], progress.make_figure

  def keep(*size):
    figures.append(make(*size))
    return figures[-1]

  monkeypatch.setattr(progress, 'make_figure', keep)

  def axes_of(*curves):
    progress.draw({'Text': curves}, str(tmp_path / 'x.png'))
    return figures[-1].axes

  return axes_of


def shown(axes):
  """Returns the numbers on the axis of steps or of time."""
  low, high = axes.get_xlim()
  return [x for x in axes.get_xticks() if low <= x <= high]


def test_axes_have_few_numbers_however_short_the_time(draw):
  hours = [k * 0.00008 for k in range(11)]
  left, right = draw(Curve('a', 'bpc', [*range(11)], hours, [3.0] * 11))
  assert 2 <= len(shown(left)) <= 6 and 2 <= len(shown(right)) <= 6


def test_steps_are_whole_and_no_error_is_negative(draw):
  curve = Curve('a', '% error', [0, 25, 50], [0.0, 0.1, 0.2], [9.0, 1.0, 0.0])
  left, right = draw(curve)
  assert all(x == int(x) for x in shown(left))
  assert left.get_ylim()[0] == right.get_ylim()[0] == 0
  left, _ = draw(Curve('a', 'nats', [1, 2], [0.0, 0.1], [2.0, -2.0]))
  assert left.get_ylim()[0] < -2


@pytest.mark.parametrize(
  'hours, unit',
  [(0.0004, 'seconds'), (0.2, 'minutes'), (1.9, 'minutes'), (2.0, 'hours')],
)
def test_time_is_in_a_unit_of_which_there_are_two(draw, hours, unit):
  nowhere = Curve('b', 'bpc', [1], [float('nan')], [2.0])
  _, right = draw(Curve('a', 'bpc', [1, 2], [0, hours], [2.0, 1.0]), nowhere)
  assert right.get_xlabel() == unit
  line, _ = right.get_lines()
  count = {'hours': 1, 'minutes': 60, 'seconds': 3600}[unit]
  assert line.get_xdata()[-1] == pytest.approx(hours * count)
