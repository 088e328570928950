"""Static hypernetworks (section 3.1): embeddings in, kernels out.

Shapes: k tiles, i input and o output channels of a tile, e embedding size
(the paper's N_z), d hidden size; `window` is a kernel's spatial shape, (f, f)
for a convolution and () for a dense layer.
"""

import fnmatch
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

Params = Mapping[str, Any]
Shape = tuple[int, ...]


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
    kernel_init: initialiser of w_in and w_out, by default the notebook's.
  """

  tile: Shape
  embedding_size: int
  hidden_size: int
  kernel_init: Callable[..., Array] = nn.initializers.truncated_normal(0.01)

  @nn.compact
  def __call__(self, z: Float[Array, 'k e']) -> Float[Array, ' k *tile']:
    """One basic kernel for each embedding, all in one batched product."""
    *window, i, o = self.tile
    d, zeros = self.hidden_size, nn.initializers.zeros
    w_in = self.param('w_in', self.kernel_init, (i, self.embedding_size, d))
    b_in = self.param('b_in', zeros, (i, d))
    w_out = self.param('w_out', self.kernel_init, (d, *window, o))
    b_out = self.param('b_out', zeros, (*window, o))
    a = jnp.einsum('ke,ied->kid', z, w_in) + b_in[None]
    slices = jnp.tensordot(a, w_out, 1) + b_out[None, None]
    return jnp.moveaxis(slices, 1, -2)


class StaticHyperNetwork(nn.Module):
  """Any Flax module, with the parameters of some paths generated.

  A generated parameter is a grid of basic kernels, each from its own
  embedding, in the order of eq. 3 (rows are blocks of input channels, columns
  blocks of output channels, row by row); what a grid covers too much is cut.
  All other parameters of the main network stay free, under `network`.

  Attributes:
    main: the main network. Not to be used elsewhere in the same module tree.
    generate: shell patterns of parameter paths, such as 'conv2/kernel'; a
      pattern that matches nothing is an error.
    tile: the shape of a basic kernel, (*window, inputs, outputs).
    embedding_size: the paper's N_z.
    hidden_size: the paper's d; 0 stands for N_z, as in all its experiments.
    embedding_init: initialiser of the embeddings, by default the notebook's:
      truncated normal of mean 0.01 and deviation 1.
  """

  main: nn.Module
  generate: tuple[str, ...]
  tile: Shape
  embedding_size: int
  hidden_size: int = 0
  embedding_init: Callable[..., Array] | None = None

  @nn.compact
  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    """Calls the main network with its generated kernels in place."""
    shapes = generated_shapes(self.main, self.generate, *args, **kwargs)
    kernels = self._kernels(shapes)

    def insert(variables: Params) -> Params:
      free = flatten_dict(variables.get('params', {}))
      return {'params': unflatten_dict(free | kernels)}

    def remove(variables: Params) -> Params:
      every = flatten_dict(variables['params'])
      free = {path: x for path, x in every.items() if path not in shapes}
      return {'params': unflatten_dict(free)}

    def call(main: nn.Module) -> Any:
      return main(*args, **kwargs)

    main = self.main.clone(parent=self, name='network')
    initialising = self.is_initializing()
    return nn.map_variables(
      call, 'params', insert, remove, init=initialising, mutable=initialising
    )(main)

  def _kernels(self, shapes: dict[tuple[str, ...], Shape]) -> Params:
    counts = [math.prod(grid(shape, self.tile)) for shape in shapes.values()]
    init = self.embedding_init or notebook_embedding
    e = self.embedding_size
    z = self.param('z', init, (sum(counts), e))
    tiles = KernelGenerator(
      self.tile, e, self.hidden_size or e, name='generator'
    )(z)
    starts = [sum(counts[:k]) for k in range(len(counts))]
    return {
      path: assemble(tiles[start : start + count], shape)
      for (path, shape), start, count in zip(
        shapes.items(), starts, counts, strict=True
      )
    }


def notebook_embedding(key: Array, shape: Shape) -> Array:
  """Truncated normal of mean 0.01 and deviation 1, as in the notebook."""
  return 0.01 + jax.random.truncated_normal(key, -2.0, 2.0, shape)


def generated_shapes(
  main: nn.Module, generate: tuple[str, ...], *args: Any, **kwargs: Any
) -> dict[tuple[str, ...], Shape]:
  """Paths and shapes of the parameters of `main` that the patterns name.

  Raises:
    ValueError: a pattern matches no parameter.
  """

  def init(key: Array) -> Params:
    rngs = {'params': key, 'dropout': key}
    return main.clone(parent=None, name=None).init(rngs, *args, **kwargs)

  params = jax.eval_shape(init, jax.random.key(0))['params']
  shapes = {path: x.shape for path, x in flatten_dict(params).items()}
  names = {path: '/'.join(path) for path in shapes}
  for pattern in generate:
    if not fnmatch.filter(names.values(), pattern):
      raise ValueError(
        f'generate has {pattern!r}, which matches no parameter of '
        f'{type(main).__name__}; it has: {", ".join(sorted(names.values()))}.'
      )
  return {
    path: shape
    for path, shape in shapes.items()
    if any(fnmatch.fnmatchcase(names[path], pattern) for pattern in generate)
  }


def grid(shape: Shape, tile: Shape) -> tuple[int, int]:
  """Rows (input blocks) and columns (output blocks) that cover a kernel.

  Raises:
    ValueError: the kernel and the tile differ in their window.
  """
  if shape[:-2] != tile[:-2] or len(shape) < 2:
    raise ValueError(
      f'A kernel of shape {shape} cannot be made of tiles of shape {tile}: '
      'all axes but the last two must be equal.'
    )
  return -(-shape[-2] // tile[-2]), -(-shape[-1] // tile[-1])


def assemble(tiles: Float[Array, ' k *tile'], shape: Shape) -> Array:
  """Lays tiles out row by row and cuts the grid to a kernel's shape."""
  tile = tiles.shape[1:]
  across = grid(shape, tile)
  x = tiles.reshape(*across, *tile)  # [rows, columns, *window, i, o]
  x = jnp.moveaxis(x, (0, 1), (-4, -2))  # [*window, rows, i, columns, o]
  covering = (across[0] * tile[-2], across[1] * tile[-1])
  x = x.reshape(*tile[:-2], *covering)
  return x[..., : shape[-2], : shape[-1]]
