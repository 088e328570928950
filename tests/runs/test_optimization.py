"""Schedules and optimizers."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyper.runs import optimization

ADAM = {
  'name': 'adam',
  'clip_norm': 0.0,
  'beta1': 0.9,
  'beta2': 0.999,
  'epsilon': 1e-8,
}
SGD = {'name': 'sgd', 'clip_norm': 0.0, 'momentum': 0.0, 'nesterov': False}
CONSTANT = {'name': 'constant', 'learning_rate': 0.25}


def test_a_constant_schedule_is_the_same_at_every_step():
  schedule = optimization.make_schedule(CONSTANT)
  assert [float(schedule(s)) for s in (0, 1, 10**6)] == [0.25] * 3


def test_piecewise_schedule_changes_at_its_edges():
  schedule = optimization.make_schedule(
    {
      'name': 'piecewise',
      'learning_rates': (0.5, 0.25, 0.125),
      'until_steps': (10, 20, 30),
    }
  )
  for step, rate in (
    (0, 0.5),
    (9, 0.5),
    (10, 0.25),
    (19, 0.25),
    (20, 0.125),
    (29, 0.125),
    (30, 0.125),  # the last rate stays
    (99, 0.125),
  ):
    assert float(schedule(jnp.asarray(step))) == rate, step


def test_piecewise_needs_a_step_for_each_rate():
  fields = {'learning_rates': (0.5, 0.25), 'until_steps': (10,)}
  with pytest.raises(ValueError, match='2 learning_rates and 1 until_steps'):
    optimization.make_schedule({'name': 'piecewise'} | fields)


def test_piecewise_needs_a_piece():
  fields = {'learning_rates': (), 'until_steps': ()}
  with pytest.raises(ValueError, match='learning_rates and until_steps are em'):
    optimization.make_schedule({'name': 'piecewise'} | fields)


def test_exponential_schedule_decays_each_step_down_to_its_minimum():
  schedule = optimization.make_schedule(
    {
      'name': 'exponential',
      'learning_rate': 1.0,
      'decay': 0.5,
      'minimum': 0.1,
    }
  )
  for step, rate in ((0, 1.0), (1, 0.5), (3, 0.125), (4, 0.1), (50, 0.1)):
    np.testing.assert_allclose(schedule(jnp.asarray(step)), rate, rtol=1e-6)


def test_without_decay_the_rate_stays():
  fields = {'name': 'exponential', 'learning_rate': 0.5, 'minimum': 0.1}
  schedule = optimization.make_schedule(fields | {'decay': 1.0})
  assert [float(schedule(step)) for step in (0, 1, 99)] == [0.5] * 3


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'name': 'exponential', 'decay': 0.0}, 'decay is 0.0; it must be above 0'),
    ({'name': 'exponential', 'decay': 1.01}, 'decay is 1.01; it must be above'),
    (
      {'name': 'piecewise', 'until_steps': (300, 200)},
      r'until_steps is \(300, 200\); each piece must end after',
    ),
  ],
)
def test_impossible_schedules_are_refused(fields, message):
  others = {
    'exponential': {'learning_rate': 0.5, 'minimum': 0.1},
    'piecewise': {'learning_rates': (0.5, 0.1)},
  }
  with pytest.raises(ValueError, match=f'config.schedule.{message}'):
    optimization.make_schedule(fields | others[fields['name']])


@pytest.mark.parametrize(
  'limit, expected', [(0.0, (3.0, 4.0)), (1.0, (0.6, 0.8)), (6.0, (3.0, 4.0))]
)
def test_clipping_is_by_the_norm_over_all_parameters(limit, expected):
  gradient = {'a': jnp.array([3.0]), 'b': jnp.array([4.0])}
  clip = optimization.clip(limit)
  clipped, _ = clip.update(gradient, clip.init(gradient))
  np.testing.assert_allclose(clipped['a'], expected[:1], rtol=1e-6)
  np.testing.assert_allclose(clipped['b'], expected[1:], rtol=1e-6)


@pytest.mark.parametrize('nesterov', [False, True])
def test_momentum_by_hand(nesterov):
  fields = SGD | {'momentum': 0.5, 'nesterov': nesterov}
  optimizer = optimization.make_optimizer(fields, optax.constant_schedule(1.0))
  gradient = {'w': jnp.array([1.0])}
  updates, state = optimizer.update(gradient, optimizer.init(gradient))
  second, _ = optimizer.update(gradient, state)
  assert float(updates['w'][0]) == (-1.5 if nesterov else -1.0)
  assert float(second['w'][0]) == (-1.75 if nesterov else -1.5)


def test_unknown_names_and_fields_are_named():
  schedule = optimization.make_schedule(CONSTANT)
  with pytest.raises(ValueError, match=r"schedule\.name is 'cosine'.*constant"):
    optimization.make_schedule({'name': 'cosine'})
  with pytest.raises(ValueError, match=r"optimizer\.name is 'lion'.*adam, sgd"):
    optimization.make_optimizer({'name': 'lion'}, schedule)
  with pytest.raises(ValueError, match='has beta3'):
    optimization.make_optimizer(ADAM | {'beta3': 0.9}, schedule)
  with pytest.raises(ValueError, match="'clip_norm'"):
    fields = {k: v for k, v in ADAM.items() if k != 'clip_norm'}
    optimization.make_optimizer(fields, schedule)


@pytest.mark.parametrize(
  'fields',
  [
    {'name': 'constant', 'learning_rate': -1.0},
    {'name': 'constant', 'learning_rate': float('nan')},
    {'name': 'piecewise', 'learning_rates': (0.1, -0.1), 'until_steps': (1, 2)},
    {
      'name': 'exponential',
      'learning_rate': 1.0,
      'decay': 0.9,
      'minimum': -1.0,
    },
  ],
)
def test_impossible_learning_rates_are_refused(fields):
  with pytest.raises(ValueError, match='config.schedule has a learning rate'):
    optimization.make_schedule(fields)


@pytest.mark.parametrize(
  'fields',
  [
    ADAM | {'beta1': 1.5},
    ADAM | {'beta2': -0.1},
    ADAM | {'epsilon': -1e-8},
    SGD,
  ],
)
def test_impossible_fields_of_an_optimizer_are_refused(fields):
  fields = fields | ({'momentum': 1.0} if fields is SGD else {})
  with pytest.raises(ValueError, match=r'config\.optimizer\..* is '):
    optimization.make_optimizer(fields, optimization.constant(0.1))
