"""The recurrent cells against the equations, and mistakes seen elsewhere.

The package packs the gates i, g, f, o side by side in the last axis, and its
matrices are [inputs, outputs]; the reference has one W [outputs, inputs] for
each gate. `reference_weights` turns the one into the other.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from cell_weights import reference_weights
from flax import linen as nn

from hyper.cells import (
  CELLS,
  HyperLSTMCell,
  HyperRNNCell,
  LSTMCell,
  RNNCell,
  draw_mask,
)
from hyper.recurrence import Recurrence, unroll

BATCH, TIME, INPUTS, UNITS, HYPER_UNITS, EMBEDDING = 2, 4, 6, 5, 4, 3
RATES = (0.25, 0.4)  # of the main and of the hyper cell
CLOSE = {'rtol': 1e-5, 'atol': 1e-5}

# Compiling takes longer than running here.
fast_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)
assert_close = functools.partial(np.testing.assert_allclose, **CLOSE)


def lstm(**options):
  return LSTMCell(UNITS, INPUTS, **options)


def hyperlstm(**options):
  return HyperLSTMCell(
    UNITS,
    INPUTS,
    hyper_units=HYPER_UNITS,
    embedding_size=EMBEDDING,
    **options,
  )


def hyperrnn(**options):
  return HyperRNNCell(
    UNITS,
    INPUTS,
    hyper_units=HYPER_UNITS,
    embedding_size=EMBEDDING,
    **options,
  )


VARIANTS = {
  'rnn': RNNCell(UNITS, INPUTS),
  'hyperrnn-scaled-new': hyperrnn(),
  'hyperrnn-scaled-old': hyperrnn(hyper_state='old'),
  'hyperrnn-full-new': hyperrnn(form='full'),
  'hyperrnn-full-old': hyperrnn(form='full', hyper_state='old'),
  'lstm': lstm(),
  'lstm-ln': lstm(layer_norm=True),
} | {
  f'hyperlstm-main{main:d}-hyper{inner:d}-{state}': hyperlstm(
    layer_norm=main, hyper_layer_norm=inner, hyper_state=state
  )
  for main in (False, True)
  for inner in (False, True)
  for state in ('new', 'old')
}
BOTH = pytest.mark.parametrize('name', ['lstm', 'hyperlstm'])


def small_cell(name, **options):
  return {'lstm': lstm, 'hyperlstm': hyperlstm}[name](**options)


def shapes_of(cell):
  def init():
    return cell.init(
      jax.random.key(0), cell.zeros((1,)), jnp.zeros((1, INPUTS))
    )

  return jax.eval_shape(init)['params']


def initial(cell, inputs=INPUTS):
  @fast_jit
  def init():
    return cell.init(
      jax.random.key(3), cell.zeros((1,)), jnp.zeros((1, inputs))
    )

  return jax.tree.map(np.asarray, init()['params'])


def randomised(cell, seed=0):
  """Parameters far from their initial values; gains stay near 1."""
  rng = np.random.default_rng(seed)
  return {
    name: ('gamma' in name) + 0.5 * rng.normal(size=x.shape).astype('f')
    for name, x in sorted(shapes_of(cell).items())
  }


def random_carry(cell, seed=1):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: 0.5 * rng.normal(size=x.shape).astype('f'), cell.zeros((BATCH,))
  )


def random_inputs(seed=2):
  return (
    np.random.default_rng(seed).normal(size=(BATCH, TIME, INPUTS)).astype('f')
  )


def random_masks(cell, seed=4):
  rng = np.random.default_rng(seed)
  main, inner = (
    rng.random((TIME, BATCH, size)) >= rate
    for size, rate in zip((UNITS, HYPER_UNITS), RATES, strict=True)
  )
  return main if isinstance(cell, LSTMCell) else (main, inner)


def flat(carry):
  """A carry as the reference has it: one array, or one tuple of them."""
  leaves = tuple(jax.tree.leaves(carry))
  return leaves if len(leaves) > 1 else leaves[0]


def expected(cell, params, carry, inputs, masks=None):
  """The reference's final carry and outputs [b, t, n]."""
  options = {'forget_bias': getattr(cell, 'forget_bias', None)}
  if isinstance(cell, RNNCell):
    step, options = reference.rnn_step, {}
  elif isinstance(cell, HyperRNNCell):
    is_full = cell.form == 'full'
    step = reference.hyperrnn_full_step if is_full else reference.hyperrnn_step
    options = {'new_hyper_state': cell.hyper_state == 'new'}
  elif isinstance(cell, LSTMCell):
    step = reference.lstm_step
    if cell.layer_norm:
      step = reference.layer_norm_lstm_step
    if masks is not None:
      options |= {'masks': masks, 'keep_probability': 1 - RATES[0]}
  else:
    step = reference.hyperlstm_step
    options |= {
      'layer_norm': cell.layer_norm,
      'hyper_layer_norm': cell.hyper_layer_norm,
      'new_hyper_state': cell.hyper_state == 'new',
    }
    if masks is not None:
      options |= {
        'masks': masks[0],
        'hyper_masks': masks[1],
        'keep_probability': 1 - RATES[0],
        'hyper_keep_probability': 1 - RATES[1],
      }
  weights = reference_weights(cell, params)
  last, outputs = reference.unroll(
    step, weights, flat(carry), inputs.swapaxes(0, 1), **options
  )
  return last, outputs.swapaxes(0, 1)


def assert_run_close(actual, wanted):
  last, outputs = actual
  assert_close(outputs, wanted[1])
  jax.tree.map(assert_close, flat(last), wanted[0])


def one_step(cell, params, carry, x=None):
  x = random_inputs()[:, 0] if x is None else x
  return applied(cell)({'params': params}, carry, x)


@functools.cache
def applied(cell):
  return fast_jit(cell.apply)


# The equations.


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_run_equals_the_equations(variant):
  cell = VARIANTS[variant]
  params, carry, vectors = randomised(cell), random_carry(cell), random_inputs()
  symbols = np.random.default_rng(5).integers(INPUTS, size=(BATCH, TIME))

  @fast_jit
  def run(params, carry, vectors, symbols):
    variables = {'params': {'cell': params}}
    ours = Recurrence(cell)
    theirs = nn.RNN(cell, return_carry=True)
    return (
      theirs.apply(variables, vectors, initial_carry=carry),
      ours.apply(variables, carry, vectors),
      ours.apply(variables, carry, symbols),
      cell.apply({'params': params}, carry, symbols[:, 0]),
    )

  by_flax, by_vectors, by_symbols, step = run(params, carry, vectors, symbols)
  wanted = expected(cell, params, carry, vectors)
  assert_run_close(by_flax, wanted)
  assert_run_close(by_vectors, wanted)
  one_hot = np.eye(INPUTS)[symbols]
  wanted = expected(cell, params, carry, one_hot)
  assert_run_close(by_symbols, wanted)
  assert_close(step[1], wanted[1][:, 0])


@pytest.mark.parametrize(
  'variant', ['lstm', 'lstm-ln', 'hyperlstm-main1-hyper1-new']
)
def test_a_run_with_dropout_masks_equals_the_equations(variant):
  rates = dict(zip(('dropout_rate', 'hyper_dropout_rate'), RATES, strict=True))
  cell = VARIANTS[variant]
  cell = cell.clone(**{k: x for k, x in rates.items() if hasattr(cell, k)})
  params, carry, inputs = randomised(cell), random_carry(cell), random_inputs()
  masks = random_masks(cell)

  @fast_jit
  def run(params, carry, inputs, masks):
    matrices, small = cell.pack(params)
    xs = jnp.swapaxes(inputs, 0, 1) @ matrices['x']
    return unroll(cell.step, matrices, small, carry, (xs, None, masks))

  last, outputs = run(params, carry, inputs, masks)
  wanted = expected(cell, params, carry, inputs, masks)
  assert_run_close((last, outputs.swapaxes(0, 1)), wanted)
  without = expected(cell, params, carry, inputs)
  assert np.abs(without[1] - wanted[1]).max() > 0.01


@pytest.mark.parametrize(
  'variant',
  ['rnn', 'hyperrnn-full-new', 'lstm-ln', 'hyperlstm-main1-hyper1-new'],
)
def test_under_flax_a_sequence_may_end_early(variant):
  cell = VARIANTS[variant]
  params, carry, inputs = randomised(cell), random_carry(cell), random_inputs()
  lengths = jnp.array([TIME, 2])

  @fast_jit
  def run(params, carry, inputs):
    return nn.RNN(cell, return_carry=True).apply(
      {'params': {'cell': params}},
      inputs,
      initial_carry=carry,
      seq_lengths=lengths,
    )

  last, outputs = run(params, carry, inputs)
  for k, length in enumerate(lengths):
    alone = jax.tree.map(lambda x, k=k: x[k : k + 1], (carry, inputs))
    wanted = expected(cell, params, alone[0], alone[1][:, :length])
    assert_close(outputs[k, :length], wanted[1][0])
    for x, y in zip(
      jax.tree.leaves(last), jax.tree.leaves(wanted[0]), strict=True
    ):
      assert_close(x[k], y[0])


# Mistakes seen elsewhere.


@BOTH
def test_forget_bias_acts_behind_the_layer_norm(name):
  cell = small_cell(name, layer_norm=True)
  params, carry = randomised(cell), random_carry(cell)
  _, one = one_step(cell, params, carry)
  _, none = one_step(cell.clone(forget_bias=0.0), params, carry)
  assert np.abs(one - none).max() > 0.01


@BOTH
def test_the_carried_c_is_not_layer_normed(name):
  cell = small_cell(name, layer_norm=True)
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
  cell = hyperlstm()
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
  cell = hyperlstm()
  params, carry = randomised(cell), random_carry(cell)
  shifted = params | {'hyper_beta_c': params['hyper_beta_c'] + 1}
  for state, matters in (('new', True), ('old', False)):
    cell = hyperlstm(hyper_state=state)
    _, h = one_step(cell, params, carry)
    _, other = one_step(cell, shifted, carry)
    assert bool(np.abs(h - other).max() > 1e-3) == matters


def test_each_gate_has_its_own_projection():
  cell = hyperlstm(layer_norm=False)
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
  names = set(shapes_of(small_cell(name, **off)))
  assert not [x for x in names if 'gamma' in x or 'beta' in x]
  assert 'b' in names


def test_layer_norms_of_main_and_hyper_cell_are_apart():
  names = set(shapes_of(hyperlstm(layer_norm=False)))
  assert 'gamma' not in names and 'hyper_gamma' in names
  names = set(shapes_of(hyperlstm(hyper_layer_norm=False)))
  assert 'gamma' in names and 'hyper_gamma' not in names


def test_layer_norm_replaces_an_lstm_bias_but_not_the_generated_one():
  assert 'b' not in shapes_of(lstm(layer_norm=True))
  names = set(shapes_of(hyperlstm()))
  assert 'b' in names and 'hyper_b' not in names


# Dropout. With w_h zero, the same input at every step and a forget gate that
# is shut, an element of c is zero exactly where the mask leaves it out.


def dropout_run(name, runner):
  rates = {'dropout_rate': 0.5}
  if name == 'hyperlstm':
    rates |= {'hyper_dropout_rate': 0.5, 'hyper_layer_norm': False}
  cell = small_cell(name, layer_norm=False, forget_bias=-200.0, **rates)
  params = randomised(cell)
  params['w_h'] = np.zeros_like(params['w_h'])
  inputs = np.ones((8, TIME, INPUTS), 'f')
  carry = cell.zeros((8,))

  @functools.partial(fast_jit, static_argnums=1)
  def run(key, train):
    variables = {'params': {'cell': params}}
    rngs = {'dropout': key} if train else {}
    if runner == 'recurrence':
      return Recurrence(cell).apply(
        variables, carry, inputs, train=train, rngs=rngs
      )
    rnn = nn.RNN(
      cell.clone(train=train),
      return_carry=True,
      split_rngs={'params': False, 'dropout': True},
    )
    return rnn.apply(variables, inputs, initial_carry=carry, rngs=rngs)

  return run


@BOTH
@pytest.mark.parametrize('runner', ['recurrence', 'flax'])
def test_dropout_is_new_at_each_step_and_call_and_only_in_training(
  name, runner
):
  run = dropout_run(name, runner)
  key = jax.random.key(0)
  carry, outputs = run(key, True)
  dropped = np.asarray(outputs) == 0
  assert 0.3 < dropped.mean() < 0.7
  for t in range(1, TIME):
    assert np.any(dropped[:, t] != dropped[:, 0])
  assert np.any(dropped[0] != dropped[1])
  for c in flat(carry)[::2]:
    assert 0.2 < (np.asarray(c) == 0).mean() < 0.8
  np.testing.assert_array_equal(run(key, True)[1], outputs)
  other = np.asarray(run(jax.random.key(1), True)[1]) == 0
  assert np.any(other != dropped)
  assert not np.any(np.asarray(run(key, False)[1]) == 0)


def test_main_and_hyper_masks_are_drawn_apart():
  cell = HyperLSTMCell(
    64, hyper_units=64, dropout_rate=0.5, hyper_dropout_rate=0.5
  )
  main, inner = cell.draw_masks(jax.random.key(0), (3, 2))
  assert main.shape == inner.shape == (3, 2, 64)
  assert 0.3 < np.mean(main == inner) < 0.7
  half = cell.clone(hyper_dropout_rate=0.0)
  assert half.draw_masks(jax.random.key(0), (3, 2))[1] is None


@pytest.mark.parametrize('rate', [0.1, 0.5, 0.9])
def test_a_mask_keeps_as_much_as_it_should(rate):
  mask = draw_mask(jax.random.key(0), rate, (64, 1001))
  assert mask.shape == (64, 1001) and mask.dtype == bool
  assert abs(mask.mean() - (1 - rate)) < 5 * (rate * (1 - rate) / 64064) ** 0.5


def test_entries_of_a_mask_are_independent():
  mask = np.asarray(draw_mask(jax.random.key(0), 0.5, (200, 101)))
  error = 5 / 20000**0.5
  for a, b in (
    (mask[:, :100:2], mask[:, 1:100:2]),  # halves of one random word
    (mask[:, 1:99:2], mask[:, 2:100:2]),
    (mask[1:], mask[:-1]),
  ):
    assert abs(np.mean(a == b) - 0.5) < error
  other = np.asarray(draw_mask(jax.random.key(1), 0.5, (200, 101)))
  assert abs(np.mean(mask == other) - 0.5) < error


def test_a_rate_of_zero_draws_no_mask():
  assert draw_mask(jax.random.key(0), 0.0, (2, 3)) is None


# Initialisation (appendix A.2.3).


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
  assert shapes_of(hyperlstm())['w_hz'].shape == (4, e, UNITS)


def test_initial_scalings_are_a_tenth_whatever_the_hyper_state():
  cell = hyperlstm(layer_norm=False)
  params, carry = initial(cell), random_carry(cell)
  scaled = {
    'w_h': 0.1 * params['w_h'],
    'w_x': 0.1 * params['w_x'],
    'b': np.zeros(4 * UNITS, 'f'),
  }
  _, h = one_step(cell, params, carry)
  _, wanted = one_step(lstm(), scaled, carry[0])
  np.testing.assert_allclose(h, wanted, rtol=0, atol=1e-6)


def test_initial_hyperrnn_parameters():
  params = initial(hyperrnn())
  for name, value in {
    'b_hh': 1,
    'b_hx': 1,
    'w_hh': 0,
    'w_hx': 0,
    'w_bz': 0,
    'w_hz': np.float32(0.1 / EMBEDDING),
    'w_xz': np.float32(0.1 / EMBEDDING),
    'b': 0,
    'hyper_b': 0,
  }.items():
    np.testing.assert_array_equal(params[name], value)
  scaled = {'w_h': 0.1 * params['w_h'], 'w_x': 0.1 * params['w_x']}
  scaled['b'] = np.zeros(UNITS, 'f')
  carry = random_carry(hyperrnn())
  _, h = one_step(hyperrnn(), params, carry)
  _, wanted = one_step(RNNCell(UNITS, INPUTS), scaled, carry[0])
  np.testing.assert_allclose(h, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize('e', [1, 4, 32])
def test_initial_generated_weights_have_the_scale_of_an_orthogonal_matrix(e):
  cell = HyperRNNCell(32, hyper_units=4, embedding_size=e, form='full')
  params = initial(cell, inputs=64)
  for name, shape in (('w_hz', (32, 32)), ('w_xz', (64, 32))):
    generated = params[name].sum(0)  # all embeddings start at ones
    assert generated.shape == shape
    singular_values = np.linalg.svd(generated, compute_uv=False)
    assert abs((singular_values**2).mean() - 1) < 0.1
    if e == 1:
      np.testing.assert_allclose(singular_values, 1, rtol=1e-5)
    else:
      assert np.abs(params[name][0] - params[name][1]).max() > 0.01


@BOTH
@pytest.mark.parametrize('orthogonal', ['whole', 'gate'])
def test_initial_weights_are_orthogonal(name, orthogonal):
  cell = small_cell(name, orthogonal=orthogonal)
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
def test_elements_of_an_embedding_part_only_where_they_start_apart(noise):
  """Under A.2.3 their gradients are equal, so training cannot part them."""
  cell = hyperlstm(scaling_noise=noise)
  params, carry, x = initial(cell), random_carry(cell), random_inputs()[:, 0]

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


# Errors.


@BOTH
def test_symbols_without_an_input_size_are_refused(name):
  cell = small_cell(name).clone(input_size=None)
  with pytest.raises(ValueError, match='set input_size'):
    jax.eval_shape(
      lambda: cell.init(
        jax.random.key(0), cell.zeros((2,)), jnp.zeros((2,), int)
      )
    )


@BOTH
def test_an_unknown_orthogonal_is_refused(name):
  with pytest.raises(ValueError, match="orthogonal is 'rows'.*whole, gate"):
    small_cell(name, orthogonal='rows')


def test_an_unknown_form_is_refused():
  with pytest.raises(ValueError, match="form is 'whole'.*scaled, full"):
    hyperrnn(form='whole')


def test_an_unknown_hyper_state_is_refused():
  with pytest.raises(ValueError, match="hyper_state is 'next'.*new, old"):
    hyperrnn(hyper_state='next')
  with pytest.raises(ValueError, match="hyper_state is 'next'.*new, old"):
    hyperlstm(hyper_state='next')


# The contract of flax's cells.

EACH = pytest.mark.parametrize(
  'name',
  ['rnn', 'hyperrnn-full-new', 'lstm-ln', 'hyperlstm-main1-hyper1-new'],
)


@EACH
@pytest.mark.parametrize('batch', [(), (2,), (2, 3)])
def test_a_step_takes_any_axes_before_the_last(name, batch):
  cell = VARIANTS[name]
  rng = np.random.default_rng(0)
  x = rng.normal(size=(*batch, INPUTS)).astype('f')
  carry = cell.initialize_carry(jax.random.key(0), x.shape)
  assert all(
    y.shape[:-1] == batch and y.ndim == len(batch) + 1
    for y in jax.tree.leaves(carry)
  )
  variables = {'params': randomised(cell)}
  after, y = fast_jit(cell.apply)(variables, carry, x)
  assert y.shape == (*batch, cell.units)
  assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, carry)
  rows = x.reshape(-1, INPUTS)
  _, wanted = cell.apply(variables, cell.zeros((len(rows),)), rows)
  assert_close(y, np.asarray(wanted).reshape(y.shape))
  if batch == (2,):
    step = jax.vmap(lambda carry, x: cell.apply(variables, carry, x))
    assert_close(step(carry, x)[1], wanted)


def test_flax_runs_a_sequence_without_a_batch():
  cell = hyperlstm()
  x = np.random.default_rng(0).normal(size=(TIME, INPUTS)).astype('f')
  rnn, variables = nn.RNN(cell), {'params': {'cell': randomised(cell)}}
  wanted = rnn.apply(variables, x[None])[0]
  assert_close(rnn.apply(variables, x), wanted)


@EACH
def test_a_carry_can_be_donated(name):
  carry = VARIANTS[name].zeros((2,))
  jax.block_until_ready(
    jax.jit(lambda x: jax.tree.map(jnp.sin, x), donate_argnums=0)(carry)
  )


@pytest.mark.parametrize(
  'name, options, message',
  [
    ('rnn', {'units': 0}, 'units is 0; it must be a positive'),
    ('lstm', {'units': 2.0}, 'units is 2.0'),
    ('lstm', {'units': True}, 'units is True'),
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
def test_what_a_cell_cannot_be_is_said_at_once(name, options, message):
  with pytest.raises(ValueError, match=message):
    CELLS[name](**({'units': 4} | options))


def test_sizes_may_be_numbers_of_numpy():
  assert LSTMCell(np.int64(3)).units == 3
