"""Parameters of any shape, made of tiles of one shape.

A parameter is a grid of tiles, row by row as in eq. 3: a row of the grid is a
block of input channels, a column a block of output channels. The grid has all
axes of the parameter. They are aligned with those of the tile at the last axis.
Tiles that extend past the parameter are cropped.

With a rank r, a parameter of two or more axes is a product A B^T of a matrix A
[inputs, r] and a matrix B [outputs, r], each with a grid of its own.

Shapes: k tiles.
"""

import math

import jax
from jaxtyping import Array, Shaped

from hyper.generators.storage import Kernels, Shapes

Shape = tuple[int, ...]


def cut(tiles: Shaped[Array, ' k *tile'], shapes: Shapes, rank: int) -> Kernels:
  """Makes the parameters from `tiles`, in order.

  Args:
    tiles: [k, *tile], as many as all parameters need together.
    shapes: shapes and types of the parameters, by path.
    rank: r, or 0 if parameters are no products.

  Returns:
    The parameters, by path.

  >>> shapes = {('kernel',): jax.ShapeDtypeStruct((2, 3), 'float32')}
  >>> tiles = jax.numpy.arange(2.0)[:, None, None] * jax.numpy.ones((2, 2, 2))
  >>> cut(tiles, shapes, rank=0)[('kernel',)]
  Array([[0., 0., 1.],
         [0., 0., 1.]], dtype=float32)
  """
  kernels, start = {}, 0
  for path, x in shapes.items():
    factors = []
    for part in _parts(x.shape, rank):
      end = start + math.prod(grid(part, tiles.shape[1:]))
      factors.append(assemble(tiles[start:end], part))
      start = end
    kernel = factors[0] @ factors[1].T if len(factors) > 1 else factors[0]
    kernels[path] = kernel.reshape(x.shape).astype(x.dtype)
  return kernels


def _parts(shape: Shape, rank: int) -> tuple[Shape, ...]:
  """Returns the shapes of A and B or, without a product, `shape` alone."""
  if not rank or len(shape) < 2:
    return (shape,)
  return (math.prod(shape[:-1]), rank), (shape[-1], rank)


def tile_count(
  parameter: jax.ShapeDtypeStruct, tile: Shape, rank: int = 0
) -> int:
  """Returns the number of tiles that cover a parameter.

  Args:
    parameter: its shape and type.
    tile: the shape of a tile.
    rank: r, or 0 if the parameter is no product.

  >>> parameter = jax.ShapeDtypeStruct((3, 3, 32, 64), 'float32')
  >>> tile_count(parameter, (3, 3, 16, 16))  # eq. 3
  8
  """
  return sum(math.prod(grid(x, tile)) for x in _parts(parameter.shape, rank))


def grid(shape: Shape, tile: Shape) -> Shape:
  """Returns how many of `tile` cover a parameter of `shape` along each axis.

  >>> grid((3, 3, 32, 60), (3, 3, 16, 16))
  (1, 1, 2, 4)
  """
  shape, tile = _align(shape, tile)
  return tuple(-(-n // size) for n, size in zip(shape, tile, strict=True))


def _align(shape: Shape, tile: Shape) -> tuple[Shape, Shape]:
  """Returns `shape` and `tile` with as many axes, new ones first, of size 1."""
  rank = max(len(shape), len(tile))
  return (
    (1,) * (rank - len(shape)) + tuple(shape),
    (1,) * (rank - len(tile)) + tuple(tile),
  )


def assemble(
  tiles: Shaped[Array, ' k *tile'], shape: Shape
) -> Shaped[Array, '...']:
  """Lays `tiles` out row by row and crops the grid to `shape`.

  >>> assemble(jax.numpy.arange(8).reshape(4, 1, 2), (2, 3))
  Array([[0, 1, 2],
         [4, 5, 6]], dtype=int32)
  """
  across = grid(shape, tiles.shape[1:])
  aligned, tile = _align(shape, tiles.shape[1:])
  rank = len(tile)
  x = tiles.reshape(*across, *tile)
  x = x.transpose([axis for k in range(rank) for axis in (k, rank + k)])
  x = x.reshape([n * size for n, size in zip(across, tile, strict=True)])
  return x[tuple(slice(n) for n in aligned)].reshape(shape)
