"""Losses in nats, one for each symbol or move of a pen; the caller sums them.

Shapes: m mixture components, k = 6 m + 1 outputs of a network; n stands for any
leading axes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Integer

# A mixture's parameters are clipped to these bounds, so that in float32 no
# density is infinite and no gradient is lost in rounding: deviations within
# e^-7 and e^7, correlations within +-tanh(4), which is 0.9993. Beyond a bound
# the output that was clipped gets no gradient.
LOG_SIGMA_BOUND = 7.0
RHO_HAT_BOUND = 4.0
FAR = 100.0  # standard deviations; beyond them the density falls more slowly


def cross_entropy(
  logits: Float[Array, '*n classes'], targets: Integer[Array, '*n']
) -> Float[Array, '*n']:
  """Returns -log softmax(logits)[target] for each of `targets`, in nats.

  Args:
    logits: [*n, classes], of any floating type.
    targets: [*n], integers from 0 to classes - 1.

  Returns:
    Float32 [*n], in nats. Divide by ln 2 for the bits per character of sections
    4.3 and 4.4.

  >>> nats = cross_entropy(jnp.log(jnp.array([[0.5, 0.5]])), jnp.array([1]))
  >>> print(nats / jnp.log(2))  # in bits
  [1.]
  """
  log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
  return -jnp.take_along_axis(log_p, targets[..., None], -1)[..., 0]


class Mixture(NamedTuple):
  """A mixture of m bivariate Gaussians and a pen bit (section 4.5).

  The density of a move of the pen is that of Graves (arXiv 1308.0850, eq. 23):

    p(dx, dy, end) = sum_j pi_j N(dx, dy; mu_j, sigma_j, rho_j) *
                     (e if end else 1 - e)

  Attributes:
    log_pi: [..., m], log pi; the weights pi sum to 1.
    mu: [..., m, 2], the means of dx and dy.
    log_sigma: [..., m, 2], log standard deviations, within +-LOG_SIGMA_BOUND.
    rho_hat: [..., m], within +-RHO_HAT_BOUND; rho is its tanh.
    e_hat: [...], the log odds that the move ends a stroke.

  >>> mixture = to_mixture(jnp.zeros(7))
  >>> mixture.mu.shape, float(jax.nn.sigmoid(mixture.e_hat))
  ((1, 2), 0.5)
  """

  log_pi: Float[Array, '... m']
  mu: Float[Array, '... m 2']
  log_sigma: Float[Array, '... m 2']
  rho_hat: Float[Array, '... m']
  e_hat: Float[Array, '...']


def to_mixture(outputs: Float[Array, '... k'], bias: float = 0.0) -> Mixture:
  """Splits the `outputs` of a network into the parameters of a mixture.

  The maps are those of Graves (arXiv 1308.0850, eqs 18 to 22), in this order
  along the last axis; he negates the pen's output:

    pi = softmax(pi_hat)   m numbers
    mu = mu_hat            2 m
    sigma = exp(sigma_hat) 2 m
    rho = tanh(rho_hat)    m
    e = sigmoid(e_hat)     1

  A bias b above 0 makes what is sampled tidier (eqs 61 and 62):

    pi = softmax(pi_hat (1 + b))
    sigma = exp(sigma_hat - b)

  Deviation: deviations and correlations are bounded, see LOG_SIGMA_BOUND and
  RHO_HAT_BOUND; an output beyond its bound gets no gradient.

  Args:
    outputs: [..., k] of the last layer, k = 6 m + 1.
    bias: b, finite and at least 0.

  Returns:
    A float32 `Mixture` with the leading axes of `outputs`.

  Raises:
    ValueError: k is not 6 m + 1 for a positive m.

  >>> mixture = to_mixture(jnp.zeros((2, 13)))
  >>> mixture.mu.shape, jnp.exp(mixture.log_pi[0]).tolist()
  ((2, 2, 2), [0.5, 0.5])
  """
  outputs = outputs.astype(jnp.float32)
  m, left = divmod(outputs.shape[-1] - 1, 6)
  if left or m < 1:
    raise ValueError(
      f'a mixture got {outputs.shape[-1]} outputs; it needs 6 m + 1, such as '
      '121 for 20 components.'
    )
  pi_hat, mu, sigma_hat, rho_hat, e_hat = jnp.split(
    outputs, [m, 3 * m, 5 * m, 6 * m], -1
  )
  pairs = (*outputs.shape[:-1], m, 2)
  log_sigma = sigma_hat.reshape(pairs) - bias
  return Mixture(
    jax.nn.log_softmax(tempered(pi_hat, 1 / (1 + bias)) if bias else pi_hat),
    mu.reshape(pairs),
    jnp.clip(log_sigma, -LOG_SIGMA_BOUND, LOG_SIGMA_BOUND),
    jnp.clip(rho_hat, -RHO_HAT_BOUND, RHO_HAT_BOUND),
    e_hat[..., 0],
  )


def tempered(
  logits: Float[Array, '*n classes'], temperature: ArrayLike
) -> Float[Array, '*n classes']:
  """Returns `logits` / `temperature`, shifted so that the largest is 0.

  The quotient may exceed float32: at a temperature of 0, or close to it, all
  logits but the largest become -inf. A logit of -inf stays -inf.

  Args:
    logits: [*n, classes].
    temperature: at least 0.

  Returns:
    Logits [*n, classes] of softmax(logits / temperature).

  >>> tempered(jnp.array([1.0, 3.0, 2.0]), 0.5).tolist()
  [-4.0, 0.0, -2.0]
  >>> tempered(jnp.array([1.0, 3.0, 2.0]), 1e-40).tolist()
  [-inf, 0.0, -inf]
  """
  gaps = logits - logits.max(-1, keepdims=True)
  # At a high temperature -inf / temperature is -inf * 0, which is NaN.
  scaled = jnp.where(jnp.isneginf(gaps), gaps, gaps / temperature)
  return jnp.where(gaps < 0, scaled, jnp.zeros_like(gaps))


def mixture_density(
  outputs: Float[Array, '*n k'], moves: Float[Array, '*n 3']
) -> Float[Array, '*n']:
  """Returns minus the log density of each of `moves`, in nats.

  Section 4.5 after Graves (arXiv 1308.0850, eq. 26), where N is a bivariate
  Gaussian of (dx, dy):

    -log sum_j pi_j N(dx, dy; mu_j, sigma_j, rho_j)
    -log(e if the move ends a stroke else 1 - e)

  A density may exceed 1, so the loss may be negative. It depends on the unit of
  dx and dy.

  Deviation: more than FAR standard deviations from its mean, where a Gaussian
  has a density of e^-5000, the density falls more slowly: half the squared
  distance s becomes FAR^2 (1 + log(s / FAR^2)) / 2.

  Args:
    outputs: [*n, k] of the network, see `to_mixture`.
    moves: [*n, 3]: dx, dy, and 1 if the move ends a stroke, else 0.

  Returns:
    Float32 [*n], in nats.

  >>> outputs = jnp.zeros((1, 7))  # one standard Gaussian, and a fair pen
  >>> nats = mixture_density(outputs, jnp.zeros((1, 3)))
  >>> f'{nats[0]:.3f} = log(2 pi) + log 2'
  '2.531 = log(2 pi) + log 2'
  """
  mixture, moves = to_mixture(outputs), moves.astype(jnp.float32)
  u = (moves[..., None, :2] - mixture.mu) * jnp.exp(-mixture.log_sigma)
  u_x, u_y = u[..., 0], u[..., 1]
  # 1 / (1 - rho^2) is cosh^2, and the quadratic form a sum of two squares.
  cosh = jnp.cosh(mixture.rho_hat)
  across = u_x * cosh - u_y * jnp.sinh(mixture.rho_hat)
  log_components = (
    mixture.log_pi
    - _half_square(across * across + u_y * u_y)
    - mixture.log_sigma.sum(-1)
    + jnp.log(cosh)
    - jnp.log(2 * jnp.pi)
  )
  log_move = jax.nn.logsumexp(log_components, axis=-1)
  sign = 2 * moves[..., 2] - 1
  return -log_move - jax.nn.log_sigmoid(sign * mixture.e_hat)


def _half_square(squares: Float[Array, '*n']) -> Float[Array, '*n']:
  """Returns s / 2 up to s = FAR^2, and FAR^2 (1 + log(s / FAR^2)) / 2 beyond.

  The two join smoothly. In float32 a square of 1e9 or more would hide the
  differences between components, and its gradient would dominate all others.

  Args:
    squares: s, squared distances in standard deviations.

  >>> _half_square(jnp.array([4.0, 1e8])).tolist()
  [2.0, 51051.703125]
  """
  limit = FAR * FAR
  beyond = limit * (1 + jnp.log(jnp.maximum(squares, limit) / limit))
  return jnp.where(squares < limit, squares, beyond) / 2
