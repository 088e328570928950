"""Low-rank deltas for each writer, over a network that stays as it is.

  python -m examples.lora

A classifier of digits learns one font and is frozen. For each of four other
fonts, the writers, a hypernetwork makes a change of rank 4 to each of its
kernels from an embedding of the writer. Prints the error on new digits of the
writers before and after; the bound is for the latter. Of 2,564 trained
parameters a writer has 4; 17,418 are frozen.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from examples.training import digits, minimise
from hyper.data.embedded import FONTS
from hyper.static import StaticHyperNetwork
from hyper.weights import start_from

BOUND = 14.0  # percent of errors
WRITERS = ('cmti10', 'STIXGeneralItalic', 'DejaVuSerif-Bold', 'cmtt10')
MAIN = nn.Sequential(
  [nn.Dense(64), nn.relu, nn.Dense(64), nn.relu, nn.Dense(10)]
)
NETWORK = StaticHyperNetwork(
  *(MAIN, ('*/kernel',), (14, 4), 8),
  generator=nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(14 * 4)]),
  embed=nn.Embed(len(WRITERS), 4),
  **{'rank': 4, 'residual': True, 'frozen': ('*',)},
)


def written(fonts, count, seed):
  """Returns pixels [fonts * count, 196], labels, and the index of each font."""
  drawn = [digits((font,), count, 14, seed) for font in fonts]
  pixels, label = (jnp.concatenate(x) for x in zip(*drawn, strict=True))
  return pixels - 0.5, label, jnp.repeat(jnp.arange(len(fonts)), count)


def plain(params, pixels, writer):
  """Returns the logits of the network alone."""
  del writer
  return MAIN.apply({'params': params}, pixels)


def cross_entropy(params, key, data, call):
  """Returns the mean of 64 digits."""
  pixels, label, font = data
  rows = jax.random.randint(key, (64,), 0, len(label))
  logits = call(params, pixels[rows], font[rows])
  nats = optax.softmax_cross_entropy_with_integer_labels(logits, label[rows])
  return nats.mean()


def main(steps: int = 2000) -> dict[str, float]:
  """Prints and returns the errors in percent before and after."""
  data = written(FONTS[:1], 1000, seed=1)
  params = MAIN.init(jax.random.key(0), data[0])['params']
  call = jax.tree_util.Partial(plain)
  base = minimise(cross_entropy, params, 300, data, call)
  variables = NETWORK.init(jax.random.key(0), data[0], condition=0)
  variables = start_from(variables, base)

  def adapted(params, pixels, writer):
    own = {'params': params, 'frozen': variables['frozen']}
    return NETWORK.apply(own, pixels, condition=writer, in_axes=0)

  data, params = written(WRITERS, 400, seed=2), variables['params']
  call = jax.tree_util.Partial(adapted)
  trained = minimise(cross_entropy, params, steps, data, call)
  pixels, label, writer = written(WRITERS, 200, seed=3)
  errors = {}
  for name, params in (('before', variables['params']), ('after', trained)):
    logits = jax.jit(adapted)(params, pixels, writer)
    errors[name] = 100 * float(np.mean(logits.argmax(-1) != label))
  print(
    f'errors on writers: {errors["before"]:.1f} % before, '
    f'{errors["after"]:.1f} % after (bound {BOUND} %)'
  )
  return errors


if __name__ == '__main__':
  main()
