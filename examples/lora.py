"""Low-rank deltas for each writer, over a frozen network.

  python -m examples.lora

A classifier of digits learns one font and is frozen. For each writer, who uses
another font, a hypernetwork makes a change of rank 4 to each kernel from an
embedding. Each writer has 4 of the 2,564 trained parameters; 17,418 are frozen.
Prints the error on new digits before and after; the bound is for the latter.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from examples.training import digits, minimise, nats, some
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


def loss(params, key, frozen, data):
  """Returns the cross entropy, of the main network alone if none is frozen."""
  pixels, label, writer = some(key, *data)
  if frozen is None:
    return nats(MAIN.apply({'params': params}, pixels), label)
  return nats(adapted(params, frozen, pixels, writer), label)


def adapted(params, frozen, pixels, writer):
  """Returns the logits of each digit by the network of its writer."""
  variables = {'params': params, 'frozen': frozen}
  return NETWORK.apply(variables, pixels, condition=writer, in_axes=0)


def main(steps: int = 2000) -> dict[str, float]:
  """Prints and returns the errors in percent before and after."""
  data, key = written(FONTS[:1], 1000, seed=1), jax.random.key(0)
  base = minimise(loss, MAIN.init(key, data[0])['params'], 300, None, data)
  variables = start_from(NETWORK.init(key, data[0], condition=0), base)
  before, frozen = variables['params'], variables['frozen']
  after = minimise(loss, before, steps, frozen, written(WRITERS, 400, seed=2))
  pixels, label, writer = written(WRITERS, 200, seed=3)
  errors = {}
  for name, params in (('before', before), ('after', after)):
    logits = jax.jit(adapted)(params, frozen, pixels, writer)
    errors[name] = 100 * float(np.mean(logits.argmax(-1) != label))
  before, after = errors.values()
  print(f'errors: {before:.1f} %, adapted {after:.1f} % (bound {BOUND} %)')
  return errors


if __name__ == '__main__':
  main()
