"""Images as weights: one embedding each, coordinates in, pixels out.

  python -m examples.auto_decoder strip.png

A hypernetwork writes a network of 1,889 weights from the embedding of an image.
Each image has 8 of the hypernetwork's 5,641 parameters. Prints the root mean
squared error of the reconstructions, and draws the path between two embeddings
as a strip of images.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from PIL import Image

from examples.training import digits, minimise
from hyper.data.embedded import FONTS
from hyper.static import StaticHyperNetwork

BOUND = 0.1  # of pixels in [0, 1]
IMAGES, SIDE = 8, 14
PIXELS = jnp.asarray(digits(FONTS[:1], IMAGES, SIDE, seed=3)[0])
AXIS = jnp.linspace(-1, 1, SIDE)
GRID = jnp.stack(jnp.meshgrid(AXIS, AXIS), -1).reshape(-1, 2)


class Picture(nn.Module):
  """Turns coordinates [places, 2] in [-1, 1] into brightness [places]."""

  @nn.compact
  def __call__(self, places):
    """Returns the brightness."""
    waves = jnp.concatenate([places * jnp.pi * k / 2 for k in range(1, 7)], -1)
    x = jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], -1)
    x = nn.relu(nn.Dense(32)(nn.relu(nn.Dense(32)(x))))
    return nn.Dense(1)(x)[..., 0]


NETWORK = StaticHyperNetwork(
  *(Picture(), ('*',), (8, 8), 8),  # every parameter, in tiles of 8 x 8
  generator=nn.Sequential([nn.Dense(64), nn.relu, nn.Dense(8 * 8)]),
  embed=nn.Embed(IMAGES, 8),
)


def draw(params):
  """Returns the pictures of all embeddings, [images, places]."""
  index, axes = jnp.arange(IMAGES), (None,)  # one grid for all
  return NETWORK.apply({'params': params}, GRID, condition=index, in_axes=axes)


def loss(params, key=None):
  """Returns the mean squared error of all pictures."""
  return jnp.mean((draw(params) - PIXELS) ** 2)


def main(path: str = '', steps: int = 500) -> float:
  """Prints and returns the error; draws the strip if there is a path."""
  variables = NETWORK.init(jax.random.key(0), GRID, condition=0)
  params = minimise(loss, variables['params'], steps)
  error = float(jnp.sqrt(loss(params)))
  print(f'reconstruction error {error:.3f} (bound {BOUND})')
  if path:
    first, second = params['embed']['embedding'][:2]
    between = {'embedding': jnp.linspace(first, second, IMAGES)}
    strip = 255 * draw(params | {'embed': between}).clip(0, 1)
    strip = strip.reshape(IMAGES, SIDE, SIDE).swapaxes(0, 1).reshape(SIDE, -1)
    Image.fromarray(np.asarray(strip, np.uint8)).save(path)
  return error


if __name__ == '__main__':
  main(''.join(sys.argv[1:2]))
