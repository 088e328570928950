"""The recurrence with its own gradients against a plain scan."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recurrence_runs import (
  BATCH,
  INPUTS,
  NORM,
  TIME,
  UNITS,
  VARIANTS,
  arguments_of,
  assert_as_by_flax,
  assert_trees_close,
  by_flax,
  by_recurrence,
  fast_jit,
  make,
  quick_of,
  random,
  random_carry,
  randomised,
  run_ours,
  value_and_gradients,
  values,
  with_gradients,
)

from hyper.cells import CELLS, LSTMCell
from hyper.recurrence import Recurrence

# These take long to compile. Quick tests have the HyperLSTM with layer norm.
LONG = ('hypergru', 'hyperlstm-old', 'hyperrnn-full')


@pytest.mark.parametrize(
  'variant',
  [
    pytest.param(name, marks=[pytest.mark.slow] * (name in LONG))
    for name in VARIANTS
  ],
)
def test_values_and_gradients_are_those_of_a_plain_scan(variant):
  ours = assert_as_by_flax(VARIANTS[variant])
  for gradient in jax.tree.leaves(ours[0]):
    assert np.abs(gradient).max() > 1e-4


def test_a_symbol_with_a_factor_is_a_scaled_one_hot_vector():
  cell = VARIANTS['lstm-plain']
  # Symbol 0 comes often, so that its gradients have to be summed.
  symbols = np.array([[0, 0, 3, 0], [2, 0, 0, 5], [1, 1, 1, 4]])
  scale = np.where(random(3, BATCH, TIME) > -0.5, 1.3, 0).astype('f')
  one_hot = np.eye(INPUTS, dtype='f')[symbols] * scale[..., None]

  def from_symbols(variables, carry):
    return run_ours(cell, variables, symbols, initial_carry=carry, scale=scale)

  def from_vectors(variables, carry):
    return by_recurrence(cell, variables, carry, one_hot)

  arguments = randomised(cell), random_carry(cell)
  assert_trees_close(
    value_and_gradients(from_symbols, *arguments),
    value_and_gradients(from_vectors, *arguments),
  )


def test_symbols_without_factors_are_one_hot_vectors():
  cell = VARIANTS['lstm']
  symbols = np.array([[0, 0, 3, 1, 0]])
  variables = randomised(cell)

  def run(variables, inputs):
    def result(variables):
      return by_recurrence(cell, variables, cell.zeros((1,)), inputs)

    return value_and_gradients(result, variables)

  one_hot = np.eye(INPUTS, dtype='f')[symbols]
  assert_trees_close(run(variables, symbols), run(variables, one_hot))


@pytest.mark.slow
def test_gradients_pass_through_a_stack_of_two():
  lower, upper = VARIANTS['rnn'], VARIANTS['lstm-plain']

  def stack(run, variables, carries, inputs):
    after, x = run(lower, variables[0], carries[0], inputs)
    return after, run(upper, variables[1], carries[1], x)

  arguments = (
    (randomised(lower), randomised(upper, UNITS)),
    (random_carry(lower), random_carry(upper)),
    random(1, BATCH, TIME, INPUTS),
  )
  ours, theirs = (
    value_and_gradients(functools.partial(stack, run), *arguments)
    for run in (by_recurrence, by_flax)
  )
  assert_trees_close(ours, theirs)


@quick_of(CELLS)
@pytest.mark.slow
def test_an_output_depends_on_its_own_example_up_to_its_time_only(name):
  cell = make(name, **NORM)
  variables, carry = randomised(cell), random_carry(cell)

  @fast_jit
  @jax.jacrev
  def jacobian(inputs):
    outputs = by_recurrence(cell, variables, carry, inputs)[1]
    return outputs @ random(5, UNITS)

  steps = np.abs(jacobian(random(1, BATCH, TIME, INPUTS))).max(-1)
  influence = steps.transpose(0, 2, 1, 3)  # [b, b, t of output, t of input]
  wanted = np.eye(BATCH)[:, :, None, None] * np.tri(TIME)[None, None]
  np.testing.assert_array_equal(influence > 0, wanted > 0)


@quick_of(CELLS)
def test_two_windows_with_the_carry_are_one_long_window(name):
  cell = make(name, **NORM)
  variables, inputs = randomised(cell), random(1, BATCH, 2 * TIME, INPUTS)

  @fast_jit
  def run(carry, inputs):
    return by_recurrence(cell, variables, carry, inputs)

  start = random_carry(cell)
  carry, first = run(start, inputs[:, :TIME])
  carry, second = run(carry, inputs[:, TIME:])
  outputs = np.concatenate([first, second], 1)
  assert_trees_close((carry, outputs), run(start, inputs))
  _, forgetful = run(cell.zeros((BATCH,)), inputs[:, TIME:])
  assert np.abs(forgetful - second).max() > 1e-3


@quick_of(CELLS)
@pytest.mark.slow
def test_sequences_that_end_and_start_again(name):
  cell = make(name, **NORM)
  variables, carry = randomised(cell), random_carry(cell)
  inputs, lengths = random(1, BATCH, TIME, INPUTS), jnp.array([TIME, 1, 3])
  reset = np.zeros((BATCH, TIME), bool)
  reset[0, 2] = reset[2, 0] = reset[1, 2] = True  # the last after its end

  def ours(variables, carry, inputs):
    return run_ours(
      *(cell, variables, inputs),
      initial_carry=carry,
      seq_lengths=lengths,
      reset=reset,
    )

  def one_by_one(variables, carry, inputs):
    """Runs each example alone, cut where it ends or starts again."""
    carries, rows = [], []
    for k, pieces in enumerate(([(0, 2), (2, 4)], [(0, 1)], [(0, 3)])):
      state = jax.tree.map(lambda x, k=k: x[k : k + 1], carry)
      outputs = jnp.zeros((1, TIME, UNITS))
      for begin, end in pieces:
        if reset[k, begin]:
          state = cell.zeros((1,))
        state, part = by_flax(
          cell, variables, state, inputs[k : k + 1, begin:end]
        )
        outputs = outputs.at[:, begin:end].set(part)
      carries.append(state)
      rows.append(outputs)
    return jax.tree.map(lambda *x: jnp.concatenate(x), *carries), (
      jnp.concatenate(rows)
    )

  arguments = variables, carry, inputs
  # Gradients pass through any cell alike.
  run = value_and_gradients if name == 'rnn' else values
  assert_trees_close(run(ours, *arguments), run(one_by_one, *arguments))


@pytest.mark.parametrize('is_symbols', [False, True])
@pytest.mark.parametrize(
  'name', ['gru', pytest.param('hyperlstm', marks=pytest.mark.slow)]
)
def test_segments_change_nothing_but_memory(name, is_symbols):
  cell = VARIANTS[name]
  inputs = random(1, BATCH, TIME, INPUTS)
  if is_symbols:
    inputs = inputs.argmax(-1)

  def run(remat_steps):
    def apply(variables, carry):
      recurrence = Recurrence(cell, return_carry=True, remat_steps=remat_steps)
      return recurrence.apply(
        variables, inputs, initial_carry=carry, train=True
      )

    return value_and_gradients(apply, randomised(cell), random_carry(cell))

  assert_trees_close(run(2), run(0))


def test_segments_need_less_memory():
  cell = LSTMCell(32, 8)
  variables = randomised(cell, 8)

  def temporary_bytes(remat_steps):
    def loss(variables):
      recurrence = Recurrence(cell, remat_steps=remat_steps)
      inputs = jnp.zeros((16, 256), int)
      return recurrence.apply(variables, inputs, train=True).sum()

    compiled = fast_jit(jax.grad(loss)).lower(variables).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporary_bytes(16) < 0.2 * temporary_bytes(0)


@pytest.mark.slow
def test_a_limit_keeps_the_gradient_of_a_long_window_finite():
  cell = LSTMCell(8, layer_norm=True)
  inputs = 1e-3 * random(1, 2, 900, 3)
  variables = fast_jit(Recurrence(cell).init)(jax.random.key(0), inputs)
  variables['params']['cell']['gamma'] *= 4  # the cell amplifies its input

  @functools.partial(fast_jit, static_argnums=0)
  def largest(limit):
    def loss(variables):
      run = Recurrence(cell, derivative_limit=limit)
      return run.apply(variables, inputs).sum()

    gradients = jax.tree.leaves(jax.grad(loss)(variables))
    return jnp.array([jnp.abs(x).max() for x in gradients]).max()

  assert not largest(0.0) < 1e12
  assert largest(1.0) < 1e6


@quick_of(CELLS)
def test_double_precision_elsewhere_does_no_harm(name):
  cell = make(name, **NORM)
  variables, inputs = randomised(cell), random(1, BATCH, TIME, INPUTS)
  with jax.enable_x64(True):
    for run in (by_recurrence, by_flax):
      found = jax.eval_shape(
        with_gradients(functools.partial(run, cell)),
        *(variables, cell.zeros((BATCH,)), inputs),
      )
      assert {x.dtype.name for x in jax.tree.leaves(found)} == {'float32'}


def test_factors_in_double_precision_do_no_harm():
  recurrence = Recurrence(LSTMCell(UNITS, INPUTS))
  symbols = jnp.zeros((BATCH, TIME), jnp.int32)
  variables = jax.eval_shape(recurrence.init, jax.random.key(0), symbols)
  with jax.enable_x64(True):
    factors = jnp.ones((BATCH, TIME))
    found = jax.eval_shape(
      lambda variables: recurrence.apply(variables, symbols, scale=factors),
      variables,
    )
  assert (factors.dtype, found.dtype) == (jnp.float64, jnp.float32)


@pytest.mark.parametrize(
  'name', ['lstm', pytest.param('hyperlstm', marks=pytest.mark.slow)]
)
def test_bfloat16_is_close_and_keeps_float32_state(name):
  cell = VARIANTS[name]
  arguments = arguments_of(cell)
  exact, rough = (
    value_and_gradients(functools.partial(by_recurrence, x), *arguments)
    for x in (cell, cell.clone(dtype=jnp.bfloat16))
  )
  for x, y in zip(jax.tree.leaves(rough), jax.tree.leaves(exact), strict=True):
    assert x.dtype == jnp.float32
    error = np.linalg.norm(x - y) / np.linalg.norm(y)
    assert 0 < error < 0.06
