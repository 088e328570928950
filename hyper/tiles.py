"""Parameters as grids of tiles, each generated from an embedding (section 3.1).

`Tiles` is the generator of a `StaticHyperNetwork`, or one of the generators of
a `HyperNetwork`. Its tiles are made by `KernelGenerator`, the paper's network,
unless another module is given.

Shapes: k tiles, i input and o output channels of a tile, e embedding size
(the paper's N_z), d hidden size, c size of a generator's input; `window` is the
spatial shape of a kernel, (f, f) for a convolution and () for a dense layer.
"""

import dataclasses
import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict
from jaxtyping import Array, Float, Shaped

from hyper.generators.checks import check_instance
from hyper.generators.embeddings import (
  check_embeddings,
  check_index,
  check_initialisation,
  inverse_deviation,
  notebook_embedding,
  scale_rows,
  scaled_normal,
  tile_deviations,
  weight_init,
)
from hyper.generators.grids import Shape, cut
from hyper.generators.storage import Kernels, Shapes


class KernelGenerator(nn.Module):
  """The two-layer linear hypernetwork of section 3.1.

    a_i = W_i z + B_i             for each input channel i
    K_i = <W_out, a_i> + B_out    for the slice of channel i          (eq. 2)

  W_out and B_out are shared by all channels and tiles. Parameters: w_in
  [i, e, d], b_in [i, d], w_out [d, *window, o], b_out [*window, o].

  Deviation: the author's notebook reverses the axes of the generated kernel, so
  that each output channel has a W_i of its own. Here each input channel has
  one, as printed. The counts are equal if a tile has as many input as output
  channels.

  >>> import jax, jax.numpy as jnp
  >>> generator = KernelGenerator((3, 3, 16, 8), 4, hidden_size=4)
  >>> z = jnp.ones((5, 4))
  >>> tiles, variables = generator.init_with_output(jax.random.key(0), z)
  >>> tiles.shape
  (5, 3, 3, 16, 8)

  Attributes:
    tile: the shape of a basic kernel, (*window, i, o).
    embedding_size: e.
    hidden_size: d, equal to e in the paper.
    initialisation: 'he' or 'notebook', see `Tiles`.

  Raises:
    ValueError: a size is not a positive integer, or `initialisation` is not
      among those allowed.
  """

  tile: Shape
  embedding_size: int
  hidden_size: int
  initialisation: str = 'he'

  def __post_init__(self) -> None:
    _check_sizes(self.tile, self.embedding_size, self.hidden_size)
    check_initialisation(self.initialisation)
    super().__post_init__()

  @nn.compact
  def __call__(self, z: Float[Array, '... e']) -> Float[Array, '...']:
    """Returns a tile [..., *tile] for each embedding `z` [..., e]."""
    *window, i, o = self.tile
    e, d, zeros = self.embedding_size, self.hidden_size, nn.initializers.zeros
    init, dtype = weight_init(self.initialisation), jnp.float32
    w_in = self.param('w_in', init(e), (i, e, d), dtype)
    b_in = self.param('b_in', zeros, (i, d), dtype)
    w_out = self.param('w_out', init(d), (d, *window, o), dtype)
    b_out = self.param('b_out', zeros, (*window, o), dtype)
    a = jnp.einsum('ke,ied->kid', z.reshape(-1, e), w_in) + b_in[None]
    slices = jnp.tensordot(a, w_out, 1) + b_out[None, None]
    return jnp.moveaxis(slices, 1, -2).reshape(*z.shape[:-1], *self.tile)


def _check_sizes(tile: Shape, embedding_size: int, hidden_size: int) -> None:
  """Raises a ValueError unless all sizes are positive integers."""
  if len(tile) < 2 or not all(isinstance(n, Integral) and n > 0 for n in tile):
    raise ValueError(
      f'tile is {tile}; it is (*window, inputs, outputs), all positive.'
    )
  sizes = {'embedding_size': embedding_size, 'hidden_size': hidden_size}
  for name, size in sizes.items():
    if not isinstance(size, Integral) or size < 1:
      raise ValueError(f'{name} is {size}; it must be a positive integer.')


class Tiles(nn.Module):
  """Generates parameters of any shape as grids of tiles (eq. 3).

    tile_k = generator(z_k), or generator([z_k, embed(condition)]) with `embed`

  Each tile has its own embedding z_k, a row of the parameter `z` [k, e]. A
  parameter is the grid of its tiles, see `hyper.generators.grids`. The fields
  decide how `condition` is used:

  - By default, a condition [k, e] replaces `z`.
  - With `tables`, it is an integer that picks one of several arrays `z` [k, e].
  - With `embed`, it is the input of that module, for example the index of a
    task for an nn.Embed or the output of an encoder for an nn.Dense. The
    result, [c] for all tiles or [k, c] for each, is joined to `z`. The paper's
    generator is linear, so a result [c] adds the same numbers to every tile. A
    generator with a hidden layer mixes the two.

  **Initialisation.** The paper gives none for static hypernetworks.

  'he' starts every generated kernel with the variance 2 / fan_in (He et al.
  2015). fan_in is the product of all axes but the last, as it is for the
  kernels of nn.Conv and nn.Dense. A vector, such as a bias, starts with the
  standard deviation 0.01. Other values are set by `deviations`.

  - With the paper's generator, b_in and b_out start at zero, w_in with the
    variance 1/e and w_out with 1/d. In expectation a tile then has the variance
    of its embedding, which is drawn with the variance meant for the parameter.
    A condition is multiplied by that deviation, so its own should be 1.
  - With another module as `generator`, embeddings start with the variance 1.
    The tiles that the module makes of them at `init` are measured. Tiles are
    multiplied by the deviation of their parameter and by a trained scalar
    `gain`, which starts as 1 over the root mean square of all tiles. So
    generated parameters start with the intended variance under any
    initialisation of the generator (the aim of Chang et al. 2020).

  'notebook' is the author's initialisation for MNIST: w_in and w_out truncated
  normal with deviation 0.01, embeddings truncated normal with mean 0.01 and
  deviation 1.

  >>> import jax, jax.numpy as jnp
  >>> from flax import linen as nn
  >>> mlp = nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(8 * 8)])
  >>> tiles = Tiles((8, 8), 4, generator=mlp, embed=nn.Embed(10, 6))
  >>> shapes = {('kernel',): jax.ShapeDtypeStruct((16, 24), 'float32')}
  >>> variables = tiles.init(jax.random.key(0), shapes, 3, method='kernels')
  >>> variables['params']['z'].shape
  (6, 4)
  >>> tiles.apply(variables, shapes, 3, method='kernels')[('kernel',)].shape
  (16, 24)

  Attributes:
    tile: the shape of a basic kernel, (*window, i, o).
    embedding_size: e, the paper's N_z.
    hidden_size: d; 0 stands for e, as in all experiments of the paper.
    initialisation: 'he' or 'notebook'.
    deviations: for 'he', standard deviations that parameters start with
      instead, by patterns of paths; the first pattern that matches counts. They
      are needed if fan_in is not the product of all axes but the last. Query
      kernels of flax's attention have the shape (inputs, heads, features), but
      the fan_in `inputs`; under nn.scan or nn.vmap the first axis of all
      kernels is that of the layers. The mean is always 0, so do not generate
      the scales of norms.
    generator: None for `KernelGenerator`, or any module that maps [k, c] to
      [k, prod(tile)] or [k, *tile].
    embed: None, or any module that maps the condition to [c] or [k, c].
    tables: 0, or the number of arrays `z` [k, e] that the condition picks from.
    rank: 0, or the rank r of generated kernels. Each is A B^T of two generated
      matrices, [inputs, r] and [outputs, r]; (16, r) is a good tile for both.

  Raises:
    ValueError: a size, a name or a combination of fields is not allowed.
  """

  tile: Shape
  embedding_size: int
  hidden_size: int = 0
  initialisation: str = 'he'
  deviations: Mapping[str, float] = FrozenDict()
  generator: nn.Module | None = dataclasses.field(default=None, kw_only=True)
  embed: nn.Module | None = dataclasses.field(default=None, kw_only=True)
  tables: int = dataclasses.field(default=0, kw_only=True)
  rank: int = dataclasses.field(default=0, kw_only=True)

  def __post_init__(self) -> None:
    e = self.embedding_size
    _check_sizes(self.tile, e, self.hidden_size or e)
    check_initialisation(self.initialisation)
    for name in ('tables', 'rank'):
      count = getattr(self, name)
      if not isinstance(count, Integral) or count < 0:
        raise ValueError(
          f'{name} is {count}; it must be an integer, and not below 0.'
        )
    if self.tables and self.embed is not None:
      raise ValueError(
        'tables and embed are both given, but there is one condition: let it '
        'pick a table, or be embedded.'
      )
    check_instance('embed', self.embed)
    _check_generator(self.generator, self.hidden_size, self.initialisation)
    super().__post_init__()

  def kernels(self, shapes: Shapes, condition: Any = None) -> Kernels:
    """Returns the generated parameters, by path.

    Args:
      shapes: shapes and types of the parameters to generate, by path.
      condition: None, or an input of the form that the class describes.

    Raises:
      ValueError: `condition`, the output of the generator or a pattern of
        `deviations` does not fit.
    """
    return cut(self.tiles(shapes, condition), shapes, self.rank)

  @nn.compact
  def tiles(
    self, shapes: Shapes, condition: Any = None
  ) -> Shaped[Array, ' k *tile']:
    """Returns the tiles of all generated parameters, [k, *tile].

    Args:
      shapes: as for `kernels`, and the errors are the same.
      condition: as for `kernels`.

    Raises:
      ValueError: as for `kernels`.
    """
    scales = tile_deviations(shapes, self.tile, self.rank, self.deviations)
    if self.generator is None:
      z = self._inputs(scales, condition)
      e, d = z.shape[-1], self.hidden_size or self.embedding_size
      generator = KernelGenerator(
        *(self.tile, e, d, self.initialisation), name='generator'
      )
      return generator(z)
    made = self.generator(self._inputs(jnp.ones_like(scales), condition))
    count = math.prod(self.tile)
    if made.size != len(scales) * count:
      raise ValueError(
        f'the generator turns {len(scales)} embeddings into an array of shape '
        f'{made.shape}; a tile {self.tile} needs {count} numbers for each.'
      )
    made = made.reshape(len(scales), *self.tile)
    gain = self.param('gain', lambda key: inverse_deviation(made))
    return jnp.einsum('k...,k->k...', made, gain * scales)

  def _inputs(
    self, scales: Float[Array, ' k'], condition: Any
  ) -> Float[Array, 'k c']:
    """Returns the generator's input, which starts with deviations `scales`."""
    k, e = len(scales), self.embedding_size
    given = scales if self.initialisation == 'he' else jnp.ones_like(scales)
    if not self.tables and self.embed is None and condition is not None:
      return scale_rows(check_embeddings(condition, (k, e)), given)
    init = scaled_normal(scales)
    if self.initialisation == 'notebook':
      init = notebook_embedding
    shape = (self.tables, k, e) if self.tables else (k, e)
    z = self.param('z', init, shape)
    if self.tables:
      return jnp.take(z, check_index(condition, self.tables), axis=0)
    if self.embed is None:
      return z
    if condition is None:
      raise ValueError('embed is given, so a call needs a condition for it.')
    joined = self.embed(jax.tree.map(jnp.asarray, condition))
    if joined.ndim not in (1, 2) or joined.ndim == 2 and len(joined) != k:
      raise ValueError(
        f'embed gives an array of shape {joined.shape}; it must be one vector, '
        f'or one for each of {k} tiles. Give in_axes for one of each example.'
      )
    joined = jnp.broadcast_to(joined, (k, joined.shape[-1]))
    return jnp.concatenate([z, scale_rows(joined, given)], -1)


def _check_generator(
  generator: Any, hidden_size: int, initialisation: str
) -> None:
  """Raises a ValueError unless `generator` goes with the other two fields."""
  if generator is None:
    return
  check_instance('generator', generator)
  if not isinstance(generator, nn.Module):
    raise ValueError(
      f'generator is {generator!r}; it is None or a flax.linen.Module.'
    )
  if hidden_size or initialisation != 'he':
    raise ValueError(
      f'hidden_size is {hidden_size} and initialisation {initialisation!r}; '
      'these are for the generator of the paper, not for one that is given.'
    )
