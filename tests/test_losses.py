"""The mixture density equals the paper's and scipy's, and is never NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from scipy import integrate, stats

from hyper import losses

M = 4
density = jax.jit(losses.mixture_density)
value_and_gradient = jax.jit(
  jax.value_and_grad(lambda x, steps: losses.mixture_density(x, steps).mean())
)


def make_outputs(seed, *shape, m=M):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(*shape, 6 * m + 1)).astype('f')


def mixture_of(outputs, bias):
  return losses.to_mixture(jnp.asarray(outputs), bias)


def make_steps(seed, *shape):
  rng = np.random.default_rng(seed)
  moves = rng.normal(size=(*shape, 2))
  ends = rng.integers(0, 2, (*shape, 1))
  return np.concatenate([moves, ends], -1).astype('f')


def parts(outputs, m=M):
  """Returns the outputs under the reference's names."""
  pi, mu, sigma, rho, e = np.split(outputs, [m, 3 * m, 5 * m, 6 * m], -1)
  pair = (*outputs.shape[:-1], m, 2)
  return pi, mu.reshape(pair), sigma.reshape(pair), rho, e[..., 0]


def test_mixture_density_is_the_papers():
  outputs, steps = make_outputs(0, 3, 5), make_steps(1, 3, 5)
  expected = reference.mixture_density_nats(*parts(outputs), steps)
  found = density(outputs, steps)
  assert found.shape == (3, 5) and found.dtype == jnp.float32
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_mixture_density_is_scipys():
  outputs, steps = make_outputs(2, 6, m=1), make_steps(3, 6)
  found = density(outputs, steps)
  _, mu, sigma_hat, rho_hat, e_hat = parts(outputs, 1)
  for k in range(6):
    sigma, rho = np.exp(sigma_hat[k, 0]), np.tanh(rho_hat[k, 0])
    product = rho * sigma.prod()
    covariance = [[sigma[0] ** 2, product], [product, sigma[1] ** 2]]
    move = stats.multivariate_normal(mu[k, 0], covariance)
    pen = stats.bernoulli(1 / (1 + np.exp(-e_hat[k])))
    expected = -move.logpdf(steps[k, :2]) - pen.logpmf(steps[k, 2])
    np.testing.assert_allclose(found[k], expected, rtol=1e-4)


def test_the_density_integrates_to_one():
  outputs = 0.5 * make_outputs(4)
  axis = np.linspace(-14, 14, 281)
  total = 0.0
  for end in (0, 1):
    places = np.stack(np.meshgrid(axis, axis, [end]), -1).reshape(-1, 3)
    repeated = np.broadcast_to(outputs, (len(places), len(outputs)))
    nats = np.asarray(density(repeated, places.astype('f')))
    values = np.exp(-nats).reshape(281, 281)
    total += integrate.trapezoid(integrate.trapezoid(values, axis), axis)
  np.testing.assert_allclose(total, 1, atol=1e-4)


def test_a_density_may_be_above_one():
  outputs = np.zeros(7, 'f')
  outputs[3:5] = -4  # narrow
  nats = density(outputs, np.zeros(3, 'f'))
  np.testing.assert_allclose(nats, np.log(2 * np.pi) - 8 + np.log(2), rtol=1e-5)


@pytest.mark.parametrize('size', [1e2, 1e4, 1e6])
def test_loss_and_gradient_are_finite_at_extreme_outputs(size):
  signs = np.random.default_rng(0).choice([-1, 0, 1], (200, 6 * M + 1))
  outputs = (size * signs).astype('f')
  value, gradient = value_and_gradient(outputs, make_steps(1, 200))
  assert np.isfinite(value)
  assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@pytest.mark.parametrize('move', [1e-30, 1e2, 1e5])
def test_loss_and_gradient_are_finite_at_extreme_steps(move):
  steps = make_steps(2, 200) * np.float32([move, move, 1])
  value, gradient = value_and_gradient(make_outputs(3, 200), steps)
  assert np.isfinite(value) and np.isfinite(gradient).all()


def test_a_padded_step_sends_no_gradient_whatever_it_holds():
  outputs, steps = make_outputs(5, 2), make_steps(6, 2)
  steps[1] = 1e5

  def masked(x):
    nats = losses.mixture_density(x, jnp.asarray(steps))
    return jnp.where(np.array([True, False]), nats, 0.0).sum()

  gradient = jax.jit(jax.grad(masked))(outputs)
  assert np.abs(gradient[0]).max() > 0
  np.testing.assert_array_equal(gradient[1], 0)


def test_moves_in_double_precision_give_nats_in_single():
  with jax.enable_x64(True):
    nats = losses.mixture_density(jnp.zeros((2, 7)), jnp.zeros((2, 3)))
  assert nats.dtype == jnp.float32


@pytest.mark.parametrize('outputs', [1, 6, 9])
def test_other_numbers_of_outputs_are_no_mixture(outputs):
  with pytest.raises(ValueError, match=rf'got {outputs} outputs; it needs 6 m'):
    losses.to_mixture(jnp.zeros((2, outputs)))


def test_parameters_stay_within_their_bounds():
  mixture = mixture_of(1e3 * make_outputs(7, 50), 0.0)
  assert np.abs(mixture.log_sigma).max() == losses.LOG_SIGMA_BOUND
  assert np.abs(np.tanh(np.float32(mixture.rho_hat))).max() < 0.9994
  assert np.abs(mixture.rho_hat).max() == losses.RHO_HAT_BOUND


def test_a_bias_narrows_the_mixture_as_graves_has_it():
  outputs = 0.1 * make_outputs(8, 10)
  plain, biased = mixture_of(outputs, 0.0), mixture_of(outputs, 2.0)
  np.testing.assert_allclose(biased.log_sigma, plain.log_sigma - 2, rtol=1e-5)
  pi_hat = outputs[:, :M]
  pi = np.exp(3 * pi_hat) / np.exp(3 * pi_hat).sum(-1, keepdims=True)
  np.testing.assert_allclose(np.exp(biased.log_pi), pi, rtol=1e-5)
  for name in ('mu', 'rho_hat', 'e_hat'):
    np.testing.assert_array_equal(getattr(biased, name), getattr(plain, name))


@pytest.mark.parametrize('bias', [1e20, 1e38, 1e300])
def test_the_largest_biases_leave_the_likeliest_component_alone(bias):
  outputs = make_outputs(9, 20)
  mixture = mixture_of(outputs, bias)
  wanted = np.eye(M)[outputs[:, :M].argmax(-1)]
  np.testing.assert_array_equal(np.exp(mixture.log_pi), wanted)
  np.testing.assert_array_equal(mixture.log_sigma, -losses.LOG_SIGMA_BOUND)


def test_far_from_every_mean_the_loss_still_falls_towards_it():
  outputs = jnp.zeros(7)
  places = np.float32([99.9, 100.1, 1e3, 1e6])
  steps = np.stack([places, 0 * places, 0 * places], -1)
  at_zero = float(density(outputs, np.zeros(3, 'f')))
  nats, gradient = jax.jit(
    jax.vmap(
      jax.value_and_grad(lambda s: losses.mixture_density(outputs, s)),
    )
  )(steps)
  np.testing.assert_allclose(nats[0] - at_zero, 99.9**2 / 2, rtol=1e-4)
  np.testing.assert_allclose(gradient[:2, 0], places[:2], rtol=5e-3)
  assert (np.diff(nats) > 0).all() and (gradient[:, 0] > 0).all()
