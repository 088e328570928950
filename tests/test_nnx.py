"""Cells, recurrences and hypernetworks within NNX models, and the reverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from hyper.cells import GRUCell, HyperLSTMCell
from hyper.nnx import NNXCell
from hyper.recurrence import Recurrence
from hyper.static import StaticHyperNetwork

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype('f')
CELLS = {
  'gru': GRUCell(4),
  'hyperlstm': HyperLSTMCell(4, hyper_units=3, embedding_size=2),
}


def params_of(module):
  return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def assert_close(found, wanted):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
    found,
    wanted,
  )


@pytest.mark.slow
@pytest.mark.parametrize('name', CELLS)
def test_a_cell_is_the_same_under_nnx_and_linen(name):
  rnn = nnx.RNN(NNXCell(CELLS[name], 3, rngs=nnx.Rngs(1)))
  params = params_of(rnn)['cell']['cell']

  def linen(params):
    return nn.RNN(CELLS[name]).apply({'params': {'cell': params}}, X)

  y = nnx.jit(lambda rnn: rnn(X))(rnn)
  assert np.ptp(y) > 0.1
  assert_close(y, jax.jit(linen)(params))
  found = nnx.jit(nnx.grad(lambda rnn: jnp.sum(rnn(X) ** 2)))(rnn)
  wanted = jax.jit(jax.grad(lambda p: jnp.sum(linen(p) ** 2)))(params)
  assert_close(nnx.to_pure_dict(found)['cell']['cell'], wanted)


@pytest.mark.slow
def test_recurrent_dropout_draws_a_mask_at_each_step():
  cell = CELLS['gru'].clone(dropout_rate=0.5, train=True)
  still = np.zeros((2, 5, 3), 'f')
  rnn = nnx.RNN(NNXCell(cell, 3, rngs=nnx.Rngs(1)))
  carry = cell.zeros((2,))
  carry = jax.tree.map(lambda x: x + 1, carry)
  run = nnx.jit(lambda rnn: rnn(still, initial_carry=carry))
  first, second = (run(rnn) for _ in range(2))
  assert abs(first - second).max() > 1e-3
  rnn.eval()
  first, second = (run(rnn) for _ in range(2))
  np.testing.assert_array_equal(first, second)
  rnn.train()
  assert abs(run(rnn) - second).max() > 1e-3


@pytest.mark.slow
def test_a_recurrence_works_within_an_nnx_model():
  fast = nnx.bridge.ToNNX(Recurrence(CELLS['gru']), rngs=nnx.Rngs(1)).lazy_init(
    X
  )
  rnn = jax.jit(nn.RNN(CELLS['gru']).apply)
  wanted = rnn({'params': params_of(fast)}, X)
  assert_close(nnx.jit(lambda fast: fast(X))(fast), wanted)


class Net(nnx.Module):
  """A network of NNX, with statistics of a batch."""

  def __init__(self, width, *, rngs):
    self.hidden = nnx.Linear(3, width, rngs=rngs)
    self.norm = nnx.BatchNorm(width, rngs=rngs)
    self.out = nnx.Linear(width, 2, rngs=rngs)

  def __call__(self, x, train=False):
    x = self.norm(self.hidden(x), use_running_average=not train)
    return self.out(nnx.relu(x))


@pytest.mark.slow
def test_an_nnx_network_is_the_main_one_of_a_hypernetwork():
  main = nnx.bridge.to_linen(Net, 8)
  network = StaticHyperNetwork(main, ('hidden/kernel',), (3, 4), 2)
  x = X[:, 0]
  variables = jax.jit(network.init)(jax.random.key(0), x)

  @jax.jit
  def trained(variables):
    return network.apply(variables, x, True, mutable=['batch_stats'])

  _, changed = trained(variables)
  assert abs(changed['batch_stats']['network']['norm']['mean']).max() > 0
  y = jax.jit(network.apply)(variables, x)
  baked = jax.jit(network.bake)(variables, x)
  assert_close(jax.jit(main.apply)(baked, x), y)
  model = Net(8, rngs=nnx.Rngs(0))
  nnx.update(model, nnx.state(model, nnx.Param))
  nnx.update(model, baked['params'])
  model.norm.mean[...] = baked['batch_stats']['norm']['mean']
  assert_close(model(x), y)


def test_a_hypernetwork_works_within_an_nnx_model():
  main = nn.Dense(4)
  network = StaticHyperNetwork(
    main, ('kernel',), (3, 4), 2, generator=nn.Dense(12), embed=nn.Embed(3, 2)
  )
  x = X[:, 0]
  model = nnx.bridge.ToNNX(network, rngs=nnx.Rngs(0))
  model.lazy_init(x, condition=jnp.array(1))
  params = params_of(model)
  wanted = jax.jit(network.apply)({'params': params}, x, condition=2)

  @nnx.jit
  @nnx.value_and_grad(has_aux=True)
  def gradients(model):
    y = model(x, condition=jnp.array(2))
    return jnp.sum(y), y

  (_, y), gradient = gradients(model)
  assert_close(y, wanted)
  table = nnx.to_pure_dict(gradient)['embed']['embedding']
  assert abs(table[2]).max() > 0 and not table[:2].any()
