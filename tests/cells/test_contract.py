"""What every cell of CELLS does, and what it refuses."""

import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import (
  BATCH,
  EMBEDDING,
  INPUTS,
  TIME,
  UNITS,
  assert_close,
  fast_jit,
  initial,
  one_step,
  random_carry,
  randomised,
  small,
)
from flax import linen as nn

from hyper.cells import CELLS, HyperLSTMCell, LSTMCell
from hyper.cells.checks import check_fields
from hyper.recurrence import Recurrence

EACH = pytest.mark.parametrize('name', list(CELLS))
SCALING = [name for name in CELLS if small(name).scaled_gates]


@EACH
def test_symbols_without_an_input_size_are_refused(name):
  cell = small(name).clone(input_size=None)
  with pytest.raises(ValueError, match='set input_size'):
    jax.eval_shape(
      lambda: cell.init(
        jax.random.key(0), cell.zeros((2,)), jnp.zeros((2,), int)
      )
    )


@EACH
@pytest.mark.parametrize('batch', [(), (2,), (2, 3)])
def test_a_step_takes_any_axes_before_the_last(name, batch):
  cell = small(name)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(*batch, INPUTS)).astype('f')
  carry = cell.initialize_carry(jax.random.key(0), x.shape)
  assert all(
    y.shape[:-1] == batch and y.ndim == len(batch) + 1
    for y in jax.tree.leaves(carry)
  )
  variables = {'params': randomised(cell)}
  apply = fast_jit(cell.apply)
  after, y = apply(variables, carry, x)
  assert y.shape == (*batch, cell.units)
  assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, carry)
  rows = x.reshape(-1, INPUTS)
  _, wanted = apply(variables, cell.zeros((len(rows),)), rows)
  assert_close(y, np.asarray(wanted).reshape(y.shape))
  if batch == (2,):
    step = fast_jit(jax.vmap(cell.apply, (None, 0, 0)))
    assert_close(step(variables, carry, x)[1], wanted)


def test_flax_runs_a_sequence_without_a_batch():
  cell = small('hyperlstm')
  x = np.random.default_rng(0).normal(size=(TIME, INPUTS)).astype('f')
  run = fast_jit(nn.RNN(cell).apply)
  variables = {'params': {'cell': randomised(cell)}}
  assert_close(run(variables, x), run(variables, x[None])[0])


@EACH
def test_a_carry_can_be_donated(name):
  carry = small(name).zeros((2,))
  jax.block_until_ready(
    jax.jit(lambda x: jax.tree.map(jnp.sin, x), donate_argnums=0)(carry)
  )


@pytest.mark.usefixtures('unchecked')
@pytest.mark.parametrize(
  'name, options, message',
  [
    ('rnn', {'units': 0}, 'units is 0; it must be a positive'),
    ('lstm', {'units': True}, 'units is True'),
    ('lstm', {'units': None}, 'units is None; it must be a positive'),
    ('hyperlstm', {'hyper_units': None}, 'hyper_units is None'),
    ('hyperrnn', {'embedding_size': None}, 'embedding_size is None'),
    ('lstm', {'input_size': -2}, 'input_size is -2'),
    ('lstm', {'dropout_rate': 1.0}, 'dropout_rate is 1.0; it must be at least'),
    ('lstm', {'dtype': 'int32'}, "dtype is 'int32'; allowed: float32, b"),
    ('lstm', {'dtype': 'float64'}, "dtype is 'float64'"),
    ('lstm', {'dtype': None}, 'dtype is None'),
    ('lstm', {'dtype': 'foo'}, "dtype is 'foo'"),
    ('hyperrnn', {'embedding_size': 0}, 'embedding_size is 0'),
    ('hyperlstm', {'hyper_units': -1}, 'hyper_units is -1'),
    ('hyperlstm', {'hyper_dropout_rate': -0.1}, 'hyper_dropout_rate is -0.1'),
  ],
)
def test_impossible_fields_are_refused_at_construction(name, options, message):
  with pytest.raises(ValueError, match=message):
    CELLS[name](**({'units': 4} | options))


def test_sizes_are_whole_numbers_of_any_kind():
  check_fields(types.SimpleNamespace(units=np.int64(3), dtype='float32'))
  with pytest.raises(ValueError, match=r'units is 2\.0'):
    check_fields(types.SimpleNamespace(units=2.0, dtype='float32'))


@pytest.mark.parametrize('name', SCALING)
def test_an_unknown_hyper_state_is_refused(name):
  with pytest.raises(ValueError, match="hyper_state is 'next'.*new, old"):
    small(name, hyper_state='next')


# A carry that is not the cell's own.


@EACH
@pytest.mark.parametrize('runner', ['call', 'flax', 'recurrence'])
def test_a_carry_of_another_kind_is_refused(name, runner):
  cell, x = small(name), jnp.ones((BATCH, TIME, INPUTS))
  own = cell.zeros((BATCH,))
  wrong = {
    'structure': (own, own),
    'size': jax.tree.map(lambda x: x[:, 1:], own),
    'batch': cell.zeros((BATCH + 1,)),
    'type': jax.tree.map(lambda x: x.astype(jnp.bfloat16), own),
    'integers': jax.tree.map(lambda x: x.astype(int), own),
  }

  def run(carry):
    key = jax.random.key(0)
    if runner == 'call':
      return cell.init(key, carry, x[:, 0])
    kind = {'flax': nn.RNN, 'recurrence': Recurrence}[runner]
    return kind(cell).init(key, x, initial_carry=carry)

  for carry in wrong.values():
    with pytest.raises(ValueError, match='was given the carry .* its own is'):
      jax.eval_shape(run, carry)
  jax.eval_shape(run, own)


def test_the_error_names_the_carry_given_and_the_carry_wanted():
  cell, carry = HyperLSTMCell(8, hyper_units=8), LSTMCell(8).zeros((2,))
  message = re.escape(
    'HyperLSTMCell was given the carry (float32[2,8], float32[2,8]); its own '
    'is ((float32[2,8], float32[2,8]), (float32[2,8], float32[2,8])), as '
  )
  with pytest.raises(ValueError, match=message):
    cell.init(jax.random.key(0), carry, jnp.ones((2, 3)))


def test_a_carry_with_a_leaf_that_is_no_array_is_described():
  cell = LSTMCell(8)
  message = re.escape('was given the carry (float32[2,8], str); its own is (')
  with pytest.raises(ValueError, match=message):
    cell.init(jax.random.key(0), (jnp.zeros((2, 8)), 'h'), jnp.ones((2, 3)))


@EACH
def test_a_batch_may_be_empty(name):
  cell, x = small(name), jnp.zeros((0, INPUTS))
  variables = {'params': randomised(cell)}
  carry, y = fast_jit(cell.apply)(variables, cell.zeros((0,)), x)
  assert y.shape == (0, UNITS)
  assert jax.tree.map(jnp.shape, carry) == jax.tree.map(
    jnp.shape, cell.zeros((0,))
  )


@EACH
@pytest.mark.parametrize(
  'field, ours',
  [
    ('features', 'give `units`'),
    ('carry_init', '`initial_carry`'),
    ('param_dtype', '`dtype` is that of the products'),
    ('kernel_init', "the paper's"),
  ],
)
def test_fields_of_flaxs_cells_are_refused_and_ours_are_named(
  name, field, ours
):
  with pytest.raises(ValueError, match=f"no field '{field}'.*{ours}"):
    CELLS[name](**{field: 4})


@EACH
def test_parameters_are_float32_whatever_the_default(name):
  cell = small(name)
  with jax.enable_x64(True):
    found = initial(cell)
  assert {x.dtype.name for x in found.values()} == {'float32'}
  jax.tree.map(assert_close, found, initial(cell))


# The members that drawings read.


def test_a_cell_that_generates_whole_matrices_has_no_scalings():
  cell = small('hyperrnn', form='full')
  params, before = randomised(cell), random_carry(cell)
  with pytest.raises(
    ValueError, match=r'HyperRNNCell\((.|\n)*scales no weights'
  ):
    cell.scalings(params, before, before)


@pytest.mark.parametrize('name', SCALING)
@pytest.mark.parametrize('state', ['new', 'old'])
def test_scalings_are_those_that_a_step_uses(name, state):
  """Scaling W_h by hand, with d_h at 1, gives the same step."""
  cell = small(name, hyper_state=state)
  params, before = randomised(cell), random_carry(cell)
  after, _ = one_step(cell, params, before)
  d_h = jax.jit(cell.scalings)(params, before, after)
  assert d_h.shape == (BATCH, len(cell.scaled_gates), UNITS)
  by_hand = params | {
    'w_h': params['w_h'] * np.asarray(d_h[:1]).reshape(1, -1),
    'w_hh': np.zeros_like(params['w_hh']),
    'b_hh': np.ones_like(params['b_hh']),
    'w_hz': np.full_like(params['w_hz'], 1 / EMBEDDING),
  }
  found, _ = one_step(cell, by_hand, before)
  for x, y in zip(jax.tree.leaves(after), jax.tree.leaves(found), strict=True):
    assert_close(x[0], y[0])
