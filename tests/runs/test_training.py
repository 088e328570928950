"""The two steps, schedules and optimizers, on a quadratic loss."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from hyper.runs import optimization, training
from hyper.runs.numbers import numbers_of
from hyper.runs.task import Task as TaskProtocol

ADAM = {
  'name': 'adam',
  'clip_norm': 0.0,
  'beta1': 0.9,
  'beta2': 0.999,
  'epsilon': 1e-8,
}
SGD = {'name': 'sgd', 'clip_norm': 0.0, 'momentum': 0.0, 'nesterov': False}
CONSTANT = {'name': 'constant', 'learning_rate': 0.25}
BATCH = {'x': np.array([3.0, 4.0], np.float32)}


def init(key):
  return {'w': jax.random.normal(key, (2,))}, {'calls': jnp.zeros(())}


def loss(params, model_state, batch, key, train, numbers):
  """Returns half the squared distance to x; `sums` have one random number."""
  distance = params['w'] - batch['x']
  value = 0.5 * (distance**2).sum()
  sums = {
    'half_squares': value,
    'count': jnp.asarray(1.0),
    'noise': jax.random.uniform(key),
    'train': jnp.asarray(float(train)),
  }
  return value, ({'calls': model_state['calls'] + 1}, sums)


def make(optimizer=SGD, schedule=CONSTANT, loss=loss, seed=0):
  config = ConfigDict({'optimizer': optimizer, 'schedule': schedule})
  optimize = functools.partial(optimization.make_optimization, config)
  state = training.make_init(init, optimize()[0])(seed)
  step = training.make_train_step(loss, optimize)
  numbers = numbers_of(config, optimization.NUMBERS)
  return state, lambda state, batch: step(state, batch, numbers)


def host(tree):
  return jax.tree.map(np.array, tree)


def test_the_first_state_is_a_function_of_the_seed():
  one, again, other = (host(make(ADAM, seed=s)[0]) for s in (1, 1, 2))
  jax.tree.map(np.testing.assert_array_equal, one, again)
  assert (one.params['w'] != other.params['w']).any()
  assert (one.key != other.key).any()
  assert one.step == 0 and one.step.dtype == np.int32


def test_the_state_holds_arrays_only():
  state, _ = make(ADAM)
  assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(state))


def test_a_step_is_that_of_gradient_descent():
  state, step = make()
  w = np.array(state.params['w'])
  state, report = step(state, BATCH)
  np.testing.assert_allclose(
    state.params['w'], w - 0.25 * (w - BATCH['x']), rtol=1e-6
  )
  norm = np.linalg.norm(w - BATCH['x'])
  np.testing.assert_allclose(report['grad_norm'], norm, rtol=1e-6)
  np.testing.assert_allclose(report['loss'], norm**2 / 2, rtol=1e-6)
  assert report['learning_rate'] == 0.25
  assert report['sums']['train'] == 1
  assert state.step == 1 and state.model_state['calls'] == 1


def test_each_step_draws_from_its_own_key_and_a_resumed_one_from_the_same():
  state, step = make()
  noise, saved = [], None
  for k in range(4):
    if k == 2:
      saved = host(state)
    state, report = step(state, BATCH)
    noise.append(float(report['sums']['noise']))
  assert len(set(noise)) == 4
  resumed, report = step(saved, BATCH)
  assert float(report['sums']['noise']) == noise[2]
  resumed, report = step(resumed, BATCH)
  assert float(report['sums']['noise']) == noise[3]
  jax.tree.map(np.testing.assert_array_equal, host(resumed), host(state))


def test_a_step_donates_the_buffers_of_its_state():
  state, step = make(ADAM)
  after, _ = step(state, BATCH)
  assert state.params['w'].is_deleted()
  assert not after.params['w'].is_deleted()


def test_a_step_compiles_once():
  traces = []

  def counted(*args):
    traces.append(1)
    return loss(*args)

  state, step = make(ADAM, loss=counted)
  for _ in range(3):
    state, _ = step(state, BATCH)
  assert len(traces) == 1


def test_training_reaches_the_minimum():
  state, step = make(ADAM)
  for _ in range(150):
    state, _ = step(state, BATCH)
  np.testing.assert_allclose(state.params['w'], BATCH['x'], atol=0.05)


def test_the_learning_rate_reported_is_that_of_the_update():
  # The schedule is piecewise, and the update of step s uses the rate at s.
  fields = {
    'name': 'piecewise',
    'learning_rates': (0.5, 0.125),
    'until_steps': (2, 4),
  }
  state, step = make(schedule=fields)
  for expected in (0.5, 0.5, 0.125, 0.125):
    w = np.array(state.params['w'])
    state, report = step(state, BATCH)
    assert report['learning_rate'] == expected
    np.testing.assert_allclose(
      state.params['w'], w - expected * (w - BATCH['x']), rtol=1e-5
    )


@pytest.mark.parametrize('fields', [ADAM, SGD], ids=['adam', 'sgd'])
def test_optimizers_clip_and_report_the_norm_before(fields):
  # The expected state is made of optax's parts, for two steps.
  state, step = make(fields | {'clip_norm': 0.5})
  inner = (
    optax.adam(0.25, 0.9, 0.999, 1e-8) if fields is ADAM else optax.sgd(0.25)
  )
  w = jnp.array(np.array(state.params['w']))
  inner_state = inner.init(w)
  for _ in range(2):
    state, report = step(state, BATCH)
    gradient = w - BATCH['x']
    norm = jnp.linalg.norm(gradient)
    assert norm > 0.5
    np.testing.assert_allclose(report['grad_norm'], norm, rtol=1e-5)
    updates, inner_state = inner.update(gradient * 0.5 / norm, inner_state, w)
    w = w + updates
    np.testing.assert_allclose(state.params['w'], w, rtol=1e-4)


class Task(TaskProtocol):
  """Has three batches for evaluation, and notes how it is called."""

  def __init__(self):
    self.asked = []

  def batches(self, split, seed, start, once=False):
    self.asked.append((split, seed, start, once))
    return iter([{'x': np.full(2, k, np.float32)} for k in range(3)])

  def eval_state(self, model_state):
    return {'calls': jnp.zeros_like(model_state['calls'])}

  def summarize(self, sums):
    return dict(sums)


def test_evaluation_adds_up_the_sums_of_all_batches_and_changes_nothing():
  state, step = make()
  state, _ = step(state, BATCH)
  before = host(state)
  task = Task()
  eval_step = training.make_eval_step(loss)
  values = training.evaluate(task, eval_step, state, 'validation')
  w = before.params['w'].astype(np.float64)
  expected = sum(0.5 * ((w - k) ** 2).sum() for k in range(3))
  np.testing.assert_allclose(values['half_squares'], expected, rtol=1e-6)
  assert values['count'] == 3 and values['train'] == 0
  assert all(type(value) is float for value in values.values())
  assert task.asked == [('validation', 0, 0, True)]
  jax.tree.map(np.testing.assert_array_equal, before, host(state))


def test_evaluation_carries_the_model_state_from_batch_to_batch():
  def carried(params, model_state, batch, key, train, numbers):
    calls = model_state['calls']
    return calls, ({'calls': calls + 1}, {'calls': calls})

  state, _ = make()
  state = state.replace(model_state={'calls': jnp.asarray(50.0)})
  eval_step = training.make_eval_step(carried)
  values = training.evaluate(Task(), eval_step, state, 'test')
  assert values == {'calls': 0 + 1 + 2}


def test_sums_are_added_in_double_precision():
  parts = [{'n': np.float32(2**24)}] + [{'n': np.float32(1)}] * 3
  assert training.add_sums(parts) == {'n': 2**24 + 3}
  assert training.add_sums([]) == {}


def test_count_parameters():
  tree = {'a': np.zeros((2, 3)), 'b': {'c': np.zeros(()), 'd': np.zeros(4)}}
  assert training.count_parameters(tree) == 11


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_all_finite(bad):
  assert training.all_finite([np.float32(1), 2.0])
  assert not training.all_finite([1.0, np.float32(bad)])


@pytest.mark.parametrize('bad', [np.nan, -np.inf, 3e38])
def test_a_state_that_overflows_in_use_is_not_finite(bad):
  state, _ = make(ADAM)
  assert training.is_finite(state)
  w = jnp.array([1.0, bad], jnp.float32)
  assert not training.is_finite(state.replace(params={'w': w}))
  if not np.isfinite(bad):
    assert not training.is_finite(state.replace(model_state={'calls': w}))


@pytest.mark.parametrize(
  'precision, name', [('float32', 'HIGHEST'), ('bfloat16', 'BF16_BF16_F32')]
)
def test_products_of_a_step_have_the_precision_asked_for(precision, name):
  # Forward, its gradient, and what a custom gradient computes.
  @jax.custom_vjp
  def product(x, w):
    return x @ w

  product.defvjp(lambda x, w: (x @ w, (x, w)), lambda xw, d: (d @ xw[1].T, d))

  def squares(params, model_state, batch, key, train, numbers):
    y = jnp.tanh(batch['x'] @ params['w'])
    return (product(y, y) ** 2).mean(), (model_state, {})

  config = ConfigDict({'optimizer': SGD, 'schedule': CONSTANT})
  optimize = functools.partial(optimization.make_optimization, config)
  step = training.make_train_step(squares, optimize, precision=precision)
  w = jnp.ones((3, 3))
  state = training.make_init(lambda key: ({'w': w}, {}), optimize()[0])(0)
  text = str(step.trace(state, {'x': w}, {}).jaxpr)
  assert text.count('dot_general[') == len(set_to(name, text)) == 4
  score = training.make_eval_step(squares, precision=precision)
  text = str(score.trace(state.params, {}, {'x': w}).jaxpr)
  assert text.count('dot_general[') == len(set_to(name, text)) == 2


def set_to(name, text):
  return re.findall(
    rf'precision=\(?(?:Precision\.|DotAlgorithm\w+\.)*{name}', text
  )


def test_an_unknown_precision_is_refused():
  with pytest.raises(ValueError, match="precision is 'half'; allowed: d"):
    training.products_in('half')
