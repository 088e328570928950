"""Static hypernetworks (section 3.1): embeddings in, kernels out.

`StaticHyperNetwork` goes around a network of any kind and generates the
parameters whose paths it is given; its `bake` gives the plain network's own.

Shapes: k tiles, i input and o output channels of a tile, e embedding size
(the paper's N_z), d hidden size, b examples; `window` is a kernel's spatial
shape, (f, f) for a convolution and () for a dense layer.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.generated import (
  HyperNetwork,
  Kernels,
  Params,
  Shape,
  Shapes,
  call_with,
  generated_shapes,
)


class KernelGenerator(nn.Module):
  """The two-layer linear hypernetwork of section 3.1.

  a_i = W_i z + B_i for each input channel i, then K_i = <W_out, a_i> + B_out
  with W_out and B_out shared by all channels and tiles. Parameters: w_in
  [i, e, d], b_in [i, d], w_out [d, *window, o], b_out [*window, o].

  Deviation: the author's notebook reverses the axes of the generated kernel,
  so that there each *output* channel owns a W_i; here it is the input channel
  as printed. The counts are the same.

  Attributes:
    tile: the shape of a basic kernel, (*window, i, o).
    embedding_size: e.
    hidden_size: d, which the paper sets to e.
    initialisation: 'he' or 'notebook', see StaticHyperNetwork.
  """

  tile: Shape
  embedding_size: int
  hidden_size: int
  initialisation: str = 'he'

  @nn.compact
  def __call__(self, z: Float[Array, '... e']) -> Float[Array, '...']:
    """One tile for each embedding [..., e], in one batched product."""
    *window, i, o = self.tile
    e, d, zeros = self.embedding_size, self.hidden_size, nn.initializers.zeros
    init = weight_init(self.initialisation)
    w_in = self.param('w_in', init(e), (i, e, d))
    b_in = self.param('b_in', zeros, (i, d))
    w_out = self.param('w_out', init(d), (d, *window, o))
    b_out = self.param('b_out', zeros, (*window, o))
    a = jnp.einsum('ke,ied->kid', z.reshape(-1, e), w_in) + b_in[None]
    slices = jnp.tensordot(a, w_out, 1) + b_out[None, None]
    return jnp.moveaxis(slices, 1, -2).reshape(*z.shape[:-1], *self.tile)


def weight_init(initialisation: str) -> Callable[[int], Callable[..., Array]]:
  """From a fan-in to the initialiser of a generator's weights."""
  if initialisation == 'notebook':
    return lambda fan_in: nn.initializers.truncated_normal(0.01)
  return lambda fan_in: nn.initializers.normal(fan_in**-0.5)


class StaticHyperNetwork(HyperNetwork):
  """A network whose kernels are made from embeddings (section 3.1).

  A generated parameter is a grid of basic kernels, each from its own
  embedding, in the order of eq. 3 (rows are blocks of input channels, columns
  blocks of output channels, row by row); what a grid covers too much is cut.
  A parameter of any shape can be generated: the axes of the grid are all
  those of the parameter, aligned with the tile's at the last one.

  **Embeddings as an input.** Called with `embeddings` [k, e], the network has
  none of its own and generates from these. With `embeddings` [b, k, e], every
  example has a main network of its own: each positional array is split along
  its first axis and each network called with a batch of one, all at once;
  other arguments are handed to all. Collections besides the parameters are
  then read, not updated. `tile_count` says what k is.

  **Initialisation.** The paper gives none. 'he' starts every generated kernel
  with the variance 2 / fan_in (He et al. 2015), where fan_in is the size of
  all its axes but the last: biases are zero, w_in has the variance 1/e and
  w_out 1/d, so that in expectation a tile has as much variance as its
  embedding has, and this is drawn with the variance 2 / fan_in of the kernel
  it is for. The scale of a kernel must lie in its embeddings since the
  generator is common to kernels of different fan_in; embeddings given as an
  input are multiplied by that deviation, so let theirs be 1. 'notebook' is
  the author's for MNIST: w_in and w_out truncated normal of deviation 0.01,
  embeddings truncated normal of mean 0.01 and deviation 1.

  Attributes:
    tile: the shape of a basic kernel, (*window, inputs, outputs).
    embedding_size: the paper's N_z.
    hidden_size: the paper's d; 0 stands for N_z, as in all its experiments.
    initialisation: 'he' or 'notebook'.

  Raises:
    ValueError: a bad tile, initialisation or shape of embeddings.
  """

  tile: Shape
  embedding_size: int
  hidden_size: int = 0
  initialisation: str = 'he'

  def __post_init__(self) -> None:
    if self.initialisation not in INITIALISATIONS:
      raise ValueError(
        f'initialisation is {self.initialisation!r}; allowed: '
        f'{", ".join(INITIALISATIONS)}.'
      )
    if len(self.tile) < 2 or min(self.tile) < 1:
      raise ValueError(
        f'tile is {self.tile}; it is (*window, inputs, outputs), all positive.'
      )
    super().__post_init__()

  def __call__(
    self, *args: Any, embeddings: Array | None = None, **kwargs: Any
  ) -> Any:
    """Calls the main network with its generated kernels in place."""
    shapes = generated_shapes(self.main, self.generate, *args, **kwargs)
    tiles = self.tiles(shapes, embeddings)
    if embeddings is None or embeddings.ndim == 2:
      return call_with(self.network, cut(tiles, shapes), args, kwargs)
    return call_each(self.network, tiles, shapes, args, kwargs)

  def bake(
    self,
    variables: Params,
    *args: Any,
    embeddings: Float[Array, 'k e'] | None = None,
    **kwargs: Any,
  ) -> Params:
    """As of HyperNetwork; `embeddings` as in a call for one network."""
    return self._bake(variables, {'embeddings': embeddings}, args, kwargs)

  def tile_count(self, *args: Any, **kwargs: Any) -> int:
    """How many embeddings a main network called so needs."""
    shapes = generated_shapes(self.main, self.generate, *args, **kwargs)
    return sum(math.prod(grid(x, self.tile)) for x in shapes.values())

  def kernels(
    self, shapes: Shapes, embeddings: Float[Array, 'k e'] | None = None
  ) -> Kernels:
    """The generated parameters, given their shapes."""
    return cut(self.tiles(shapes, embeddings), shapes)

  @nn.compact
  def tiles(
    self, shapes: Shapes, embeddings: Float[Array, '... k e'] | None = None
  ) -> Float[Array, '...']:
    """The tiles [..., k, *tile] of all generated parameters, in a row."""
    e, scales = self.embedding_size, embedding_scales(shapes, self.tile)
    notebook = self.initialisation == 'notebook'
    if embeddings is None:
      init = notebook_embedding if notebook else scaled_normal(scales)
      z = self.param('z', init, (len(scales), e))
    elif embeddings.shape[-2:] != (len(scales), e) or embeddings.ndim > 3:
      raise ValueError(
        f'embeddings have the shape {embeddings.shape}; this network takes '
        f'{(len(scales), e)}, or one such array for each example.'
      )
    else:
      z = embeddings if notebook else scale_rows(embeddings, scales)
    return KernelGenerator(
      self.tile,
      e,
      self.hidden_size or e,
      self.initialisation,
      name='generator',
    )(z)


INITIALISATIONS = ('he', 'notebook')


def embedding_scales(shapes: Shapes, tile: Shape) -> Float[Array, ' k']:
  """For each tile the He deviation of the parameter that it is part of."""
  return jnp.array(
    [
      he_deviation(shape)
      for shape in shapes.values()
      for _ in range(math.prod(grid(shape, tile)))
    ]
  )


def he_deviation(shape: Shape) -> float:
  """The square root of 2 / fan_in; fan_in is all axes but the last."""
  return math.sqrt(2 / math.prod(shape[:-1]))


def scaled_normal(scales: Float[Array, ' k']) -> Callable[..., Array]:
  """Initialiser of embeddings [k, e]: normal, each of its own deviation."""
  return lambda key, shape: scale_rows(jax.random.normal(key, shape), scales)


def scale_rows(
  x: Float[Array, '... k e'], scales: Float[Array, ' k']
) -> Float[Array, '... k e']:
  """Each embedding times its own number."""
  return jnp.einsum('...ke,k->...ke', x, scales)


def notebook_embedding(key: Array, shape: Shape) -> Array:
  """Truncated normal of mean 0.01 and deviation 1, as in the notebook."""
  return 0.01 + jax.random.truncated_normal(key, -2.0, 2.0, shape)


def call_each(
  main: nn.Module,
  tiles: Float[Array, 'b k *tile'],
  shapes: Shapes,
  args: Any,
  kwargs: Any,
) -> Any:
  """Calls one network for each example, with batches of one."""
  is_split = [getattr(x, 'ndim', 0) > 0 for x in args]

  def call(main: nn.Module, tiles: Array, *split: Array) -> Any:
    arrays = iter(split)
    one = [
      next(arrays)[None] if s else x
      for x, s in zip(args, is_split, strict=True)
    ]
    y = call_with(main, cut(tiles, shapes), one, kwargs)
    return jax.tree.map(lambda y: y[0], y)

  split = [x for x, s in zip(args, is_split, strict=True) if s]
  return nn.vmap(
    call, variable_axes={True: None}, split_rngs={'params': False, True: True}
  )(main, tiles, *split)


def cut(tiles: Float[Array, ' k *tile'], shapes: Shapes) -> Kernels:
  """Makes each parameter of its share of the tiles."""
  kernels, start = {}, 0
  for path, shape in shapes.items():
    count = math.prod(grid(shape, tiles.shape[1:]))
    kernels[path] = assemble(tiles[start : start + count], shape)
    start += count
  return kernels


def grid(shape: Shape, tile: Shape) -> Shape:
  """How many tiles cover a parameter along each axis, aligned at the last."""
  shape, tile = align(shape, tile)
  return tuple(-(-n // size) for n, size in zip(shape, tile, strict=True))


def align(shape: Shape, tile: Shape) -> tuple[Shape, Shape]:
  """Both with as many axes, the new ones first and of size 1."""
  rank = max(len(shape), len(tile))
  return (
    (1,) * (rank - len(shape)) + tuple(shape),
    (1,) * (rank - len(tile)) + tuple(tile),
  )


def assemble(tiles: Float[Array, ' k *tile'], shape: Shape) -> Array:
  """Lays tiles out row by row and cuts the grid to a parameter's shape."""
  across = grid(shape, tiles.shape[1:])
  aligned, tile = align(shape, tiles.shape[1:])
  rank = len(tile)
  x = tiles.reshape(*across, *tile)
  x = x.transpose([axis for k in range(rank) for axis in (k, rank + k)])
  x = x.reshape([n * size for n, size in zip(across, tile, strict=True)])
  return x[tuple(slice(n) for n in aligned)].reshape(shape)
