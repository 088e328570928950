"""The recurrence is called as nn.RNN is, and refuses what does not fit."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from recurrence_runs import (
  BATCH,
  EACH,
  INPUTS,
  TIME,
  VARIANTS,
  assert_trees_close,
  by_recurrence,
  fast_jit,
  make,
  random,
  random_carry,
  randomised,
  run_ours,
)

from hyper.cells import LSTMCell
from hyper.nnx import NNXCell
from hyper.recurrence import Recurrence

LENGTHS = np.array([TIME, 2, 1])
CALLS = [
  {},
  {'time_major': True},
  {'reverse': True},
  {'reverse': True, 'keep_order': True},
  {'seq_lengths': LENGTHS},
  {'seq_lengths': LENGTHS, 'reverse': True},
  {
    'seq_lengths': LENGTHS,
    'reverse': True,
    'keep_order': True,
    'time_major': True,
  },
]


@pytest.mark.parametrize('call', CALLS, ids=lambda call: ' '.join(call))
@pytest.mark.parametrize('as_field', [False, True])
def test_arguments_mean_what_they_mean_for_flax(call, as_field):
  cell = VARIANTS['lstm-plain']
  variables, carry = randomised(cell), random_carry(cell)
  inputs = random(1, BATCH, TIME, INPUTS)
  if call.get('time_major'):
    inputs = np.swapaxes(inputs, 0, 1)
  fields = {k: x for k, x in call.items() if as_field and k != 'seq_lengths'}
  given = {k: x for k, x in call.items() if k not in fields}
  (ours, found), (theirs, wanted) = (
    fast_jit(
      functools.partial(kind(cell, return_carry=True, **fields).apply, **given)
    )(variables, inputs, initial_carry=carry)
    for kind in (Recurrence, nn.RNN)
  )
  if 'seq_lengths' in call:  # after an end, nn.RNN's outputs have no meaning
    is_live = np.arange(TIME)[None] < LENGTHS[:, None]
    is_live = is_live.T if call.get('time_major') else is_live
    wanted = np.where(is_live[..., None], wanted, 0)
  assert_trees_close((ours, found), (theirs, wanted))


def test_without_a_carry_it_starts_from_zeros_and_returns_outputs_alone():
  cell = VARIANTS['lstm']
  variables, inputs = randomised(cell), random(1, BATCH, TIME, INPUTS)
  outputs = Recurrence(cell).apply(variables, inputs)
  _, wanted = by_recurrence(cell, variables, cell.zeros((BATCH,)), inputs)
  np.testing.assert_array_equal(outputs, wanted)


@pytest.mark.slow
def test_it_runs_both_ways_and_in_stacks_with_flax():
  cells = VARIANTS['rnn'], VARIANTS['lstm-plain']
  inputs = random(1, BATCH, TIME, INPUTS)

  def outputs(kinds, variables=None):
    both = nn.Bidirectional(*(k(c) for k, c in zip(kinds, cells, strict=True)))
    top = kinds[1](make('rnn'))
    stack = nn.Sequential([both, top])
    if variables is None:
      return jax.jit(stack.init)(jax.random.key(0), inputs)
    return jax.jit(stack.apply)(variables, inputs)

  variables = outputs([nn.RNN, nn.RNN])
  wanted = outputs([nn.RNN, nn.RNN], variables)
  for kinds in ([Recurrence] * 2, [nn.RNN, Recurrence]):
    assert_trees_close(outputs(kinds), variables, 0)
    assert_trees_close(outputs(kinds, variables), wanted)


def test_a_bidirectional_layer_knows_lengths_and_carries():
  cell = VARIANTS['lstm-plain']
  inputs, lengths = random(1, BATCH, TIME, INPUTS), jnp.array(LENGTHS)
  carries = random_carry(cell), random_carry(cell)
  is_live = (np.arange(TIME)[None] < LENGTHS[:, None])[..., None]

  @functools.partial(jax.jit, static_argnums=0)
  def run(kind, variables=None):
    layer = nn.Bidirectional(kind(cell), kind(cell.clone()), return_carry=True)
    if variables is None:
      return layer.init(jax.random.key(0), inputs)
    return layer.apply(
      variables, inputs, initial_carry=carries, seq_lengths=lengths
    )

  variables = run(nn.RNN)
  ours, found = run(Recurrence, variables)
  theirs, wanted = run(nn.RNN, variables)
  assert_trees_close((ours, found), (theirs, np.where(is_live, wanted, 0)))


def test_streams_that_start_again_before_the_window():
  cell = VARIANTS['lstm']
  variables, inputs = randomised(cell), random(1, BATCH, TIME, INPUTS)
  carry, reset = random_carry(cell), np.array([True, False, True])
  by_step = np.zeros((BATCH, TIME), bool)
  by_step[:, 0] = reset
  found, same = (
    run_ours(cell, variables, inputs, initial_carry=carry, reset=jnp.array(x))
    for x in (reset, by_step)
  )
  assert_trees_close(found, same)
  kept = by_recurrence(cell, variables, carry, inputs)[1]
  begun = by_recurrence(cell, variables, cell.zeros((BATCH,)), inputs)[1]
  wanted = np.where(reset[:, None, None], begun, kept)
  np.testing.assert_allclose(found[1], wanted, atol=1e-6)


def test_a_cell_that_trains_does_so_here_too():
  cell = make('lstm', dropout_rate=0.5)
  arguments = randomised(cell), random(1, BATCH, TIME, INPUTS)
  rngs = {'dropout': jax.random.key(0)}
  wanted = run_ours(cell, *arguments, train=True, rngs=rngs)
  found = run_ours(cell.clone(train=True), *arguments, rngs=rngs)
  assert_trees_close(found, wanted, 0)
  without = run_ours(cell.clone(train=True), *arguments, train=False)
  assert_trees_close(without, run_ours(cell, *arguments), 0)


@EACH
def test_the_old_order_of_arguments_is_refused_with_the_new_one(name):
  cell = make(name)
  inputs = jnp.ones((BATCH, TIME, INPUTS))
  with pytest.raises(ValueError, match=r'recurrence\(inputs, initial_carry='):
    Recurrence(cell).apply({}, cell.zeros((BATCH,)), inputs)
  with pytest.raises(ValueError, match=r'recurrence\(inputs, initial_carry='):
    Recurrence(cell).apply({}, inputs, carry=cell.zeros((BATCH,)))


def test_a_carry_alone_is_no_input():
  cell = VARIANTS['lstm']
  with pytest.raises(ValueError, match=r'inputs are a tuple, not an array\.'):
    Recurrence(cell).apply({}, cell.zeros((BATCH,)))


def test_a_foreign_cell_is_refused():
  with pytest.raises(ValueError, match='got a GRUCell; .* under nn.RNN'):
    Recurrence(nn.GRUCell(3))


@pytest.mark.usefixtures('unchecked')
@pytest.mark.parametrize('make', [Recurrence, lambda x: NNXCell(x, 3, rngs=0)])
def test_a_class_of_cells_is_refused(make):
  with pytest.raises(
    ValueError, match=r'got the class LSTMCell; give an instance, such as LSTM'
  ):
    make(LSTMCell)


def test_segments_that_do_not_fit_are_refused():
  recurrence = Recurrence(VARIANTS['lstm'], remat_steps=3)
  arguments = randomised(VARIANTS['lstm']), random(1, BATCH, TIME, INPUTS)
  with pytest.raises(ValueError, match='3, which does not divide .* 4 steps'):
    recurrence.apply(*arguments, train=True)
  recurrence.apply(*arguments)  # evaluation and generation need no segments


@pytest.mark.usefixtures('unchecked')
@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('remat_steps', -2),
    ('remat_steps', 2.5),
    ('derivative_limit', -1.0),
    ('derivative_limit', math.nan),
  ],
)
def test_impossible_numbers_are_refused(name, value):
  with pytest.raises(ValueError, match=f'{name} is {value}; it must be'):
    Recurrence(VARIANTS['lstm'], **{name: value})


def test_vectors_are_given_no_factors():
  cell = VARIANTS['lstm']
  arguments = randomised(cell), random(1, BATCH, TIME, INPUTS)
  with pytest.raises(ValueError, match='scale is for symbols'):
    Recurrence(cell).apply(*arguments, scale=jnp.ones((BATCH, TIME)))


@pytest.mark.parametrize(
  'batch, shape, message',
  [
    (3, (3, 2, 4, 5), r'inputs have the shape \(3, 2, 4, 5\)'),
    (4, (4, 5), r'inputs have the shape \(4, 5\)'),
    (2, (3, 4, 5), r'carry \(float32\[2,5\], .* its own is \(float32\[3,5\]'),
  ],
)
def test_other_shapes_are_refused(batch, shape, message):
  cell = LSTMCell(5)
  with pytest.raises(ValueError, match=message):
    Recurrence(cell).init(
      jax.random.key(0), jnp.zeros(shape), initial_carry=cell.zeros((batch,))
    )


def test_a_list_is_no_input():
  with pytest.raises(ValueError, match='inputs are a list, not an array'):
    Recurrence(LSTMCell(5)).init(jax.random.key(0), [[1, 2], [3, 4]])


@pytest.mark.parametrize('time_major', [False, True])
@pytest.mark.parametrize(
  'name, control, wanted',
  [
    ('seq_lengths', np.ones(3, int), r'int\[2\]'),
    ('seq_lengths', np.ones(2, 'f'), r'int\[2\]'),
    ('seq_lengths', [3, 4], r'int\[2\]'),
    ('scale', np.ones((2, 6), 'f'), r'float\[(2, 7|7, 2)\]'),
    ('scale', np.ones((2, 7), bool), r'float\[(2, 7|7, 2)\]'),
    ('scale', 0.5, r'float\[(2, 7|7, 2)\]'),
    ('reset', np.ones(3, bool), r'bool\[2\] or bool\[(2, 7|7, 2)\]'),
    ('reset', np.ones((2, 6), bool), r'bool\[2\] or bool\[(2, 7|7, 2)\]'),
    ('reset', np.ones(2, int), r'bool\[2\] or bool\[(2, 7|7, 2)\]'),
  ],
)
@pytest.mark.usefixtures('unchecked')
def test_controls_of_another_shape_or_type_are_refused(
  name, control, wanted, time_major
):
  symbols = jnp.ones((7, 2) if time_major else (2, 7), int)
  recurrence = Recurrence(LSTMCell(5, 3), time_major=time_major)
  with pytest.raises(ValueError, match=f'^{name} is .*must be an .*{wanted}'):
    recurrence.init(jax.random.key(0), symbols, **{name: control})
