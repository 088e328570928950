"""GRU and HyperGRU against the equations."""

import jax
import numpy as np
import pytest
import reference
from cell_cases import (
  BATCH,
  EMBEDDING,
  INPUTS,
  UNITS,
  assert_close,
  assert_dropout_equals_the_equations,
  assert_equals_the_equations,
  initial,
  one_step,
  random_carry,
  random_inputs,
  randomised,
  shapes_of,
  small,
)
from cell_weights import gru_weights, hypergru_weights
from flax import linen as nn


@pytest.mark.parametrize('norm', [False, True])
def test_a_gru_equals_the_equations(norm):
  cell = small('gru', layer_norm=norm)
  assert_equals_the_equations(cell, reference.gru_step, gru_weights)
  assert_dropout_equals_the_equations(cell, reference.gru_step, gru_weights)


@pytest.mark.parametrize('norms', [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize('state', ['new', 'old'])
def test_a_hypergru_equals_the_equations(norms, state):
  main, inner = norms
  assert_equals_the_equations(
    small(
      *('hypergru',),
      hyper_state=state,
      layer_norm=main,
      hyper_layer_norm=inner,
    ),
    *(reference.hypergru_step, hypergru_weights),
    new_hyper_state=state == 'new',
  )


def test_a_hypergru_with_dropout_equals_the_equations():
  assert_dropout_equals_the_equations(
    small('hypergru'), reference.hypergru_step, hypergru_weights
  )


def test_a_gru_equals_that_of_flax():
  cell, flax = small('gru'), nn.GRUCell(UNITS)
  params, carry = randomised(cell), random_carry(cell)
  x = random_inputs()[:, 0]
  names = {'r': 'r', 'u': 'z', 'g': 'n'}
  weights = gru_weights(params)
  theirs = {}
  for y, name in names.items():
    theirs[f'h{name}'] = {'kernel': weights['W_h'][y].T}
    theirs[f'i{name}'] = {
      'kernel': weights['W_x'][y].T,
      'bias': weights['b'][y],
    }
  theirs['hn']['bias'] = weights['b_h']
  _, wanted = flax.apply({'params': theirs}, carry, x)
  assert_close(one_step(cell, params, carry)[1], wanted)


def test_a_hypergru_starts_as_a_gru_with_a_tenth_of_the_weights():
  cell = small('hypergru', layer_norm=False)
  params, carry = initial(cell), random_carry(cell)
  scaled = {
    'w_h': 0.1 * params['w_h'],
    'w_x': 0.1 * params['w_x'],
    'b': np.zeros((3, UNITS), 'f'),
    'b_h': np.zeros(UNITS, 'f'),
  }
  _, h = one_step(cell, params, carry)
  _, wanted = one_step(small('gru'), scaled, carry[0])
  np.testing.assert_allclose(h, wanted, rtol=0, atol=1e-6)


def test_layer_norm_replaces_a_bias_but_not_the_generated_one():
  assert 'b' not in shapes_of(small('gru', layer_norm=True))
  names = set(shapes_of(small('hypergru')))
  assert {'b', 'b_h', 'hyper_b_h', 'gamma'} <= names
  assert 'hyper_b' not in names
  shapes = jax.tree.map(lambda x: x.shape, shapes_of(small('hypergru')))
  assert shapes['w_h'] == (UNITS, 3 * UNITS)
  assert shapes['w_x'] == (INPUTS, 3 * UNITS)
  assert shapes['w_hz'] == (3, EMBEDDING, UNITS)
  assert random_carry(small('hypergru'))[0].shape == (BATCH, UNITS)
