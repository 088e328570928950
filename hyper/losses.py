"""Losses in nats, one for each symbol or step; who reads them sums them up."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# A mixture's parameters are clipped to these bounds, so that in float32 no
# density is infinite and no gradient is lost in rounding: deviations within
# e^-7 and e^7, correlations within +-tanh(4), which is 0.9993.
LOG_SIGMA_BOUND = 7.0
RHO_HAT_BOUND = 4.0
FAR = 100.0  # deviations from a mean


def cross_entropy(
  logits: Float[Array, '*n classes'], targets: Int[Array, '*n']
) -> Float[Array, '*n']:
  """Minus the log probability of each target, in nats, in float32."""
  log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
  return -jnp.take_along_axis(log_p, targets[..., None], -1)[..., 0]


class Mixture(NamedTuple):
  """m bivariate Gaussians and a pen bit, from the outputs of a network.

  Attributes:
    log_pi: log weights, normalised, [..., m].
    mu: means of x and y, [..., m, 2].
    log_sigma: log deviations, bounded, [..., m, 2].
    rho_hat: what the correlations are the tanh of, bounded, [..., m].
    e_hat: log odds that a stroke ends, [...].
  """

  log_pi: Float[Array, '... m']
  mu: Float[Array, '... m 2']
  log_sigma: Float[Array, '... m 2']
  rho_hat: Float[Array, '... m']
  e_hat: Float[Array, '...']


def to_mixture(outputs: Float[Array, '... k'], bias: float = 0.0) -> Mixture:
  """Splits k = 6 m + 1 outputs: m, 2 m, 2 m and m numbers, and the pen's.

  The maps are those of Graves (arXiv 1308.0850, eqs 18 to 22; he negates the
  pen's output). A bias above 0 makes what is sampled tidier: it multiplies the
  logits of the weights by 1 + bias and is taken off the log deviations (eqs 61
  and 62).

  Deviation: deviations and correlations are bounded, see LOG_SIGMA_BOUND and
  RHO_HAT_BOUND.
  """
  outputs = outputs.astype(jnp.float32)
  m = (outputs.shape[-1] - 1) // 6
  pi_hat, mu, sigma_hat, rho_hat, e_hat = jnp.split(
    outputs, [m, 3 * m, 5 * m, 6 * m], -1
  )
  pairs = (*outputs.shape[:-1], m, 2)
  log_sigma = sigma_hat.reshape(pairs) - bias
  return Mixture(
    jax.nn.log_softmax(pi_hat * (1 + bias)),
    mu.reshape(pairs),
    jnp.clip(log_sigma, -LOG_SIGMA_BOUND, LOG_SIGMA_BOUND),
    jnp.clip(rho_hat, -RHO_HAT_BOUND, RHO_HAT_BOUND),
    e_hat[..., 0],
  )


def mixture_density(
  outputs: Float[Array, '... k'], steps: Float[Array, '... 3']
) -> Float[Array, '...']:
  """Minus the log density of each pen step, in nats, in float32.

  Section 4.5 after Graves (arXiv 1308.0850, eq. 26): a mixture of bivariate
  Gaussians for dx and dy, and a Bernoulli for the pen bit. A density may be
  above 1, so these nats may be negative; they depend on the unit of dx and dy.

  Deviation: more than FAR deviations from its mean, where a Gaussian has a
  probability of e^-5000, it falls more slowly, see `half_square`.

  Args:
    outputs: of the network, see `to_mixture`.
    steps: dx, dy, and 1 where the step ends a stroke, else 0.
  """
  mixture = to_mixture(outputs)
  u = (steps[..., None, :2] - mixture.mu) * jnp.exp(-mixture.log_sigma)
  u_x, u_y = u[..., 0], u[..., 1]
  # 1 / (1 - rho^2) is cosh^2, and the quadratic form a sum of two squares.
  cosh = jnp.cosh(mixture.rho_hat)
  across = u_x * cosh - u_y * jnp.sinh(mixture.rho_hat)
  log_components = (
    mixture.log_pi
    - half_square(across * across + u_y * u_y)
    - mixture.log_sigma.sum(-1)
    + jnp.log(cosh)
    - jnp.log(2 * jnp.pi)
  )
  log_move = jax.nn.logsumexp(log_components, axis=-1)
  sign = 2 * steps[..., 2] - 1
  return -log_move - jax.nn.log_sigmoid(sign * mixture.e_hat)


def half_square(squares: Float[Array, '...']) -> Float[Array, '...']:
  """Half of squares up to FAR^2, and beyond it a logarithm, joined smoothly.

  Numbers of 1e9 and more would leave nothing of their differences in float32,
  and their gradients would drown all others.
  """
  limit = FAR * FAR
  beyond = limit * (1 + jnp.log(jnp.maximum(squares, limit) / limit))
  return jnp.where(squares < limit, squares, beyond) / 2
