"""The embeddings of tiles: their initial values, and conditions given instead.

Deviations are standard deviations. Shapes: k tiles, e embedding size.
"""

import fnmatch
import math
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.generators.grids import Shape, tile_count
from hyper.generators.storage import Shapes

INITIALISATIONS = ('he', 'notebook')


def check_initialisation(name: str) -> None:
  """Raises a ValueError unless `name` is an initialisation of tiles.

  >>> check_initialisation('he')
  >>> check_initialisation('zeros')
  Traceback (most recent call last):
  ValueError: initialisation is 'zeros'; allowed: he, notebook.
  """
  if name not in INITIALISATIONS:
    raise ValueError(
      f'initialisation is {name!r}; allowed: {", ".join(INITIALISATIONS)}.'
    )


def weight_init(initialisation: str) -> Callable[[int], Callable[..., Array]]:
  """Returns a function from a fan-in to the initialiser of weights.

  Args:
    initialisation: 'he', of variance 1 / fan_in, or 'notebook', a truncated
      normal of deviation 0.01.

  >>> w = weight_init('he')(16)(jax.random.key(0), (16, 1000))
  >>> f'{w.std():.2f}'
  '0.25'
  """
  if initialisation == 'notebook':
    return lambda fan_in: nn.initializers.truncated_normal(0.01)
  return lambda fan_in: nn.initializers.normal(fan_in**-0.5)


def tile_deviations(
  shapes: Shapes, tile: Shape, rank: int, deviations: Mapping[str, float]
) -> Float[Array, ' k']:
  """Returns for each tile the initial deviation of its parameter, [k].

  The default is `sqrt(2 / fan_in)` (He et al. 2015). If a parameter is a
  product of rank r, the deviation s is shared by both factors: each gets
  sqrt(s / sqrt(r)).

  Args:
    shapes: shapes and types of the parameters, by path.
    tile: the shape of a tile.
    rank: r, or 0 if parameters are no products.
    deviations: other values, by patterns of paths; the first match counts.

  Raises:
    ValueError: a pattern of `deviations` matches no parameter.

  >>> shapes = {('kernel',): jax.ShapeDtypeStruct((8, 4), 'float32')}
  >>> tile_deviations(shapes, (4, 4), 0, {})  # two tiles, fan_in is 8
  Array([0.5, 0.5], dtype=float32)
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
    deviation = given[0] if given else _he_deviation(x.shape)
    if rank and len(x.shape) > 1:
      deviation = math.sqrt(deviation / math.sqrt(rank))
    scales += [deviation] * tile_count(x, tile, rank)
  return jnp.array(scales, jnp.float32)


def check_embeddings(x: Any, wanted: Shape) -> Float[Array, 'k e']:
  """Returns the condition `x` as an array.

  Raises:
    ValueError: the shape of `x` is not `wanted`.

  >>> check_embeddings(jnp.ones((2, 4)), (2, 3))
  Traceback (most recent call last):
  ValueError: embeddings have the shape (2, 4); this network takes (2, 3), ...
  """
  if jnp.shape(x) != wanted:
    raise ValueError(
      f'embeddings have the shape {jnp.shape(x)}; this network takes {wanted}, '
      'or with in_axes one such array for each example.'
    )
  return jnp.asarray(x)


def check_index(index: Any, tables: int) -> Array:
  """Returns the condition `index` as an array.

  Raises:
    ValueError: `index` is no integer scalar, so that it picks none of `tables`;
      or it is an integer of Python or NumPy outside [0, tables).

  >>> check_index(jnp.ones(2), 3)
  Traceback (most recent call last):
  ValueError: condition is float32 of shape (2,); it is an integer that ...
  """
  if isinstance(index, Integral) and not 0 <= int(index) < tables:
    raise ValueError(
      f'condition is {index}; it must be at least 0 and below {tables}.'
    )
  index = jnp.asarray(0.0 if index is None else index)
  if index.ndim or not jnp.issubdtype(index.dtype, jnp.integer):
    raise ValueError(
      f'condition is {index.dtype} of shape {index.shape}; it is an integer '
      f'that picks one of {tables} tables, or with in_axes one of each example.'
    )
  return index


def _he_deviation(shape: Shape) -> float:
  """Returns sqrt(2 / fan_in); fan_in is the product of all axes but the last.

  0.01 for vectors: nonzero, since it also scales a condition.
  """
  return math.sqrt(2 / math.prod(shape[:-1])) if len(shape) > 1 else 0.01


def inverse_deviation(x: Float[Array, '...']) -> Float[Array, '']:
  """Returns 1 over the root mean square of `x`, or 1 if `x` is zero.

  >>> inverse_deviation(jnp.array([2.0, -2.0]))
  Array(0.5, dtype=float32)
  """
  square = jnp.mean(jnp.square(x.astype(jnp.float32)))
  return jnp.where(square > 0, jax.lax.rsqrt(square), 1.0)


def scaled_normal(scales: Float[Array, ' k']) -> Callable[..., Array]:
  """Returns the initialiser of embeddings [..., k, e] with deviations `scales`.

  >>> z = scaled_normal(jnp.array([0.0, 1.0]))(jax.random.key(0), (2, 100))
  >>> z.std(1).round()
  Array([0., 1.], dtype=float32)
  """
  return lambda key, shape: scale_rows(
    jax.random.normal(key, shape, jnp.float32), scales
  )


def scale_rows(
  x: Float[Array, '... k e'], scales: Float[Array, ' k']
) -> Float[Array, '... k e']:
  """Scales each embedding of `x` by its own number in `scales`.

  >>> scale_rows(jnp.ones((2, 2)), jnp.array([1.0, 3.0]))
  Array([[1., 1.],
         [3., 3.]], dtype=float32)
  """
  return jnp.einsum('...ke,k->...ke', x, scales)


def notebook_embedding(key: Array, shape: Shape) -> Float[Array, '...']:
  """Draws from a truncated normal of mean 0.01 and deviation 1.

  Args:
    key: the random key.
    shape: of the array to draw.

  >>> notebook_embedding(jax.random.key(0), (2, 3)).shape
  (2, 3)
  """
  return 0.01 + jax.random.truncated_normal(key, -2.0, 2.0, shape, jnp.float32)
