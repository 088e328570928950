"""Generates parameters as grids of tiles, each from its embedding (3.1).

`Tiles` is the generator of a `StaticHyperNetwork`, or one of several of a
`HyperNetwork`; `KernelGenerator`, the paper's, makes its tiles unless another
module is given.

Shapes: k tiles, i input and o output channels of a tile, e embedding size
(the paper's N_z), d hidden size, c size of what a generator is fed; `window` is
a kernel's spatial shape, (f, f) for a convolution and () for a dense layer.
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

  a_i = W_i z + B_i for each input channel i, then K_i = <W_out, a_i> + B_out
  with W_out and B_out shared by all channels and tiles. Parameters: w_in
  [i, e, d], b_in [i, d], w_out [d, *window, o], b_out [*window, o].

  Deviation: the author's notebook reverses the axes of the generated kernel,
  so that there each *output* channel owns a W_i; here it is the input channel
  as printed. The counts are the same where a tile is square in channels.

  >>> import jax, jax.numpy as jnp
  >>> generator = KernelGenerator((3, 3, 16, 8), 4, hidden_size=4)
  >>> z = jnp.ones((5, 4))
  >>> tiles, variables = generator.init_with_output(jax.random.key(0), z)
  >>> tiles.shape
  (5, 3, 3, 16, 8)

  Attributes:
    tile: the shape of a basic kernel, (*window, i, o).
    embedding_size: e.
    hidden_size: d, which the paper sets to e.
    initialisation: 'he' or 'notebook', see Tiles.

  Raises:
    ValueError: a size is not a positive integer, or there is no such
      initialisation.
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
    """Returns one tile for each embedding [..., e], in one batched product."""
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


class Tiles(nn.Module):
  """Generates parameters of any shape as grids of tiles (eq. 3).

  tile_k = generator(z_k), or generator([z_k, embed(condition)]) with `embed`

  where each tile has an embedding z_k of its own, a row of the parameter `z`.
  A parameter is the grid of its tiles, see `hyper.generators.grids`. What
  `condition` does is one of:

  - nothing is set: it takes the place of `z`, [k, e];
  - `tables`: it is an integer, and picks one of several arrays `z` [k, e];
  - `embed`: it is what this module takes, for example the index of a task for
    an nn.Embed or an encoder's output for an nn.Dense. The result, [c] for all
    tiles or [k, c] for each, is joined to `z`. The paper's generator is linear,
    so that it adds the same to every tile there; give a generator with a
    hidden layer to mix the two.

  **Initialisation.** The paper gives none. 'he' starts every generated kernel
  with the variance 2 / fan_in (He et al. 2015), where fan_in is the size of
  all its axes but the last, as is so for kernels of nn.Conv and nn.Dense; a
  vector, such as a bias, gets the deviation 0.01; `deviations` is for all
  others. For the paper's generator b_in and b_out are zero, w_in has the
  variance 1/e and w_out 1/d, so that in expectation a tile has as much variance
  as its embedding has, and this is drawn with the variance that the parameter
  is to have; a condition is multiplied by its deviation, so let its own be 1.
  For any other module as `generator`, of any depth, embeddings have the
  variance 1, and what it makes of them at `init` is measured: its tiles are
  multiplied by the deviation of their parameter and by a trained scalar `gain`
  that starts as 1 over the root mean square of them all. So the variance of
  what is generated holds, whatever the initialisation of the generator's own
  weights (the aim of Chang et al. 2020). 'notebook' is the author's for MNIST:
  w_in and w_out truncated normal of deviation 0.01, embeddings truncated normal
  of mean 0.01 and deviation 1.

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
    generator: None for `KernelGenerator`, or any module that turns [k, c] into
      the numbers of k tiles, [k, prod(tile)] or [k, *tile].
    embed: None, or any module that turns the condition into [c] or [k, c].
    tables: 0, or the number of arrays `z` [k, e] that the condition picks from.
    rank: 0, or the rank r of generated kernels: each is A B^T of two generated
      matrices, [inputs, r] and [outputs, r]; (16, r) is a good tile for both.

  Raises:
    ValueError: a bad tile, size, initialisation or combination, a pattern that
      matches nothing, a condition or a generator that does not fit.
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
    check_sizes(self.tile, e, self.hidden_size or e)
    check_initialisation(self.initialisation)
    for name in ('tables', 'rank'):
      if getattr(self, name) < 0:
        raise ValueError(f'{name} is {getattr(self, name)}; it cannot be < 0.')
    if self.tables and self.embed is not None:
      raise ValueError(
        'tables and embed are both given, but there is one condition: let it '
        'pick a table, or be embedded.'
      )
    check_generator(self.generator, self.hidden_size, self.initialisation)
    super().__post_init__()

  def kernels(self, shapes: Shapes, condition: Any = None) -> Kernels:
    """Returns the generated parameters, by path.

    Args:
      shapes: shapes and types of the parameters, by path.
      condition: see the class.
    """
    return cut(self.tiles(shapes, condition), shapes, self.rank)

  @nn.compact
  def tiles(
    self, shapes: Shapes, condition: Any = None
  ) -> Shaped[Array, ' k *tile']:
    """Returns the tiles of all generated parameters, in a row."""
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
    """Returns what the generator is fed, of these deviations at start."""
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
    joined = jnp.broadcast_to(joined[..., :], (k, joined.shape[-1]))
    return jnp.concatenate([z, scale_rows(joined, given)], -1)


def check_generator(
  generator: Any, hidden_size: int, initialisation: str
) -> None:
  """Raises a ValueError unless the generator goes with the other fields."""
  if generator is None:
    return
  if not isinstance(generator, nn.Module):
    raise ValueError(
      f'generator is {generator!r}; it is None or a flax.linen.Module.'
    )
  if hidden_size or initialisation != 'he':
    raise ValueError(
      f'hidden_size is {hidden_size} and initialisation {initialisation!r}; '
      'these are for the generator of the paper, not for one that is given.'
    )
