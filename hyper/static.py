"""Static hypernetworks (section 3.1): embeddings in, kernels out.

`StaticHyperNetwork` goes around a network of any kind and generates the
parameters whose paths it is given; its `bake` gives the plain network's own.

Shapes: k tiles, i input and o output channels of a tile, e embedding size
(the paper's N_z), d hidden size, b examples; `window` is a kernel's spatial
shape, (f, f) for a convolution and () for a dense layer.
"""

import fnmatch
import math
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict
from jaxtyping import Array, Float

from hyper.hypernetwork import (
  HyperNetwork,
  Kernels,
  Params,
  Shapes,
  call_with,
  generated_shapes,
)

Shape = tuple[int, ...]

INITIALISATIONS = ('he', 'notebook')
# What the examples are called inside a call with an embedding for each.
EXAMPLES = 'examples'


class KernelGenerator(nn.Module):
  """The two-layer linear hypernetwork of section 3.1.

  a_i = W_i z + B_i for each input channel i, then K_i = <W_out, a_i> + B_out
  with W_out and B_out shared by all channels and tiles. Parameters: w_in
  [i, e, d], b_in [i, d], w_out [d, *window, o], b_out [*window, o].

  Deviation: the author's notebook reverses the axes of the generated kernel,
  so that there each *output* channel owns a W_i; here it is the input channel
  as printed. The counts are the same where a tile is square in channels.

  Attributes:
    tile: the shape of a basic kernel, (*window, i, o).
    embedding_size: e.
    hidden_size: d, which the paper sets to e.
    initialisation: 'he' or 'notebook', see StaticHyperNetwork.

  Raises:
    ValueError: one of these is not as it must be.
  """

  tile: Shape
  embedding_size: int
  hidden_size: int
  initialisation: str = 'he'

  def __post_init__(self) -> None:
    check_sizes(self.tile, self.embedding_size, self.hidden_size)
    check_initialisation(self.initialisation)
    super().__post_init__()

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


def check_sizes(tile: Shape, embedding_size: int, hidden_size: int) -> None:
  """Raises a ValueError unless a generator may have these sizes."""
  if len(tile) < 2 or not all(isinstance(n, Integral) and n > 0 for n in tile):
    raise ValueError(
      f'tile is {tile}; it is (*window, inputs, outputs), all positive.'
    )
  sizes = {'embedding_size': embedding_size, 'hidden_size': hidden_size}
  for name, size in sizes.items():
    if not isinstance(size, Integral) or size < 1:
      raise ValueError(f'{name} is {size}; it must be a positive integer.')


def check_initialisation(name: str) -> None:
  """Raises a ValueError unless there is such an initialisation."""
  if name not in INITIALISATIONS:
    raise ValueError(
      f'initialisation is {name!r}; allowed: {", ".join(INITIALISATIONS)}.'
    )


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
  none of its own and generates from these; `tile_counts` says what k is and
  which are whose. With `embeddings` [b, k, e], every example has a main network
  of its own: all arrays among the arguments are split along their first axis
  and each network is called with a batch of one, all at once; what is no array
  is handed to all. Outputs have the batch as their first axis, a scalar
  becomes [b]. Collections are common to all networks: batch norm can be
  trained if it has `axis_name=static.EXAMPLES` and so sees the whole batch.

  **Initialisation.** The paper gives none. 'he' starts every generated kernel
  with the variance 2 / fan_in (He et al. 2015), where fan_in is the size of
  all its axes but the last, as is so for kernels of nn.Conv and nn.Dense; a
  vector, such as a bias, gets the deviation 0.01; `deviations` is for all
  others. To this end b_in and b_out are zero, w_in has the variance 1/e and
  w_out 1/d, so that in expectation a tile has as much variance as its embedding
  has, and this is drawn with the variance that the parameter is to have. The
  scale of a kernel must lie in its embeddings since the generator is common to
  kernels of different fan_in; embeddings given as an input are multiplied by
  that deviation, so let theirs be 1. 'notebook' is the author's for MNIST: w_in
  and w_out truncated normal of deviation 0.01, embeddings truncated normal of
  mean 0.01 and deviation 1.

  Attributes:
    tile: the shape of a basic kernel, (*window, inputs, outputs).
    embedding_size: the paper's N_z.
    hidden_size: the paper's d; 0 stands for N_z, as in all its experiments.
    initialisation: 'he' or 'notebook'.
    deviations: for 'he', by a pattern of paths, the standard deviation that
      parameters start with instead; the first pattern that fits counts. Needed
      where the fan_in is not that of a plain kernel: flax's attention has query
      kernels of shape (inputs, heads, features), but the fan_in `inputs` alone,
      and under nn.scan or nn.vmap the first axis of all kernels is that of the
      layers. The mean is always 0, so do not generate the scales of norms.

  Raises:
    ValueError: a bad tile, size or initialisation, a pattern that matches
      nothing, a shape of embeddings or of arguments that does not fit.
  """

  tile: Shape
  embedding_size: int
  hidden_size: int = 0
  initialisation: str = 'he'
  deviations: Mapping[str, float] = FrozenDict()

  def __post_init__(self) -> None:
    e = self.embedding_size
    check_sizes(self.tile, e, self.hidden_size or e)
    check_initialisation(self.initialisation)
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
    if embeddings is not None and embeddings.ndim != 2:
      raise ValueError(
        f'embeddings have the shape {embeddings.shape}; one network is baked '
        'at a time, from [tiles, embedding size].'
      )
    return self._bake(variables, {'embeddings': embeddings}, args, kwargs)

  def tile_counts(self, *args: Any, **kwargs: Any) -> dict[str, int]:
    """How many tiles each generated parameter of a network called so has.

    The embeddings lie in this order, and there are as many as all together.
    """
    shapes = generated_shapes(self.main, self.generate, *args, **kwargs)
    return {
      '/'.join(path): tile_count(x, self.tile) for path, x in shapes.items()
    }

  def kernels(
    self, shapes: Shapes, embeddings: Float[Array, 'k e'] | None = None
  ) -> Kernels:
    """The generated parameters, given their shapes and types."""
    return cut(self.tiles(shapes, embeddings), shapes)

  @nn.compact
  def tiles(
    self, shapes: Shapes, embeddings: Float[Array, '... k e'] | None = None
  ) -> Float[Array, '...']:
    """The tiles [..., k, *tile] of all generated parameters, in a row."""
    e, scales = self.embedding_size, self._scales(shapes)
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

  def _scales(self, shapes: Shapes) -> Float[Array, ' k']:
    """For each tile the deviation of the parameter that it is part of."""
    names = {'/'.join(path): x for path, x in shapes.items()}
    for pattern in self.deviations:
      if not fnmatch.filter(names, pattern):
        raise ValueError(
          f'deviations has {pattern!r}, which matches no generated parameter; '
          f'they are: {", ".join(names)}.'
        )
    scales = []
    for name, x in names.items():
      given = [
        deviation
        for pattern, deviation in self.deviations.items()
        if fnmatch.fnmatchcase(name, pattern)
      ]
      deviation = given[0] if given else he_deviation(x.shape)
      scales += [deviation] * tile_count(x, self.tile)
    return jnp.array(scales)


def he_deviation(shape: Shape) -> float:
  """The square root of 2 / fan_in, all axes but the last; little of a vector.

  Not nothing: embeddings given as an input are multiplied by it.
  """
  return math.sqrt(2 / math.prod(shape[:-1])) if len(shape) > 1 else 0.01


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
  leaves, structure = jax.tree.flatten((args, kwargs))
  arrays = {k: x for k, x in enumerate(leaves) if getattr(x, 'shape', ())}
  for x in arrays.values():
    if len(x) != len(tiles):
      raise ValueError(
        f'there are embeddings for {len(tiles)} examples, but an argument has '
        f'the shape {x.shape}; the first axis of every array must be that of '
        'the examples.'
      )

  def call(main: nn.Module, tiles: Array, arrays: dict[int, Array]) -> Any:
    one = [arrays[k][None] if k in arrays else x for k, x in enumerate(leaves)]
    args, kwargs = jax.tree.unflatten(structure, one)
    y = call_with(main, cut(tiles, shapes), args, kwargs)
    return jax.tree.map(lambda y: y[0] if arrays and jnp.ndim(y) else y, y)

  try:
    return nn.vmap(
      call,
      variable_axes={'intermediates': 0, True: None},
      split_rngs={'params': False, True: True},
      axis_name=EXAMPLES,
    )(main, tiles, arrays)
  except ValueError as error:
    if 'out_axes' not in str(error):
      raise
    raise ValueError(
      'with embeddings for each example, a collection that the main network '
      'updates must come out the same for all; batch norm does so with '
      f'axis_name={EXAMPLES!r}.'
    ) from error


def cut(tiles: Float[Array, ' k *tile'], shapes: Shapes) -> Kernels:
  """Makes each parameter of its share of the tiles."""
  kernels, start = {}, 0
  for path, x in shapes.items():
    end = start + tile_count(x, tiles.shape[1:])
    kernels[path] = assemble(tiles[start:end], x.shape).astype(x.dtype)
    start = end
  return kernels


def tile_count(parameter: jax.ShapeDtypeStruct, tile: Shape) -> int:
  """How many tiles cover a parameter."""
  return math.prod(grid(parameter.shape, tile))


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
