"""Dropout whose rate may be an argument of the compiled program."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.cells import Drawn, Rate, drop, is_off


class Dropout(nn.Module):
  """Flax's nn.Dropout, with the same masks, for rates that may be arrays.

  nn.Dropout tests in Python whether its rate is 0, which fails for a traced
  rate. Here no mask is drawn for a Python 0; for an array of 0 a mask is drawn
  that keeps everything.

  Attributes:
    rate: the share that is zeroed; the rest is scaled by 1 / (1 - rate).

  >>> import jax, jax.numpy as jnp
  >>> key, x = jax.random.key(0), jnp.ones((2, 3))
  >>> Dropout(0.0).apply({}, x, True, rngs={'dropout': key}).sum()
  Array(6., dtype=float32)
  """

  rate: Rate

  def __call__(self, x: Float[Array, '...'], train: bool) -> Array:
    """Drops elements of `x` if `train`, from the random stream 'dropout'."""
    if not train or is_off(self.rate):
      return x
    kept = jnp.asarray(1 - self.rate, jnp.float32)
    mask = jax.random.bernoulli(self.make_rng('dropout'), kept, x.shape)
    return drop(x, Drawn(mask, kept)).astype(x.dtype)
