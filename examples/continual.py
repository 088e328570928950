"""Continual learning: what a network forgets of the first two of three tasks.

  python -m examples.continual

A hypernetwork writes a classifier's weights from the index of a task: digits
with permuted pixels (von Oswald et al. 2020). A penalty holds the weights of
earlier tasks. Each task has 8 of the hypernetwork's 2,769 parameters. Prints
the accuracy lost on earlier tasks without and with the penalty; the bound is
for the latter.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from examples.training import digits, minimise, nats, some
from hyper.data.embedded import FONTS
from hyper.static import StaticHyperNetwork

BOUND = 5.0  # percent of accuracy lost
TASKS = np.arange(3)
NETWORK = StaticHyperNetwork(
  nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(10)]),
  *(('*',), (7, 8), 8),  # every parameter, in tiles of 7 x 8
  generator=nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(7 * 8)]),
  embed=nn.Embed(len(TASKS), 8),
)
ORDERS = jnp.stack([np.random.default_rng(k).permutation(49) for k in TASKS])
SEEN, NEW = (digits(FONTS[:4], n, 7, k) for n, k in ((1000, 1), (500, 2)))


def call(params, pixels, task):
  """Returns the logits of the network for a task."""
  x = jnp.asarray(pixels)[:, ORDERS[task]]
  return NETWORK.apply({'params': params}, x, condition=task)


def weights(params):
  """Returns the weights of all tasks."""
  return jax.vmap(
    lambda k: NETWORK.generated({'params': params}, SEEN[0], condition=k)
  )(TASKS)


def loss(params, key, task, before, rate):
  """Returns the cross entropy, and the penalty on tasks learnt before."""
  pixels, label = some(key, *SEEN)
  moved = jax.tree.leaves(optax.tree.sub(weights(params), before))
  drift = sum(jnp.sum(x**2, range(1, x.ndim)) for x in moved)
  return nats(call(params, pixels, task), label) + rate * drift @ (task > TASKS)


@jax.jit
def score(params, task):
  """Returns the accuracy on new digits in percent."""
  return 100 * jnp.mean(call(params, NEW[0], task).argmax(-1) == NEW[1])


def forgotten(rate: float, steps: int) -> float:
  """Returns the accuracy in percent that earlier tasks lose on average."""
  params = NETWORK.init(jax.random.key(0), SEEN[0], condition=0)['params']
  learnt = []
  for task in TASKS:
    params = minimise(loss, params, steps, task, weights(params), rate)
    learnt.append(score(params, task))
  return float(np.mean([learnt[k] - score(params, k) for k in TASKS[:-1]]))


def main(steps: int = 300) -> dict[str, float]:
  """Prints and returns what is forgotten with and without the penalty."""
  lost = {'without': forgotten(0.0, steps), 'with': forgotten(0.1, steps)}
  plain, kept = lost.values()
  print(f'lost: {plain:.1f} %, with penalty {kept:.1f} % (bound {BOUND} %)')
  return lost


if __name__ == '__main__':
  main()
