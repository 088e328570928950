"""Compiled steps, which runs of one structure share."""

import gc
import math
import weakref

from toy import Toy, assert_same, config_of, last_state, train

from hyper.runs import optimization
from hyper.runs.compiled import CompiledCache
from hyper.runs.numbers import numbers_of


def test_runs_of_one_structure_share_their_compiled_steps(tmp_path):
  kept = CompiledCache()

  def traced(name, **fields):
    before = Toy.traces
    train(tmp_path / name, config_of(**fields), kept=kept)
    return Toy.traces - before

  assert traced('first') == 2  # the training step and that of evaluation
  rate = {'schedule.learning_rate': 0.5, 'optimizer.clip_norm': 0.1}
  assert traced('second', l2_rate=0.5, seed=1, train_steps=6, **rate) == 0
  assert traced('no l2', l2_rate=0.0) == 2
  assert traced('first again') == 2  # one structure is kept
  assert traced('larger', size=4) == 2


def test_a_shared_step_takes_the_numbers_of_its_own_config(tmp_path):
  rates = {
    'l2_rate': 0.5,
    'schedule.learning_rate': 0.02,
    'optimizer.clip_norm': 0.1,
  }
  kept = CompiledCache()
  train(tmp_path / 'other', kept=kept)
  train(tmp_path / 'shared', config_of(**rates), kept=kept)
  train(tmp_path / 'alone', config_of(**rates), kept=CompiledCache())
  assert_same(tmp_path / 'shared', tmp_path / 'alone')
  shared, other = (
    last_state(tmp_path / x)[1].params['w'] for x in ('shared', 'other')
  )
  assert (shared != other).any()


def test_a_task_is_freed_after_its_run(tmp_path):
  made = []

  class Noted(Toy):
    def __init__(self, *args):
      super().__init__(*args)
      made.append(weakref.ref(self))

  kept = CompiledCache()
  train(tmp_path, task=Noted, kept=kept)
  gc.collect()
  assert made[0]() is None


def test_numbers_of_a_config_that_are_zero_are_left_out(tmp_path):
  piecewise = {
    'name': 'piecewise',
    'learning_rates': (1, 0.0),
    'until_steps': (1, 2),
  }
  config = config_of(schedule=piecewise, **{'optimizer.clip_norm': 0})
  found = numbers_of(config, optimization.NUMBERS)
  assert found == {'schedule.learning_rates': (1.0, 0.0)}
  assert all(type(x) is float for x in found['schedule.learning_rates'])
  assert math.isclose(numbers_of(config, ['l2_rate'])['l2_rate'], 0.01)
