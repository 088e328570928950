"""Points of a sweep: their fields and values, and when they are checked."""

import json
import subprocess
import sys

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
  ('grids', 'assignments'), [(['seed=5,6'], []), ([], ['seed=7'])]
)
def test_seeds_are_given_once(grids, assignments):
  with pytest.raises(ValueError, match='--seeds=2 is given, and --grid or'):
    space.points([CONFIG], grids, assignments, 2)


@pytest.mark.parametrize(
  'fields, error',
  [
    ({'optimizer.name': 'foo'}, 'allowed: adam, sgd'),
    ({'model.name': 'foo'}, 'config.model.name'),
    ({'train_steps': 0}, 'config.train_steps is 0'),
    ({'model.units': 3}, ": model.units=3: there is no field 'model.units'"),
    ({'precision': 'flaot32'}, 'allowed: default, float32, bfloat16'),
    ({'accumulate_steps': 7}, 'it must divide a batch'),
    ({'mesh.data': 3}, 'cannot be split on 3 devices'),
    ({'mesh.model': 0}, 'must be at least 1'),
    ({'data.batch_size': 7000}, 'there are only'),
  ],
)
def test_values_are_checked_before_the_first_trial(fields, error, data_dir):
  points = [Point(CONFIG, {}), Point(CONFIG, fields)]
  space.check(points[:1], make_task, data_dir)
  with pytest.raises(ValueError, match=error):
    space.check(points, make_task, data_dir)


@pytest.mark.parametrize(
  'config, fields, error',
  [
    ('mnist_hyper', {'hypernetwork.generate': ('conv9/kernel',)}, 'no param'),
    ('mnist_coordinate', {'hypernetwork.output_shape': (8, 8)}, 'make one'),
    ('ptb_lstm', {'model.remat_steps': 7}, 'remat_steps'),
    ('ptb_lstm', {'mesh.model': 3}, 'does not divide the axis of'),
  ],
)
def test_values_that_only_the_first_step_reads_are_checked(
  config, fields, error, data_dir
):
  point = Point(f'{ROOT}/configs/{config}.py:embedded', fields)
  with pytest.raises(ValueError, match=f'{config}.*: .*{error}'):
    space.check([point], make_task, data_dir)


def test_a_grid_may_have_numbers_of_numpy(tmp_path):
  path = tmp_path / 'grid.py'
  body = "{'l2_rate': x, 'model.hidden_units': n, 'data.split': (x,)}"
  path.write_text(
    'import numpy as np\nfrom configs.mnist_mlp import get_config\n'
    'def get_sweep(variant):\n'
    f'  return [{body} for x in np.array([1.0, 2]) for n in np.arange(2)]\n'
  )
  points = space.points([f'{path}:embedded'], [], [], 0)
  fields = {'l2_rate': 2.0, 'model.hidden_units': 1, 'data.split': (2.0,)}
  assert points[3].fields == fields
  assert json.loads(points[3].key)[1] == points[3].fields | {'data.split': [2]}


@pytest.mark.parametrize(
  'body, error',
  [
    ('3', 'not iterable'),
    ('[3]', 'must be a dict'),
    ("[{'seed': {}['a']}]", "get_sweep of .*grid.py:embedded fails: 'a'"),
  ],
)
def test_a_grid_that_cannot_be_read_is_an_error(tmp_path, body, error):
  path = tmp_path / 'grid.py'
  path.write_text(f'{SUGGEST}\ndef get_sweep(variant):\n  return {body}\n')
  with pytest.raises(ValueError, match=error):
    space.points([f'{path}:embedded'], [], [], 0)


def test_each_choice_is_tried(tmp_path):
  path = tmp_path / 'suggesting.py'
  path.write_text(
    SUGGEST.partition('  return')[0]
    + "  rate = trial.suggest_float('rate', 0.1, 0.5)\n"
    "  names = ['adam', 'adamm', 'sgd']\n"
    "  name = trial.suggest_categorical('name', names)\n"
    "  assert trial.suggest_categorical('name', names) == name\n"
    "  units = trial.suggest_int('units', 1, 9) if name == 'sgd' else 5\n"
    "  return {'l2_rate': rate, 'optimizer.name': name, 'x': units}\n"
  )
  found = ends(Search('tpe', f'{path}:embedded', {}, 1))
  assert [tuple(point.fields.values()) for point in found] == [
    *((0.1, 'adam', 5), (0.5, 'adamm', 5), (0.1, 'sgd', 1)),
    *((0.5, 'adam', 5), (0.1, 'adamm', 5), (0.5, 'sgd', 9)),
  ]


@pytest.mark.parametrize(
  'body, error',
  [
    ("{'model.hiden': trial.suggest_int('a', 1, 2)}", "no field 'model.hiden'"),
    ("{'seed': trial.suggest_int('a', 2, 1)}", 'from 2 to 1'),
    ("{'seed': trial.suggest_int('a', 0, 9, log=True)}", 'on a log scale'),
    ("{'seed': trial.suggest('a')}", 'no suggest; it has suggest_categorical'),
    ("trial.suggest_int('seed', 1, 2)", 'must be a dict'),
    ("{'seed': trial.suggest_categorical('a', [0, -1, 1])}", 'seed is -1'),
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


BACKENDS = """
import sys
from jax._src import xla_bridge
from hyper.sweeping import space
from hyper.tasks import make_task
space.check([space.Point(x, {}) for x in sys.argv[2:]], make_task, sys.argv[1])
assert not xla_bridge.backends_are_initialized()
"""


@pytest.mark.slow
def test_no_backend_is_started(data_dir):
  names = 'mnist_hyper', 'ptb_hyperlstm', 'iam_hyperlstm', 'nmt_hyperlstm'
  configs = [f'configs/{name}.py:embedded' for name in names]
  command = [sys.executable, '-c', BACKENDS, data_dir, *configs]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
