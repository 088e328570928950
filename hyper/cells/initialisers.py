"""Initial values that Flax does not have: gates, scalings, basic matrices."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from hyper.cells.cell import Initialiser


def orthogonal(choice: str) -> Initialiser:
  """Returns the initialiser of [inputs, 4 n], orthogonal 'whole' or by 'gate'.

  Deviation: the paper says only "orthogonal". One matrix over the four gates
  is the author's first release, of the time of the paper's runs; one for each
  gate, with entries about twice as large, came later.
  """
  whole = nn.initializers.orthogonal()

  def by_gate(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    gate = (shape[0], shape[1] // 4)
    keys = jax.random.split(key, 4)
    return jnp.concatenate([whole(k, gate, dtype) for k in keys], -1)

  return by_gate if choice == 'gate' else whole


def scaling_of_a_tenth(noise: float) -> Initialiser:
  """Returns the initialiser of w_hz and w_xz, see `hyper.scalings`."""

  def init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    values = jnp.full(shape, 0.1 / shape[-2], dtype)
    if noise:
      values = values * (1 + noise * jax.random.normal(key, shape, dtype))
    return values

  return init


def basic_matrices(
  key: Array, shape: tuple[int, int, int], dtype: Any = jnp.float32
) -> Array:
  """Draws independent orthogonal matrices whose sum has the scale of one."""
  kernel = nn.initializers.orthogonal(shape[0] ** -0.5)
  keys = jax.random.split(key, shape[0])
  return jnp.stack([kernel(k, shape[1:], dtype) for k in keys])
