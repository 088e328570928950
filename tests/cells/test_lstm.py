"""LSTM and HyperLSTM against the equations, and mistakes seen elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from cell_cases import (
  EMBEDDING,
  HYPER_UNITS,
  UNITS,
  assert_dropout_equals_the_equations,
  assert_equals_the_equations,
  fast_jit,
  flat,
  initial,
  one_step,
  random_carry,
  random_inputs,
  randomised,
  shapes_of,
  small,
)
from cell_weights import hyperlstm_weights, lstm_weights

from hyper.cells import HyperLSTMCell
from hyper.cells.cell import layer_norms

BOTH = pytest.mark.parametrize('name', ['lstm', 'hyperlstm'])
STATES = pytest.mark.parametrize('state', ['new', 'old'])


@pytest.mark.parametrize(
  'mean, deviation, limit',
  [(0, 1, 1e-6), (3, 1, 1e-5), (-30, 1, 1e-3), (30, 0, 0.05), (0, 1e-3, 1e-6)],
)
def test_statistics_of_layer_norm_are_exact_in_float32(mean, deviation, limit):
  rng = np.random.default_rng(0)
  xs = mean + deviation * rng.normal(size=(2, 5, 1000))
  xs = xs.astype('f')
  gammas, betas = rng.normal(size=(2, 2, 1, 1000)).astype('f')
  found = layer_norms(*([*jnp.asarray(v)] for v in (xs, gammas, betas)))
  for x, gamma, beta, y in zip(xs, gammas, betas, found, strict=True):
    x = x.astype(np.float64)
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt(x.var(-1, keepdims=True) + 0.001)
    wanted = gamma * centred / spread + beta
    np.testing.assert_allclose(y, wanted, rtol=0, atol=4 * limit)


@pytest.mark.parametrize('norm', [False, True])
def test_an_lstm_equals_the_equations(norm):
  step = reference.layer_norm_lstm_step if norm else reference.lstm_step
  cell = small('lstm', layer_norm=norm)
  assert_equals_the_equations(cell, step, lstm_weights)
  assert_dropout_equals_the_equations(cell, step, lstm_weights)


@pytest.mark.parametrize('main', [False, True])
@pytest.mark.parametrize('inner', [False, True])
@STATES
def test_a_hyperlstm_equals_the_equations(main, inner, state):
  norms = {'layer_norm': main, 'hyper_layer_norm': inner}
  assert_equals_the_equations(
    small('hyperlstm', hyper_state=state, **norms),
    *(reference.hyperlstm_step, hyperlstm_weights),
    new_hyper_state=state == 'new',
    **norms,
  )


def test_a_hyperlstm_with_dropout_equals_the_equations():
  assert_dropout_equals_the_equations(
    small('hyperlstm'),
    *(reference.hyperlstm_step, hyperlstm_weights),
    layer_norm=True,
    hyper_layer_norm=True,
  )


@BOTH
def test_forget_bias_acts_after_the_layer_norm(name):
  cell = small(name, layer_norm=True)
  params, carry = randomised(cell), random_carry(cell)
  _, one = one_step(cell, params, carry)
  _, none = one_step(cell.clone(forget_bias=0.0), params, carry)
  assert np.abs(one - none).max() > 0.01


@BOTH
def test_the_carried_c_is_not_layer_normed(name):
  cell = small(name, layer_norm=True)
  params, carry = randomised(cell), random_carry(cell)
  changed = params | {
    'gamma_c': params['gamma_c'] + 1,
    'beta_c': params['beta_c'] + 1,
  }
  before, h_before = one_step(cell, params, carry)
  after, h_after = one_step(cell, changed, carry)
  np.testing.assert_array_equal(flat(before)[0], flat(after)[0])
  assert np.abs(h_before - h_after).max() > 0.01


def test_the_hyper_cell_sees_h_and_x():
  cell = small('hyperlstm')
  params, carry = randomised(cell), random_carry(cell)
  (c, h), inner = carry
  x = random_inputs()[:, 0]
  plain, _ = one_step(cell, params, carry, x)
  other_h, _ = one_step(cell, params, ((c, h + 1), inner), x)
  other_c, _ = one_step(cell, params, ((c + 1, h), inner), x)
  other_x, _ = one_step(cell, params, carry, -x)
  assert np.abs(plain[1][0] - other_h[1][0]).max() > 0.01
  assert np.abs(plain[1][0] - other_x[1][0]).max() > 0.01
  np.testing.assert_array_equal(plain[1][0], other_c[1][0])


def test_the_hyper_state_makes_the_embeddings_of_this_or_the_next_step():
  cell = small('hyperlstm')
  params, carry = randomised(cell), random_carry(cell)
  shifted = params | {'hyper_beta_c': params['hyper_beta_c'] + 1}
  for state, matters in (('new', True), ('old', False)):
    cell = small('hyperlstm', hyper_state=state)
    _, h = one_step(cell, params, carry)
    _, other = one_step(cell, shifted, carry)
    assert bool(np.abs(h - other).max() > 1e-3) == matters


def test_each_gate_has_its_own_projection():
  cell = small('hyperlstm', layer_norm=False)
  params, carry = randomised(cell), random_carry(cell)
  ((c, _), _), h = one_step(cell, params, carry)
  for k, gate in enumerate(reference.GATES):
    for name in ('b_hh', 'b_hx', 'w_hb'):
      changed = params[name].copy()
      changed[..., k * EMBEDDING : (k + 1) * EMBEDDING] += 1
      ((other_c, _), _), other_h = one_step(
        cell, params | {name: changed}, carry
      )
      assert np.abs(other_h - h).max() > 1e-4
      assert np.any(other_c != c) == (gate != 'o')


@BOTH
def test_without_layer_norm_there_are_no_gains(name):
  off = {'layer_norm': False}
  if name == 'hyperlstm':
    off['hyper_layer_norm'] = False
  names = set(shapes_of(small(name, **off)))
  assert not [x for x in names if 'gamma' in x or 'beta' in x]
  assert 'b' in names


def test_layer_norms_of_main_and_hyper_cell_are_apart():
  names = set(shapes_of(small('hyperlstm', layer_norm=False)))
  assert 'gamma' not in names and 'hyper_gamma' in names
  names = set(shapes_of(small('hyperlstm', hyper_layer_norm=False)))
  assert 'gamma' in names and 'hyper_gamma' not in names


def test_layer_norm_replaces_an_lstm_bias_but_not_the_generated_one():
  assert 'b' not in shapes_of(small('lstm', layer_norm=True))
  names = set(shapes_of(small('hyperlstm')))
  assert 'b' in names and 'hyper_b' not in names


def test_initial_hyperlstm_parameters():
  e = EMBEDDING
  cell = HyperLSTMCell(8, hyper_units=64, embedding_size=16)
  params = initial(cell)
  assert 'b_hb' not in params
  for name in ('b_hh', 'b_hx'):
    np.testing.assert_array_equal(params[name], 1)
  for name in ('w_hh', 'w_hx', 'w_bz', 'b'):
    np.testing.assert_array_equal(params[name], 0)
  for name in ('w_hz', 'w_xz'):
    np.testing.assert_array_equal(params[name], np.float32(0.1 / 16))
  assert abs(params['w_hb'].std() - 0.01) < 5e-4
  assert abs(params['w_hb'].mean()) < 1e-3
  assert np.abs(params['w_hb']).max() > 0.025  # not truncated
  for prefix in ('', 'hyper_'):
    np.testing.assert_array_equal(params[prefix + 'gamma'], 1)
    np.testing.assert_array_equal(params[prefix + 'gamma_c'], 1)
    np.testing.assert_array_equal(params[prefix + 'beta'], 0)
    np.testing.assert_array_equal(params[prefix + 'beta_c'], 0)
  assert shapes_of(small('hyperlstm'))['w_hz'].shape == (4, e, UNITS)


def test_initial_scalings_are_a_tenth_whatever_the_hyper_state():
  cell = small('hyperlstm', layer_norm=False)
  params, carry = initial(cell), random_carry(cell)
  scaled = {
    'w_h': 0.1 * params['w_h'],
    'w_x': 0.1 * params['w_x'],
    'b': np.zeros(4 * UNITS, 'f'),
  }
  _, h = one_step(cell, params, carry)
  _, wanted = one_step(small('lstm'), scaled, carry[0])
  np.testing.assert_allclose(h, wanted, rtol=0, atol=1e-6)


@BOTH
@pytest.mark.parametrize('orthogonal', ['whole', 'gate'])
def test_initial_weights_are_orthogonal(name, orthogonal):
  cell = small(name, orthogonal=orthogonal)
  params = initial(cell, inputs=3)
  names = [x for x in params if x.endswith(('w_h', 'w_x'))]
  assert len(names) == {'lstm': 2, 'hyperlstm': 4}[name]
  for x in names:
    w = params[x]
    assert np.abs(w).min(0).max() > 0
    parts = [w] if orthogonal == 'whole' else np.split(w, 4, -1)
    for part in parts:
      short = part if len(part) <= part.shape[1] else part.T
      np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=1e-5)
    gates = np.split(w, 4, -1)
    assert np.abs(gates[0] - gates[1]).max() > 0.01


@pytest.mark.parametrize('noise', [0.0, 0.1])
def test_elements_of_an_embedding_stay_equal_unless_they_start_apart(noise):
  """Under A.2.3 their gradients are equal, so training keeps them equal."""
  cell = small('hyperlstm', scaling_noise=noise)
  params, carry, x = initial(cell), random_carry(cell), random_inputs()[:, 0]
  carry = jax.tree.map(jnp.asarray, carry)

  def loss(params):
    return (cell.apply({'params': params}, carry, x)[1] ** 2).sum()

  gradients = fast_jit(jax.grad(loss))(params)
  for name in ('w_hh', 'w_hx'):
    by_element = gradients[name].reshape(HYPER_UNITS, 4, EMBEDDING)
    assert np.abs(by_element).max() > 1e-6
    spread = np.ptp(by_element, axis=-1).max() / np.abs(by_element).max()
    assert spread > 0.01 if noise else spread < 1e-6
  by_element = gradients['w_bz']  # unlike z_b, which starts at random
  assert np.ptp(by_element, axis=1).max() > 0.01 * np.abs(by_element).max()


@BOTH
def test_an_unknown_orthogonal_is_refused(name):
  with pytest.raises(ValueError, match="orthogonal is 'rows'.*whole, gate"):
    small(name, orthogonal='rows')
