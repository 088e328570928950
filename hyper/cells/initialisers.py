"""Initial values that Flax does not have: gates, scalings, basic matrices."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from hyper.cells.cell import Initialiser


def orthogonal(choice: str) -> Initialiser:
  """Returns an orthogonal initialiser of the weights [k, 4n] of an LSTM.

  Deviation: the paper says only "orthogonal". The author's first release, from
  the time of the paper's runs, has one orthogonal matrix for all four gates; a
  later one has one for each gate, with entries about twice as large.

  Args:
    choice: 'whole' for one orthogonal matrix, 'gate' for one for each gate.

  >>> w = orthogonal('gate')(jax.random.key(0), (2, 8), jnp.float32)
  >>> (w[:, :2] @ w[:, :2].T).round(4) + 0.0
  Array([[1., 0.],
         [0., 1.]], dtype=float32)
  """
  whole = nn.initializers.orthogonal()

  def by_gate(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    gate = (shape[0], shape[1] // 4)
    keys = jax.random.split(key, 4)
    return jnp.concatenate([whole(k, gate, dtype) for k in keys], -1)

  return by_gate if choice == 'gate' else whole


def scaling_of_a_tenth(noise: float) -> Initialiser:
  """Returns the initialiser of w_hz and w_xz, see `hyper.cells.hyper.scalings`.

  Args:
    noise: the standard deviation relative to the value 0.1/e.

  >>> scaling_of_a_tenth(0.0)(jax.random.key(0), (4, 2), jnp.float32)[0]
  Array([0.025, 0.025], dtype=float32)
  """

  def init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    values = jnp.full(shape, 0.1 / shape[-2], dtype)
    if noise:
      values = values * (1 + noise * jax.random.normal(key, shape, dtype))
    return values

  return init


def basic_matrices(
  key: Array, shape: tuple[int, int, int], dtype: Any = jnp.float32
) -> Array:
  """Draws e independent orthogonal matrices over the square root of e.

  Their sum has the scale of one orthogonal matrix.

  Args:
    key: the random key.
    shape: (e, k, n).
    dtype: of the matrices.

  >>> basic_matrices(jax.random.key(0), (4, 3, 2)).shape
  (4, 3, 2)
  """
  kernel = nn.initializers.orthogonal(shape[0] ** -0.5)
  keys = jax.random.split(key, shape[0])
  return jnp.stack([kernel(k, shape[1:], dtype) for k in keys])
