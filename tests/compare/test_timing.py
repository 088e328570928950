"""The time spent in training steps, from the lines of metrics."""

import math

import pytest
from compared_runs import group, make_run

from hyper.compare import curves, tables, timing

SPEED = 'images_per_second'


def made(
  spent,
  evaluations=None,
  aside=None,
  units=100.0,
  step=10,
  speed=True,
  said=False,
):
  """Returns the lines of a run of which the time of each step is known.

  Args:
    spent: seconds in the steps before each line of training.
    evaluations: by the number of the line, the seconds of one after it.
    aside: likewise, seconds that pass before the steps and are in no speed.
    units: of each step.
    step: the steps between lines.
    speed: whether lines have the speed.
    said: whether they have the seconds of a step.
  """
  now, lines = 1_000.0, []
  for k, seconds in enumerate(spent):
    now += seconds + (aside or {}).get(k, 0)
    line = {'step': step * (k + 1), 'split': 'train', 'time': now}
    lines.append(line | {SPEED: step * units / seconds} if speed else line)
    if said:
      lines[-1]['seconds_per_step'] = seconds / step
    if k in (evaluations or {}):
      now += evaluations[k]
      lines.append(line | {'split': 'validation', 'time': now})
  return lines


def test_evaluations_and_interruptions_are_no_time_of_training():
  spent = [5.0, 4.0, 6.0, 4.0, 4.0, 5.0]
  lines = made(
    spent,
    evaluations=dict.fromkeys(range(6), 30.0),
    aside={0: 50.0, 3: 20_000.0, 5: -30_000.0},  # the clock is set back
  )
  wanted = [sum(spent[: k + 1]) for k in range(6) for _ in range(2)]
  assert timing.seconds(lines) == pytest.approx(wanted)


def test_a_save_before_every_line_is_no_time_of_training():
  spent = [2.0, 1.0, 3.0, 1.0, 1.0, 2.0]
  aside = dict.fromkeys(range(6), 9.0)
  lines = made(spent, dict.fromkeys(range(6), 30.0), aside, said=True)
  wanted = [sum(spent[: k + 1]) for k in range(6) for _ in range(2)]
  assert timing.seconds(lines) == pytest.approx(wanted)


def test_a_run_that_an_earlier_version_began_keeps_its_first_times():
  lines = made([4.0, 4.0, 4.0, 4.0])
  before = timing.seconds(lines)
  lines[3]['seconds_per_step'] = 0.1
  assert timing.seconds(lines) == pytest.approx([*before[:3], before[2] + 1])


def test_an_evaluation_between_two_lines_is_at_its_own_step():
  lines = made([4.0, 4.0])
  lines.insert(1, {'step': 15, 'split': 'validation', 'time': 1_300.0})
  lines[2]['time'] = 1_302.0
  lines.append({'step': 25, 'split': 'validation', 'time': 1_400.0})
  assert timing.seconds(lines) == pytest.approx([4, 6, 8, 10])


def test_without_speeds_every_step_takes_the_median():
  lines = made([4.0, 4.0, 4.0], aside={2: 900.0}, speed=False)
  assert timing.seconds(lines) == pytest.approx([4, 8, 12])
  evaluations = [x | {'split': 'validation'} for x in lines]
  assert timing.seconds(evaluations) == pytest.approx([4, 8, 12])


def test_the_time_of_one_line_is_unknown():
  assert timing.seconds([]) == []
  assert timing.seconds(made([4.0])) == [0.0]


def test_lines_that_have_no_finite_speed_take_the_next():
  lines = made([4.0, 4.0, 4.0])
  lines[1][SPEED] = math.nan
  assert timing.seconds(lines) == pytest.approx([4, 8, 12])


def test_tables_and_curves_agree(tmp_path):
  make_run(tmp_path, 'mnist_cnn', paces=(600, 600, 900_000, 600))
  entries = group(str(tmp_path))
  (grid,) = tables.compare(entries)
  assert dict(zip(grid.header, *grid.rows, strict=True))['time'] == '40 min'
  assert curves.curve_of(entries[0].first).hours[-1] == pytest.approx(
    2 / 3, rel=0.01
  )
