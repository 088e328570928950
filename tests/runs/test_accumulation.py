"""A batch in parts has the loss and the gradient of the whole batch."""

import jax
import jax.numpy as jnp
import many_devices
import numpy as np
import pytest

from hyper.runs.accumulation import cut, join, make_gradient
from hyper.runs.compiled import Compiled, step_numbers
from hyper.tasks import make_task

KEY = jax.random.key(0)
SGD = {'name': 'sgd', 'clip_norm': 0.0, 'momentum': 0.0, 'nesterov': False}


def loss(params, model_state, batch, key, train, numbers):
  """Returns a mean over scored rows; parts have different numbers of them."""
  del key, train, numbers
  mask, state = batch['mask'], model_state
  error = jnp.where(mask, (batch['x'] @ params['w'] - state['h']) ** 2, 0)
  sums = {'squares': error.sum(), 'count': jnp.asarray(mask.sum())}
  value = error.sum() / jnp.maximum(sums['count'], 1) + params['w'].sum()
  return value, ({'h': state['h'] + batch['x'].sum(1)}, sums)


@pytest.fixture
def batch():
  rng = np.random.default_rng(0)
  mask = np.array([1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1], bool)
  return {'x': rng.normal(size=(12, 3)).astype('f'), 'mask': mask}


@pytest.mark.parametrize('parts', [2, 3, 5, 12])
def test_loss_gradient_state_and_sums_are_those_of_the_whole(parts, batch):
  arguments = (
    {'w': jnp.arange(3.0)},
    {'h': jnp.arange(12.0)},
    *(batch, KEY, {}),
  )
  whole = make_gradient(loss)(*arguments)
  found = make_gradient(loss, parts, 'count', has_streams=True)(*arguments)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, 1e-6), found, whole
  )


def test_parts_are_joined_in_their_order():
  x = jnp.arange(24).reshape(12, 2)
  np.testing.assert_array_equal(cut(x, 4)[1], x[1::4])
  np.testing.assert_array_equal(join(cut(x, 4)), x)


def test_batch_statistics_are_not_accumulated(batch):
  with pytest.raises(ValueError, match='accumulate_steps is 2, .* must be 1'):
    make_gradient(loss, 2)({'w': jnp.ones(3)}, {'h': KEY}, batch, KEY, {})


@pytest.mark.slow
@pytest.mark.timeout(900)  # compilations on a busy machine
@pytest.mark.parametrize(
  'name', ['ptb_hyperlstm', 'mnist_hyper', 'iam_hyperlstm', 'nmt_hyperlstm']
)
def test_a_step_of_every_task_is_that_of_the_whole_batch(name, tmp_path):
  def step(parts):
    config = many_devices.small(name, {'accumulate_steps': parts}).unlock()
    config.optimizer = SGD  # Adam's first step magnifies tiny differences
    config.data.update({'crop_padding': 0} if name[0] == 'm' else {})
    for section in (config.model, config.model.get('cell', {}), config.data):
      for field in section:
        if field.endswith('dropout_rate') or field == 'scale_range':
          section[field] = 0.0
    task = make_task(config.lock(), str(tmp_path / 'data'), str(tmp_path))
    compiled = Compiled(config, task)
    batch = next(task.batches('train', 0, 0))
    state, metrics = compiled.train(
      compiled.init(0), batch, step_numbers(config, task)
    )
    return metrics, state.params, state.model_state

  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, 1e-4, 2e-5), step(4), step(1)
  )
