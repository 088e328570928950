"""Three tasks, one after the other: what a network forgets of the first ones.

  python -m examples.continual

One hypernetwork writes all weights of a small classifier from the index of a
task (von Oswald et al. 2020); each task is to read digits whose pixels are
permuted in its own way. A penalty keeps the weights generated for the tasks
before where they were. Prints how much accuracy on these is lost without it
and with it; the bound is for the latter. Of the 2,769 parameters a task has 8.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from examples.training import digits, minimise
from hyper.data.embedded import FONTS
from hyper.static import StaticHyperNetwork

BOUND = 5.0  # percent of accuracy lost
TASKS = np.arange(3)
MAIN = nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(10)])
NETWORK = StaticHyperNetwork(
  *(MAIN, ('*',), (7, 8), 8),  # every parameter, in tiles of 7 x 8
  generator=nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(7 * 8)]),
  embed=nn.Embed(len(TASKS), 8),
)
ORDERS = np.stack([np.random.default_rng(k).permutation(49) for k in TASKS])
SEEN, LABEL = (jnp.asarray(x) for x in digits(FONTS[:4], 1000, 7, seed=1))
NEW, NEW_LABEL = (jnp.asarray(x) for x in digits(FONTS[:4], 500, 7, seed=2))


def every(params):
  """Returns the weights of all tasks."""
  return jax.vmap(
    lambda k: NETWORK.generated({'params': params}, SEEN, condition=k)
  )(TASKS)


def loss(params, key, task, before, rate):
  """Returns the cross entropy, and the penalty on tasks learnt before."""
  rows = jax.random.randint(key, (64,), 0, len(LABEL))
  x = SEEN[rows][:, jnp.asarray(ORDERS)[task]]
  logits = NETWORK.apply({'params': params}, x, condition=task)
  nats = optax.softmax_cross_entropy_with_integer_labels(logits, LABEL[rows])
  moved = jax.tree.leaves(optax.tree.sub(every(params), before))
  drift = sum(jnp.sum(x**2, range(1, x.ndim)) for x in moved)
  return nats.mean() + rate * drift @ (task > TASKS)


@jax.jit
def score(params, task):
  """Returns the accuracy on new digits in percent."""
  x = NEW[:, jnp.asarray(ORDERS)[task]]
  logits = NETWORK.apply({'params': params}, x, condition=task)
  return 100 * jnp.mean(logits.argmax(-1) == NEW_LABEL)


def forgotten(rate: float, steps: int) -> float:
  """Returns the accuracy in percent that earlier tasks lose on average."""
  params = NETWORK.init(jax.random.key(0), SEEN, condition=0)['params']
  learnt = []
  for task in TASKS:
    params = minimise(loss, params, steps, task, every(params), rate)
    learnt.append(score(params, task))
  lost = [learnt[k] - score(params, k) for k in TASKS[:-1]]
  return float(np.mean(lost))


def main(steps: int = 300) -> dict[str, float]:
  """Prints and returns what is forgotten with and without the penalty."""
  lost = {'without': forgotten(0.0, steps), 'with': forgotten(0.1, steps)}
  print(
    f'accuracy lost: {lost["without"]:.1f} % without the penalty, '
    f'{lost["with"]:.1f} % with it (bound {BOUND} %)'
  )
  return lost


if __name__ == '__main__':
  main()
