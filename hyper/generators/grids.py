"""Parameters of any shape, made of tiles of one shape.

A parameter is a grid of tiles, in the order of eq. 3: rows are blocks of input
channels, columns blocks of output channels, row by row. The axes of the grid
are all those of the parameter, aligned with the tile's at the last one. Tiles
that extend past the parameter are cropped.

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
  """Makes each parameter from its share of the tiles."""
  kernels, start = {}, 0
  for path, x in shapes.items():
    factors = []
    for part in parts(x.shape, rank):
      end = start + math.prod(grid(part, tiles.shape[1:]))
      factors.append(assemble(tiles[start:end], part))
      start = end
    kernel = factors[0] @ factors[1].T if len(factors) > 1 else factors[0]
    kernels[path] = kernel.reshape(x.shape).astype(x.dtype)
  return kernels


def parts(shape: Shape, rank: int) -> tuple[Shape, ...]:
  """Returns the shapes that a parameter is generated in: of A and B, or one."""
  if not rank or len(shape) < 2:
    return (shape,)
  return (math.prod(shape[:-1]), rank), (shape[-1], rank)


def tile_count(
  parameter: jax.ShapeDtypeStruct, tile: Shape, rank: int = 0
) -> int:
  """Returns how many tiles cover a parameter."""
  return sum(math.prod(grid(x, tile)) for x in parts(parameter.shape, rank))


def grid(shape: Shape, tile: Shape) -> Shape:
  """Returns how many tiles cover a parameter along each axis."""
  shape, tile = align(shape, tile)
  return tuple(-(-n // size) for n, size in zip(shape, tile, strict=True))


def align(shape: Shape, tile: Shape) -> tuple[Shape, Shape]:
  """Returns both with as many axes, the new ones first and of size 1."""
  rank = max(len(shape), len(tile))
  return (
    (1,) * (rank - len(shape)) + tuple(shape),
    (1,) * (rank - len(tile)) + tuple(tile),
  )


def assemble(
  tiles: Shaped[Array, ' k *tile'], shape: Shape
) -> Shaped[Array, '...']:
  """Lays tiles out row by row and crops the grid to a parameter's shape."""
  across = grid(shape, tiles.shape[1:])
  aligned, tile = align(shape, tiles.shape[1:])
  rank = len(tile)
  x = tiles.reshape(*across, *tile)
  x = x.transpose([axis for k in range(rank) for axis in (k, rank + k)])
  x = x.reshape([n * size for n, size in zip(across, tile, strict=True)])
  return x[tuple(slice(n) for n in aligned)].reshape(shape)
