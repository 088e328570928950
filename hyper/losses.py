"""Losses as masked sums in nats; means are formed where they are read."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cross_entropy(
  logits: Float[Array, '*n classes'], targets: Int[Array, '*n']
) -> Float[Array, '*n']:
  """Minus the log probability of each target, in nats, in float32."""
  log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
  return -jnp.take_along_axis(log_p, targets[..., None], -1)[..., 0]
