"""The embeddings of tiles: how they start, and what may take their place.

Shapes: k tiles, e embedding size.
"""

import fnmatch
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.generators.grids import Shape, tile_count
from hyper.generators.storage import Shapes

INITIALISATIONS = ('he', 'notebook')


def check_initialisation(name: str) -> None:
  """Raises a ValueError unless there is such an initialisation."""
  if name not in INITIALISATIONS:
    raise ValueError(
      f'initialisation is {name!r}; allowed: {", ".join(INITIALISATIONS)}.'
    )


def weight_init(initialisation: str) -> Callable[[int], Callable[..., Array]]:
  """Returns a function from a fan-in to the initialiser of weights."""
  if initialisation == 'notebook':
    return lambda fan_in: nn.initializers.truncated_normal(0.01)
  return lambda fan_in: nn.initializers.normal(fan_in**-0.5)


def tile_deviations(
  shapes: Shapes, tile: Shape, rank: int, deviations: Mapping[str, float]
) -> Float[Array, ' k']:
  """Returns for each tile the deviation of the parameter it is part of.

  Of a product of rank r it is that of both factors: the square root of the
  product's over sqrt(r).
  """
  names = {'/'.join(path): x for path, x in shapes.items()}
  for pattern in deviations:
    if not fnmatch.filter(names, pattern):
      raise ValueError(
        f'deviations has {pattern!r}, which matches no generated parameter; '
        f'they are: {", ".join(names)}.'
      )
  scales = []
  for name, x in names.items():
    given = [
      deviation
      for pattern, deviation in deviations.items()
      if fnmatch.fnmatchcase(name, pattern)
    ]
    deviation = given[0] if given else he_deviation(x.shape)
    if rank and len(x.shape) > 1:
      deviation = math.sqrt(deviation / math.sqrt(rank))
    scales += [deviation] * tile_count(x, tile, rank)
  return jnp.array(scales, jnp.float32)


def check_embeddings(x: Any, wanted: Shape) -> Float[Array, 'k e']:
  """Returns `x`, or raises a ValueError if it is no array of this shape."""
  if jnp.shape(x) != wanted:
    raise ValueError(
      f'embeddings have the shape {jnp.shape(x)}; this network takes {wanted}, '
      'or with in_axes one such array for each example.'
    )
  return jnp.asarray(x)


def check_index(index: Any, tables: int) -> Array:
  """Returns `index`, or raises a ValueError if it picks no table."""
  index = jnp.asarray(0.0 if index is None else index)
  if index.ndim or not jnp.issubdtype(index.dtype, jnp.integer):
    raise ValueError(
      f'condition is {index.dtype} of shape {index.shape}; it is an integer '
      f'that picks one of {tables} tables, or with in_axes one of each example.'
    )
  return index


def he_deviation(shape: Shape) -> float:
  """Returns sqrt(2 / fan_in), with all axes but the last as the fan_in.

  0.01 for vectors: nonzero, since it also scales a condition.
  """
  return math.sqrt(2 / math.prod(shape[:-1])) if len(shape) > 1 else 0.01


def inverse_deviation(x: Float[Array, '...']) -> Float[Array, '']:
  """Returns 1 over the root mean square, or 1 where all is zero."""
  square = jnp.mean(jnp.square(x.astype(jnp.float32)))
  return jnp.where(square > 0, jax.lax.rsqrt(square), 1.0)


def scaled_normal(scales: Float[Array, ' k']) -> Callable[..., Array]:
  """Returns an initialiser of embeddings [..., k, e] of these deviations."""
  return lambda key, shape: scale_rows(
    jax.random.normal(key, shape, jnp.float32), scales
  )


def scale_rows(
  x: Float[Array, '... k e'], scales: Float[Array, ' k']
) -> Float[Array, '... k e']:
  """Multiplies each embedding by its own number."""
  return jnp.einsum('...ke,k->...ke', x, scales)


def notebook_embedding(key: Array, shape: Shape) -> Float[Array, '...']:
  """Draws from a truncated normal of mean 0.01 and deviation 1."""
  return 0.01 + jax.random.truncated_normal(key, -2.0, 2.0, shape, jnp.float32)
