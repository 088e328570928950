"""The NumPy reference, against hand calculations and identities."""

import math

import numpy as np
import pytest
import reference
from scipy import stats

B, T, N, N_HAT, N_X, N_Z = 2, 4, 5, 3, 2, 2


def draw(rng, *shape):
  return rng.normal(0.0, 0.5, shape)


def per_gate(rng, *shape):
  return {y: draw(rng, *shape) for y in reference.GATES}


def lstm_weights(rng, n, n_x):
  return {
    'W_h': per_gate(rng, n, n),
    'W_x': per_gate(rng, n, n_x),
    'b': per_gate(rng, n),
  }


def layer_norm_weights(rng, n):
  return {
    'gamma': per_gate(rng, n),
    'beta': per_gate(rng, n),
    'gamma_c': draw(rng, n),
    'beta_c': draw(rng, n),
  }


def layer_norm_lstm_weights(rng, n, n_x):
  weights = lstm_weights(rng, n, n_x) | layer_norm_weights(rng, n)
  del weights['b']
  return weights


def hyperlstm_weights(rng, n, n_hat, n_x, n_z, layer_norm):
  make_cell = layer_norm_lstm_weights if layer_norm else lstm_weights
  weights = {
    'hyper': make_cell(rng, n_hat, n + n_x),
    'W_h': per_gate(rng, n, n),
    'W_x': per_gate(rng, n, n_x),
    'b_0': per_gate(rng, n),
  }
  for name in ('W_hh', 'W_hx', 'W_hb'):
    weights[name] = per_gate(rng, n_z, n_hat)
  for name in ('b_hh', 'b_hx'):
    weights[name] = per_gate(rng, n_z)
  for name in ('W_hz', 'W_xz', 'W_bz'):
    weights[name] = per_gate(rng, n, n_z)
  if layer_norm:
    weights |= layer_norm_weights(rng, n)
  return weights


def hyperrnn_weights(rng):
  weights = {
    'hyper': {
      'W_h': draw(rng, N_HAT, N_HAT),
      'W_x': draw(rng, N_HAT, N + N_X),
      'b': draw(rng, N_HAT),
    },
    'W_h': draw(rng, N, N),
    'W_x': draw(rng, N, N_X),
    'b_0': draw(rng, N),
  }
  for name in ('W_hh', 'W_hx', 'W_hb'):
    weights[name] = draw(rng, N_Z, N_HAT)
  for name in ('b_hh', 'b_hx'):
    weights[name] = draw(rng, N_Z)
  for name in ('W_hz', 'W_xz', 'W_bz'):
    weights[name] = draw(rng, N, N_Z)
  return weights


def filled(gates, value):
  return {y: np.full_like(array, value) for y, array in gates.items()}


def count(tree):
  if isinstance(tree, dict):
    return sum(count(value) for value in tree.values())
  return tree.size


@pytest.fixture
def rng():
  return np.random.default_rng(0)


def test_rnn_of_one_unit_by_hand():
  weights = {'W_h': [[0.5]], 'W_x': [[2.0, -1.0]], 'b': [0.1]}
  xs = [[[1.0, 3.0]], [[0.2, 0.4]]]
  h, outputs = reference.unroll(reference.rnn_step, weights, [[0.3]], xs)
  first = math.tanh(0.5 * 0.3 + 2.0 * 1.0 - 3.0 + 0.1)
  second = math.tanh(0.5 * first + 2.0 * 0.2 - 0.4 + 0.1)
  np.testing.assert_allclose(outputs, [[[first]], [[second]]], rtol=1e-12)
  np.testing.assert_allclose(h, [[second]], rtol=1e-12)


def test_lstm_of_one_unit_by_hand():
  weights = {
    'W_h': {'i': [[0.1]], 'g': [[0.2]], 'f': [[0.3]], 'o': [[0.4]]},
    'W_x': {'i': [[0.5]], 'g': [[0.6]], 'f': [[0.7]], 'o': [[0.8]]},
    'b': {'i': [0.9], 'g': [1.0], 'f': [1.1], 'o': [1.2]},
  }
  c, h, x = 0.7, -0.5, 2.0
  i = 0.1 * h + 0.5 * x + 0.9
  g = 0.2 * h + 0.6 * x + 1.0
  f = 0.3 * h + 0.7 * x + 1.1
  o = 0.4 * h + 0.8 * x + 1.2
  kept_g = math.tanh(g) / 0.8
  expected_c = c / (1 + math.exp(-f - 2)) + kept_g / (1 + math.exp(-i))
  expected_h = math.tanh(expected_c) / (1 + math.exp(-o))
  carry, output = reference.lstm_step(
    weights,
    ([[c]], [[h]]),
    [[x]],
    forget_bias=2.0,
    mask=[[1]],
    keep_probability=0.8,
  )
  np.testing.assert_allclose(carry, [[[expected_c]], [[expected_h]]])
  np.testing.assert_array_equal(output, carry[1])


def test_recurrent_dropout_leaves_the_old_state(rng):
  weights = lstm_weights(rng, N, N_X)
  xs = draw(rng, T, B, N_X)
  carry = (draw(rng, B, N), np.zeros((B, N)))
  masks = np.ones((T, B, N))
  masks[:, 0] = 0
  (c, _), outputs = reference.unroll(
    reference.lstm_step, weights, carry, xs, masks=masks, keep_probability=1.0
  )
  _, undropped = reference.unroll(reference.lstm_step, weights, carry, xs)
  np.testing.assert_array_equal(outputs[:, 1], undropped[:, 1])
  assert np.all(np.sign(c[0]) == np.sign(carry[0][0]))
  assert np.all(np.abs(c[0]) < np.abs(carry[0][0]))


def test_layer_norm_statistics(rng):
  x = 3.0 + draw(rng, B, 50)
  normed = reference.layer_norm(x, np.ones(50), np.zeros(50))
  variance = np.var(x, axis=1)
  np.testing.assert_allclose(np.mean(normed, axis=1), 0, atol=1e-12)
  np.testing.assert_allclose(
    np.var(normed, axis=1), variance / (variance + 1e-3)
  )


def test_layer_norm_epsilon_gamma_and_beta_by_hand():
  normed = reference.layer_norm([[0.98, 1.02]], [1.0, 2.0], [0.0, 5.0])
  unit = 0.02 / math.sqrt(0.02**2 + 1e-3)
  np.testing.assert_allclose(normed, [[-unit, 5 + 2 * unit]])


def test_layer_norm_lstm_carries_the_unnormalised_state(rng):
  weights = layer_norm_lstm_weights(rng, N, N_X)
  carry = (draw(rng, B, N), draw(rng, B, N))
  x = draw(rng, B, N_X)
  (c, h), _ = reference.layer_norm_lstm_step(weights, carry, x)
  other = weights | {'gamma_c': draw(rng, N), 'beta_c': draw(rng, N)}
  (other_c, other_h), _ = reference.layer_norm_lstm_step(other, carry, x)
  np.testing.assert_array_equal(c, other_c)
  assert np.all(h != other_h)


def test_layer_norm_lstm_adds_the_forget_bias_after_the_norm(rng):
  weights = layer_norm_lstm_weights(rng, N, N_X)
  carry = (draw(rng, B, N), draw(rng, B, N))
  x = draw(rng, B, N_X)
  with_bias = reference.layer_norm_lstm_step(
    weights, carry, x, forget_bias=1.5
  )[1]
  beta = weights['beta'] | {'f': weights['beta']['f'] + 1.5}
  with_beta = reference.layer_norm_lstm_step(
    weights | {'beta': beta}, carry, x, forget_bias=0.0
  )[1]
  np.testing.assert_allclose(with_bias, with_beta, rtol=1e-12)


def test_hyperrnn_of_one_unit_by_hand():
  weights = {
    'hyper': {'W_h': [[0.2]], 'W_x': [[0.3, 0.4]], 'b': [0.5]},
    'W_h': [[0.6]],
    'W_x': [[0.7]],
    'b_0': [0.8],
    'W_hh': [[0.9]],
    'W_hx': [[1.1]],
    'W_hb': [[1.2]],
    'b_hh': [1.3],
    'b_hx': [1.4],
    'W_hz': [[1.5]],
    'W_xz': [[1.6]],
    'W_bz': [[1.7]],
  }
  h, h_hyper, x = -0.5, 0.1, 0.2
  h_hyper = math.tanh(0.2 * h_hyper + 0.3 * h + 0.4 * x + 0.5)
  d_h = 1.5 * (0.9 * h_hyper + 1.3)
  d_x = 1.6 * (1.1 * h_hyper + 1.4)
  b = 1.7 * 1.2 * h_hyper + 0.8
  h_new = math.tanh(d_h * 0.6 * h + d_x * 0.7 * x + b)
  carry, output = reference.hyperrnn_step(weights, ([[h]], [[0.1]]), [[x]])
  np.testing.assert_allclose(carry, [[[h_new]], [[h_hyper]]])
  np.testing.assert_array_equal(output, carry[0])


@pytest.mark.parametrize('new_hyper_state', [True, False])
def test_scaled_rows_are_a_special_case_of_generated_matrices(
  rng, new_hyper_state
):
  weights = hyperrnn_weights(rng)
  full = weights | {
    'W_hz': np.einsum('rk,rc->rck', weights['W_hz'], weights['W_h']),
    'W_xz': np.einsum('rk,rc->rck', weights['W_xz'], weights['W_x']),
  }
  carry = (draw(rng, B, N), draw(rng, B, N_HAT))
  xs = draw(rng, T, B, N_X)
  options = {'new_hyper_state': new_hyper_state}
  _, whole = reference.unroll(
    reference.hyperrnn_full_step, full, carry, xs, **options
  )
  _, rows = reference.unroll(
    reference.hyperrnn_step, weights, carry, xs, **options
  )
  np.testing.assert_allclose(whole, rows, rtol=1e-10)


@pytest.mark.parametrize('layer_norm', [False, True])
def test_hyperlstm_with_unit_scales_is_an_lstm(rng, layer_norm):
  weights = hyperlstm_weights(rng, N, N_HAT, N_X, N_Z, layer_norm)
  for name in ('W_hh', 'W_hx', 'W_bz'):
    weights[name] = filled(weights[name], 0.0)
  for name in ('b_hh', 'b_hx'):
    weights[name] = filled(weights[name], 1.0)
  for name in ('W_hz', 'W_xz'):
    weights[name] = filled(weights[name], 1 / N_Z)
  step = reference.lstm_step
  if layer_norm:
    weights['b_0'] = filled(weights['b_0'], 0.0)
    step = reference.layer_norm_lstm_step
  c, h = draw(rng, B, N), draw(rng, B, N)
  c_hyper, h_hyper = draw(rng, B, N_HAT), draw(rng, B, N_HAT)
  xs = draw(rng, T, B, N_X)
  options = {
    'forget_bias': 0.5,
    'masks': rng.integers(0, 2, (T, B, N)),
    'keep_probability': 0.5,
  }
  _, outputs = reference.unroll(
    reference.hyperlstm_step,
    weights,
    (c, h, c_hyper, h_hyper),
    xs,
    layer_norm=layer_norm,
    hyper_layer_norm=layer_norm,
    **options,
  )
  plain = weights | {'b': weights['b_0']}
  _, expected = reference.unroll(step, plain, (c, h), xs, **options)
  np.testing.assert_allclose(outputs, expected, rtol=1e-10)


def test_hyperlstm_of_one_unit_by_hand(rng):
  weights = hyperlstm_weights(rng, 1, 1, 1, 1, layer_norm=False)
  carry = tuple(draw(rng, 1, 1) for _ in range(4))
  c, h, _, h_hyper = (array.item() for array in carry)
  x = 0.6
  pre = {}
  for y in reference.GATES:
    w = {name: weights[name][y].item() for name in weights if name != 'hyper'}
    z_h = w['W_hh'] * h_hyper + w['b_hh']
    z_x = w['W_hx'] * h_hyper + w['b_hx']
    z_b = w['W_hb'] * h_hyper
    pre[y] = w['W_hz'] * z_h * w['W_h'] * h + w['W_xz'] * z_x * w['W_x'] * x
    pre[y] += w['W_bz'] * z_b + w['b_0']
  expected_c = c / (1 + math.exp(-pre['f']))
  expected_c += math.tanh(pre['g']) / (1 + math.exp(-pre['i']))
  expected_h = math.tanh(expected_c) / (1 + math.exp(-pre['o']))
  new_carry, output = reference.hyperlstm_step(
    weights, carry, [[x]], forget_bias=0.0, new_hyper_state=False
  )
  np.testing.assert_allclose(new_carry[0], [[expected_c]])
  np.testing.assert_allclose(output, [[expected_h]])


def test_hyper_cell_reads_the_previous_h_then_x(rng):
  weights = hyperlstm_weights(rng, N, N_HAT, N_X, N_Z, layer_norm=True)
  c, h = draw(rng, B, N), draw(rng, B, N)
  c_hyper, h_hyper = draw(rng, B, N_HAT), draw(rng, B, N_HAT)
  x = draw(rng, B, N_X)
  mask = np.array([[1, 0, 1], [0, 1, 1]])
  carry, _ = reference.hyperlstm_step(
    weights,
    (c, h, c_hyper, h_hyper),
    x,
    hyper_layer_norm=True,
    forget_bias=0.5,
    hyper_mask=mask,
    hyper_keep_probability=0.75,
  )
  expected, _ = reference.layer_norm_lstm_step(
    weights['hyper'],
    (c_hyper, h_hyper),
    np.hstack([h, x]),
    forget_bias=0.5,
    mask=mask,
    keep_probability=0.75,
  )
  np.testing.assert_array_equal(carry[2:], expected)


def test_unroll_gives_each_step_its_own_masks(rng):
  weights = hyperlstm_weights(rng, N, N_HAT, N_X, N_Z, layer_norm=False)
  carry = (draw(rng, B, N), draw(rng, B, N))
  carry += (draw(rng, B, N_HAT), draw(rng, B, N_HAT))
  xs = draw(rng, 2, B, N_X)
  masks = np.stack([np.zeros((B, N)), np.ones((B, N))])
  hyper_masks = np.stack([np.ones((B, N_HAT)), np.zeros((B, N_HAT))])
  last, outputs = reference.unroll(
    reference.hyperlstm_step,
    weights,
    carry,
    xs,
    masks=masks,
    hyper_masks=hyper_masks,
  )
  for t in range(2):
    carry, h = reference.hyperlstm_step(
      weights, carry, xs[t], mask=masks[t], hyper_mask=hyper_masks[t]
    )
    np.testing.assert_array_equal(outputs[t], h)
  for got, expected in zip(last, carry, strict=True):
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize('new_hyper_state', [True, False])
def test_embeddings_see_the_new_hyper_state_only_if_asked(rng, new_hyper_state):
  weights = hyperlstm_weights(rng, N, N_HAT, N_X, N_Z, layer_norm=False)
  carry = (draw(rng, B, N), draw(rng, B, N)) + (np.zeros((B, N_HAT)),) * 2
  x = draw(rng, B, N_X)
  options = {'new_hyper_state': new_hyper_state}
  _, h = reference.hyperlstm_step(weights, carry, x, **options)
  weights['hyper'] = lstm_weights(rng, N_HAT, N + N_X)
  _, other = reference.hyperlstm_step(weights, carry, x, **options)
  assert np.any(h != other) == new_hyper_state


def test_weight_layouts_hold_the_parameters_the_paper_counts(rng):
  softmax = 1000 * 50 + 50
  plain = hyperlstm_weights(rng, 1000, 128, 50, 4, layer_norm=False)
  assert count(plain) + softmax == 4_911_874
  normed = hyperlstm_weights(rng, 1000, 128, 50, 4, layer_norm=True)
  assert count(normed) + softmax == 4_922_642


def static_weights(rng, n_in, n_out, f, d, n_z):
  return (
    draw(rng, n_in, d, n_z),
    draw(rng, n_in, d),
    draw(rng, f, n_out * f, d),
    draw(rng, f, n_out * f),
  )


def test_static_kernel_is_one_einsum(rng):
  f, n_out = 3, 4
  W_in, B_in, W_out, B_out = static_weights(rng, 2, n_out, f, 5, 6)
  z = draw(rng, 6)
  kernel = reference.static_kernel(z, W_in, B_in, W_out, B_out)
  a = np.einsum('idz,z->id', W_in, z) + B_in
  blocks = W_out.reshape(f, n_out, f, 5)
  expected = np.einsum('poqd,id->pqio', blocks, a)
  expected += np.einsum('poq->pqo', B_out.reshape(f, n_out, f))[:, :, None]
  np.testing.assert_allclose(kernel, expected, rtol=1e-10)


def test_static_kernel_has_the_parameters_of_the_mnist_table(rng):
  weights = static_weights(rng, 16, 16, 7, 4, 4)
  z = draw(rng, 4)
  assert sum(array.size for array in weights) + z.size == 4_244
  assert reference.static_kernel(z, *weights).size == 12_544


def test_grid_numbers_its_blocks_row_by_row(rng):
  n_in, n_out = 2, 3
  weights = static_weights(rng, n_in, n_out, 3, 4, 5)
  zs = draw(rng, 8, 5)
  kernel = reference.static_kernel_grid(zs, *weights, rows=2, columns=4)
  assert kernel.shape == (3, 3, 2 * n_in, 4 * n_out)
  second_row_second_block = kernel[:, :, n_in:, n_out : 2 * n_out]
  np.testing.assert_array_equal(
    second_row_second_block, reference.static_kernel(zs[5], *weights)
  )


def test_coordinate_network_has_801_parameters_and_its_order(rng):
  weights = {
    'W_1': np.zeros((25, 4)),
    'b_1': np.zeros(25),
    'W_2': np.eye(25),
    'b_2': np.zeros(25),
    'W_3': np.ones((1, 25)),
    'b_3': np.array([-0.5]),
  }
  assert count(weights) == 801
  weights['W_1'][0] = [1, 10, 100, 1000]
  matrix = reference.coordinate_network(
    weights, (2, 3), (4, 5), lambda index, size: index
  )
  assert matrix.shape == (6, 20)
  x_in, y_in, x_out, y_out = 2, 1, 4, 3
  expected = x_in + 10 * y_in + 100 * x_out + 1000 * y_out - 0.5
  assert matrix[y_in * 3 + x_in, y_out * 5 + x_out] == expected
  weights['W_1'][1] = -weights['W_1'][0]  # Negative: cut before W_2 ...
  weights['W_2'][1, 1] = -1.0
  weights['W_2'][2, 0] = -1.0  # ... and negative only after it.
  clipped = reference.coordinate_network(
    weights, (2, 3), (4, 5), lambda index, size: index
  )
  np.testing.assert_array_equal(clipped, matrix)


def test_coordinate_network_passes_each_axis_its_own_size():
  seen = set()

  def scale(index, size):
    seen.add((index, size))
    return 0.0

  weights = {
    'W_1': np.zeros((25, 4)),
    'b_1': np.zeros(25),
    'W_2': np.zeros((25, 25)),
    'b_2': np.zeros(25),
    'W_3': np.zeros((1, 25)),
    'b_3': np.zeros(1),
  }
  reference.coordinate_network(weights, (2, 3), (4, 5), scale)
  assert seen == {(i, size) for size in (2, 3, 4, 5) for i in range(size)}


def test_cross_entropy_by_hand():
  logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]) + [[7.0], [-900.0]]
  nats = reference.cross_entropy(logits, [1, 2])
  np.testing.assert_allclose(nats, -(math.log(0.25) + math.log(0.8)) / 2)


def test_uniform_prediction_costs_log2_of_the_vocabulary():
  logs = reference.target_log_probabilities(np.ones((3, 2, 8)), [[0, 7]] * 3)
  assert logs.shape == (3, 2)
  np.testing.assert_allclose(reference.bits_per_character(logs), 3.0)


def mixture(rng, m):
  return {
    'pi_hat': draw(rng, m),
    'mu_hat': draw(rng, m, 2),
    'sigma_hat': draw(rng, m, 2),
    'rho_hat': draw(rng, m),
    'e_hat': np.array(0.7),
  }


def test_mixture_density_integrates_to_one(rng):
  outputs = mixture(rng, 3)
  axis = np.arange(-10, 10, 0.4)
  total = 0.0
  for end in (0, 1):
    places = np.stack(np.meshgrid(axis, axis, [end]), axis=-1).reshape(-1, 3)
    repeated = {
      name: np.broadcast_to(value, (len(places), *value.shape))
      for name, value in outputs.items()
    }
    nats = reference.mixture_density_nats(**repeated, x=places)
    total += np.sum(np.exp(-nats)) * 0.4**2
  np.testing.assert_allclose(total, 1.0, atol=1e-3)


@pytest.mark.parametrize('end', [0, 1])
def test_mixture_density_is_scipys(rng, end):
  outputs = mixture(rng, 3)
  x = np.array([0.3, -0.8, end])
  pi = np.exp(outputs['pi_hat']) / np.sum(np.exp(outputs['pi_hat']))
  density = 0.0
  for j in range(3):
    s_1, s_2 = np.exp(outputs['sigma_hat'][j])
    product = np.tanh(outputs['rho_hat'][j]) * s_1 * s_2
    covariance = [[s_1**2, product], [product, s_2**2]]
    normal = stats.multivariate_normal(outputs['mu_hat'][j], covariance)
    density += pi[j] * normal.pdf(x[:2])
  probability = 1 / (1 + math.exp(-0.7 if end else 0.7))
  nats = reference.mixture_density_nats(**outputs, x=x)
  np.testing.assert_allclose(nats, -math.log(density * probability))
