"""Five points of a sine in, the weights of a small network for it out.

  python -m examples.few_shot

An encoder with 11,329 parameters writes the 673 weights of a network for each
example of a batch. Prints the squared error on new points, and its ratio to the
error of one common network, which can only learn the average sine.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from examples.training import minimise
from hyper.static import StaticHyperNetwork

BOUND = 0.2  # of the ratio
MAIN = nn.Sequential(
  [nn.Dense(24), nn.tanh, nn.Dense(24), nn.tanh, nn.Dense(1)]
)


class Encoder(nn.Module):
  """Turns a set of points [5, 2], in any order, into one vector."""

  @nn.compact
  def __call__(self, points):
    """Returns the vector [16]."""
    x = nn.relu(nn.Dense(64)(nn.relu(nn.Dense(64)(points))))
    return nn.Dense(16)(x.mean(0))


NETWORK = StaticHyperNetwork(
  *(MAIN, ('*',), (8, 8), 8),  # every parameter, in tiles of 8 x 8
  generator=nn.Sequential([nn.Dense(64), nn.relu, nn.Dense(8 * 8)]),
  embed=Encoder(),
)


def sines(key, count=64):
  """Returns points seen [count, 5, 2], and x and y [count, 10, 1]."""
  keys = jax.random.split(key, 3)
  height = jax.random.uniform(keys[0], (count, 1), minval=0.5, maxval=2)
  phase = jax.random.uniform(keys[1], (count, 1), maxval=jnp.pi)
  x = jax.random.uniform(keys[2], (count, 15), minval=-3, maxval=3)
  points = jnp.stack([x, height * jnp.sin(x + phase)], -1)
  return points[:, :5], points[:, 5:, :1], points[:, 5:, 1:]


def own(params, key):
  """Returns the error of networks with weights of their own."""
  points, x, y = sines(key)
  found = NETWORK.apply({'params': params}, x, condition=points, in_axes=0)
  return jnp.mean((found - y) ** 2)


def common(params, key):
  """Returns the error of one network for all."""
  _, x, y = sines(key)
  return jnp.mean((MAIN.apply({'params': params}, x) - y) ** 2)


def main(steps: int = 2000) -> float:
  """Prints the error and returns the ratio."""
  points, x, _ = sines(jax.random.key(0))
  key, new = jax.random.key(3), jax.random.key(2)
  params = NETWORK.init(key, x[0], condition=points[0])['params']
  error = own(minimise(own, params, steps), new)
  params = MAIN.init(key, x)['params']
  ratio = float(error / common(minimise(common, params, steps), new))
  print(f'squared error {error:.3f}, ratio {ratio:.2f} (bound {BOUND})')
  return ratio


if __name__ == '__main__':
  main()
