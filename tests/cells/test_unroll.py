"""A step over time: masks, limits, rates and products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recurrence_runs import (
  BATCH,
  DROPOUT,
  DROPPING,
  INPUTS,
  NORM,
  TIME,
  UNITS,
  assert_as_by_flax,
  assert_trees_close,
  fast_jit,
  make,
  quick_of,
  random,
  random_carry,
  randomised,
  undrawn,
  value_and_gradients,
  weighted,
)

from hyper.cells import CELLS, LSTMCell, draw_masks, make_multiply
from hyper.cells.unroll import _multiply_rows, _scatter_rows, unroll
from hyper.recurrence import Recurrence


@quick_of(DROPPING)
def test_gradients_with_dropout_masks_are_those_of_a_plain_scan(name):
  cell = make(name, **NORM, **DROPOUT)
  params = randomised(cell)['params']['cell']
  masks = draw_masks(cell.masks, (TIME, BATCH), lambda: jax.random.key(0))

  def ours(packed, carry, x):
    return unroll(cell.step, *packed, carry, (x, None, masks))

  def plain(packed, carry, x):
    matrices, small = packed
    multiply = make_multiply(matrices, jnp.float32)

    def body(carry, now):
      return cell.step(multiply, small, carry, *now)

    return jax.lax.scan(body, carry, (x, masks))

  x = random(1, TIME, BATCH, cell.pack(params)[0]['x'].shape[1])
  arguments = cell.pack(params), random_carry(cell), x
  assert_trees_close(
    value_and_gradients(ours, *arguments),
    value_and_gradients(plain, *arguments),
  )


@jax.custom_vjp
def clipped(x):
  return x


clipped.defvjp(
  lambda x: (x, None), lambda _, dy: (jnp.clip(dy, -LIMIT, LIMIT),)
)
LIMIT = 0.3


@quick_of(CELLS)
def test_limited_derivatives_are_those_of_clipped_products(name):
  cell = make(name, **NORM)
  params = randomised(cell)['params']['cell']

  def ours(packed, carry, x):
    return unroll(
      *(cell.step, *packed, carry, (x, None, undrawn(cell))),
      derivative_limit=LIMIT,
    )

  def plain(packed, carry, x):
    matrices, small = packed
    multiply = make_multiply(matrices, jnp.float32)

    def product(name, left):
      return clipped(multiply(name, left))

    def body(carry, x):
      return cell.step(product, small, carry, clipped(x), undrawn(cell))

    return jax.lax.scan(body, carry, x)

  x = random(1, TIME, BATCH, cell.pack(params)[0]['x'].shape[1])
  arguments = cell.pack(params), random_carry(cell), x
  limited = value_and_gradients(ours, *arguments)
  assert_trees_close(limited, value_and_gradients(plain, *arguments))
  # Each product is limited on its own, so no derivative of x exceeds the limit.
  assert LIMIT / 2 < np.abs(limited[0][2]).max() <= LIMIT


# Rates as arguments of the compiled program.


def dropping_step(name, remat_steps=0):
  """Returns a training step: from parameters and rates to loss and gradient."""
  inputs = random(1, BATCH, TIME, INPUTS)

  def loss(variables, rates):
    run = Recurrence(make(name, **NORM, **rates), remat_steps=remat_steps)
    outputs = run.apply(
      variables, inputs, train=True, rngs={'dropout': jax.random.key(3)}
    )
    return weighted(outputs)

  return jax.value_and_grad(loss)


TRACED = {k: jnp.float32(x) for k, x in DROPOUT.items()}


@pytest.mark.parametrize(
  'name, remat_steps',
  [
    ('gru', 0),
    ('lstm', 2),
    pytest.param('lstm', 0, marks=pytest.mark.slow),
    pytest.param('hypergru', 0, marks=pytest.mark.slow),
    pytest.param('hyperlstm', 0, marks=pytest.mark.slow),
  ],
)
def test_a_traced_rate_drops_what_the_number_drops(name, remat_steps):
  step = dropping_step(name, remat_steps)
  variables = randomised(make(name, **NORM))
  wanted = fast_jit(lambda variables: step(variables, DROPOUT))(variables)
  assert_trees_close(fast_jit(step)(variables, TRACED), wanted)


def test_one_program_runs_several_rates_at_once():
  step, variables = dropping_step('lstm'), randomised(make('lstm', **NORM))
  rates = jax.tree.map(lambda x: jnp.stack([x, 0 * x]), TRACED)
  found = fast_jit(jax.vmap(step, (None, 0)))(variables, rates)
  for k, numbers in enumerate((DROPOUT, {})):
    wanted = fast_jit(lambda x, rates=numbers: step(x, rates))(variables)
    assert_trees_close(jax.tree.map(lambda x, k=k: x[k], found), wanted)


# Products.


class TwiceCell(LSTMCell):
  """Asks for two products with W_h: of h, and of a tenth of h."""

  def step(self, product, small, carry, x, masks):
    c, h = carry
    y = product('h', h) + product('h', 0.1 * h)
    return super().step(lambda name, left: y, small, (c, h), x, masks)


class SmallCell(LSTMCell):
  """Leaves W_h among the small weights."""

  def pack(self, weights):
    matrices, small = super().pack(weights)
    return {'x': matrices['x']}, small | {'w_h': matrices['h']}

  def step(self, product, small, carry, x, masks):
    return super().step(
      lambda name, left: left @ small['w_h'], small, carry, x, masks
    )


@pytest.mark.parametrize('kind', [TwiceCell, SmallCell])
def test_a_cell_may_use_a_product_twice_or_leave_a_matrix_small(kind):
  assert_as_by_flax(kind(UNITS))


def test_a_product_adds_to_the_same_rows_as_a_scatter():
  key = jax.random.key(0)
  rows, symbols = jnp.ones((5, 3)), jax.random.randint(key, (4, 2), 0, 5)
  d_values = jax.random.normal(key, (4, 2, 3))
  added = _scatter_rows(rows, symbols, d_values)
  multiplied = _multiply_rows(rows, symbols, d_values, jnp.float32)
  np.testing.assert_allclose(multiplied, added, rtol=1e-6)
  expected = np.ones((5, 3))
  for k, t in np.ndindex(4, 2):
    expected[symbols[k, t]] += d_values[k, t]
  np.testing.assert_allclose(added, expected, rtol=1e-6)
