"""The coordinate hypernetwork of appendix A.1.

It generates the weight between a pixel and a hidden unit from the coordinates
of both.

Shapes: p input pixels, u hidden units, which are arranged as a picture too.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.generators.storage import Kernels, Shapes
from hyper.hypernetwork import HyperNetwork


class Coordinates(nn.Module):
  """Generates one weight matrix from coordinates (appendix A.1).

  W[p, u] = network(x_p, y_p, x_u, y_u)

  A small ReLU network maps the coordinates of an input pixel p and of a hidden
  unit u to the weight between them. With the paper's sizes, 4-25-25-1, it has
  801 parameters. Coordinates run from -1 to 1 along each side, x along the
  columns. Pixels and units are numbered row by row.

  Deviation: the paper gives neither the scale of the coordinates nor the
  initialisation. Here weights start as in He et al. (2015), except that those
  of the last layer give the generated weights the variance 2 / p in
  expectation. Neighbouring weights are alike, so images should have mean zero.

  >>> import jax
  >>> generator = Coordinates((28, 28), (16, 16))
  >>> shapes = {('kernel',): jax.ShapeDtypeStruct((784, 256), 'float32')}
  >>> made, variables = generator.init_with_output(
  ...   jax.random.key(0), shapes, method='kernels'
  ... )
  >>> made[('kernel',)].shape
  (784, 256)
  >>> sum(x.size for x in jax.tree.leaves(variables))
  801

  Attributes:
    input_shape: height and width of the input in pixels, (28, 28) in the paper.
    output_shape: height and width of the picture of hidden units.
    hidden_sizes: the sizes of the hidden layers of the small network.

  Raises:
    ValueError: a size is not positive.
  """

  input_shape: tuple[int, int] = (28, 28)
  output_shape: tuple[int, int] = (16, 16)
  hidden_sizes: tuple[int, ...] = (25, 25)

  def __post_init__(self) -> None:
    for name in ('input_shape', 'output_shape', 'hidden_sizes'):
      if min(getattr(self, name), default=1) < 1:
        raise ValueError(
          f'{name} is {getattr(self, name)}; all sizes must be positive.'
        )
    super().__post_init__()

  @nn.compact
  def kernels(self, shapes: Shapes, condition: Any = None) -> Kernels:
    """Returns the generated matrix [p, u], by its path.

    Args:
      shapes: the shape and type of the one matrix, by path.
      condition: None; coordinates take no condition.

    Raises:
      ValueError: `condition` is given, or `shapes` has more than one parameter
        or one of another shape than [p, u].
    """
    if condition is not None:
      raise ValueError('condition is given, but coordinates take none.')
    wanted = (math.prod(self.input_shape), math.prod(self.output_shape))
    found = {'/'.join(path): x.shape for path, x in shapes.items()}
    if list(found.values()) != [wanted]:
      raise ValueError(
        f'Coordinates {self.input_shape} and {self.output_shape} make one '
        f'parameter of shape {wanted}, but `generate` names {found}.'
      )
    generator = CoordinateGenerator(self.hidden_sizes, name='generator')
    kernel = generator(self.input_shape, self.output_shape)
    return {path: kernel.astype(x.dtype) for path, x in shapes.items()}


class CoordinateHyperNetwork(Coordinates, HyperNetwork):
  """Wraps a network and generates a weight matrix from coordinates (A.1).

  This is a `HyperNetwork` and its only generator, a `Coordinates`, in one: see
  both for all attributes. Its parameters are `network` and `generator`.

  >>> import jax, jax.numpy as jnp
  >>> from flax import linen as nn
  >>> main = nn.Sequential([nn.Dense(20), nn.relu, nn.Dense(10)])
  >>> network = CoordinateHyperNetwork(
  ...   main, ('layers_0/kernel',), (8, 8), (4, 5)
  ... )
  >>> images = jnp.ones((2, 64))
  >>> variables = network.init(jax.random.key(0), images)
  >>> network.apply(variables, images).shape
  (2, 10)

  Attributes:
    main: the main network, see `HyperNetwork`.
    generate: a sequence with one pattern, which matches one parameter.

  Raises:
    ValueError: as for `Coordinates` and `HyperNetwork`.
  """


class CoordinateGenerator(nn.Module):
  """The small ReLU network of appendix A.1, with a linear output.

  Its layers are called `layer1`, `layer2`, ...

  >>> import jax
  >>> generator = CoordinateGenerator((25, 25))
  >>> weights, variables = generator.init_with_output(
  ...   jax.random.key(0), (4, 4), (2, 3)
  ... )
  >>> weights.shape  # 16 pixels, 6 units
  (16, 6)

  Attributes:
    hidden_sizes: the sizes of its hidden layers.
  """

  hidden_sizes: tuple[int, ...]

  @nn.compact
  def __call__(
    self, input_shape: tuple[int, int], output_shape: tuple[int, int]
  ) -> Float[Array, 'p u']:
    """Returns the weight between every pixel and every unit, [p, u].

    Args:
      input_shape: height and width of the input in pixels.
      output_shape: height and width of the picture of hidden units.
    """
    pixels, units = _coordinates(input_shape), _coordinates(output_shape)
    x = jnp.concatenate(
      [
        jnp.repeat(pixels[:, None], len(units), 1),
        jnp.repeat(units[None], len(pixels), 0),
      ],
      -1,
    )
    he = nn.initializers.he_normal()
    # The mean square of the inputs, which `he` and ReLU keep in every layer.
    fed = _mean_square((*input_shape, *output_shape))
    last = nn.initializers.variance_scaling(
      2 / (fed * len(pixels)), 'fan_in', 'normal'
    )
    for k, size in enumerate(self.hidden_sizes, 1):
      x = jax.nn.relu(nn.Dense(size, kernel_init=he, name=f'layer{k}')(x))
    name = f'layer{len(self.hidden_sizes) + 1}'
    return nn.Dense(1, kernel_init=last, name=name)(x)[..., 0]


def _coordinates(shape: tuple[int, int]) -> Float[Array, 'places 2']:
  """Returns x and y, from -1 to 1, of each pixel of a picture, row by row."""
  y, x = (jnp.linspace(-1, 1, size, dtype=jnp.float32) for size in shape)
  return jnp.stack(jnp.meshgrid(x, y), -1).reshape(-1, 2)


def _mean_square(sizes: tuple[int, ...]) -> float:
  """Returns the mean of x^2 over linspace(-1, 1, n), averaged over `sizes`."""
  squares = [(n + 1) / (3 * n - 3) if n > 1 else 1.0 for n in sizes]
  return sum(squares) / len(squares)
