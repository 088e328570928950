"""Points of a sweep: their fields and values, and when they are checked."""

import json

import pytest
from sweep_cases import CONFIG, ROOT, SUGGEST

from hyper.sweeping import space
from hyper.sweeping.search import Search, ends
from hyper.sweeping.space import Point
from hyper.tasks import make_task


def test_points_of_several_configs():
  baseline = f'{ROOT}/configs/mnist_cnn.py:embedded'
  points = space.points([CONFIG, baseline], ['seed=0,1'], ['l2_rate=1'], 0)
  assert [(p.config, dict(p.fields)) for p in points] == [
    (config, {'seed': seed, 'l2_rate': 1.0})
    for config in (CONFIG, baseline)
    for seed in (0, 1)
  ]
  points = space.points([CONFIG], [], (), 2)  # in place of the grid's 3 seeds
  assert len(points) == 6
  assert {point.fields['seed'] for point in points} == {0, 1}


def test_a_point_is_the_same_after_it_was_written():
  point = Point(CONFIG, {'data.split': (0.8, 0.1, 0.1)})
  config, fields = json.loads(point.key)
  again = Point(config, fields)
  assert again.key == point.key and again.make() == point.make()


@pytest.mark.parametrize(
  'grids, assignments, error',
  [
    (['model.hiden_units=3'], [], "--grid=.*no field.*'model.hidden_units'"),
    (['model.hidden_units=3,x'], [], '--grid=.*must be of type int'),
    (['seed'], [], 'give FIELD=VALUE,VALUE'),
    (['seed=1'], ['seed=2'], 'both --grid and --set name seed'),
    ([], ['seeds=2'], "--set=.*no field 'seeds'"),
  ],
)
def test_what_cannot_vary_is_an_error(grids, assignments, error):
  with pytest.raises(ValueError, match=error):
    space.points([CONFIG], grids, assignments, 0)


@pytest.mark.parametrize(
  'fields, error',
  [
    ({'optimizer.name': 'foo'}, 'allowed: adam, sgd'),
    ({'model.name': 'foo'}, 'config.model.name'),
    ({'train_steps': 0}, 'config.train_steps is 0'),
    ({'model.units': 3}, "no field 'model.units'"),
  ],
)
def test_values_are_checked_before_the_first_trial(fields, error, data_dir):
  points = [Point(CONFIG, {}), Point(CONFIG, fields)]
  space.check(points[:1], make_task, data_dir)
  with pytest.raises(ValueError, match=error):
    space.check(points, make_task, data_dir)


@pytest.mark.parametrize(
  'body, error',
  [
    ("{'model.hiden': trial.suggest_int('a', 1, 2)}", "no field 'model.hiden'"),
    ("{'seed': trial.suggest_int('a', 2, 1)}", 'from 2 to 1'),
    ("{'seed': trial.suggest_int('a', 0, 9, log=True)}", 'on a log scale'),
    ("{'seed': trial.suggest('a')}", 'no suggest; it has suggest_categorical'),
    ("trial.suggest_int('seed', 1, 2)", 'must return a dict'),
    ("{'seed': trial.suggest_int('a', 0, 2**32)}", 'config.seed is 4294967296'),
  ],
)
def test_what_is_suggested_is_tried_before_the_first_trial(
  tmp_path, data_dir, body, error
):
  path = tmp_path / 'suggesting.py'
  path.write_text(SUGGEST.partition('  return')[0] + f'  return {body}\n')
  search = Search('tpe', f'{path}:embedded', {}, 1)
  with pytest.raises(ValueError, match=error):
    space.check(ends(search), make_task, data_dir)
