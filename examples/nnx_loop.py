"""A HyperLSTM in a model and a training loop of Flax's NNX.

  python -m examples.nnx_loop

The cell runs under `nnx.RNN` within an ordinary NNX model and predicts the next
character of Python's reference manual. Prints the bits per character on text it
has not seen; the bound is below what frequencies of characters alone give,
which is printed beside it. 32,736 parameters, as many as under Linen.
"""

import pydoc_data.topics

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from hyper.cells import HyperLSTMCell
from hyper.nnx import NNXCell

BOUND = 3.0
BATCH, WINDOW, SYMBOLS = 32, 50, 128
TEXT = '\n'.join(pydoc_data.topics.topics.values()).encode('ascii', 'replace')
SEEN, NEW = np.split(np.frombuffer(TEXT, np.uint8)[:330_000], [300_000])


class Model(nnx.Module):
  """Predicts each next symbol from those before it."""

  def __init__(self, *, rngs):
    cell = HyperLSTMCell(units=48, hyper_units=16, embedding_size=4)
    self.embed = nnx.Embed(SYMBOLS, 24, rngs=rngs)
    self.rnn = nnx.RNN(NNXCell(cell, 24, rngs=rngs))
    self.out = nnx.Linear(48, SYMBOLS, rngs=rngs)

  def __call__(self, symbols):
    """Returns logits [batch, time, symbols] for symbols [batch, time]."""
    return self.out(self.rnn(self.embed(symbols)))


def bits(model, symbols):
  """Returns the mean bits per symbol, of all but each window's first."""
  logits, label = model(symbols[:, :-1]), symbols[:, 1:]
  nats = optax.softmax_cross_entropy_with_integer_labels(logits, label)
  return nats.mean() / np.log(2)


@nnx.jit
def train_step(model, optimizer, symbols):
  """Takes one step on a batch of windows."""
  optimizer.update(model, nnx.grad(bits)(model, symbols))


def main(steps: int = 300) -> float:
  """Prints and returns the bits per character of new text."""
  model = Model(rngs=nnx.Rngs(0))
  chain = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
  optimizer = nnx.Optimizer(model, chain, wrt=nnx.Param)
  rng = np.random.default_rng(0)
  for _ in range(steps):
    starts = rng.integers(len(SEEN) - WINDOW - 1, size=(BATCH, 1))
    train_step(
      model, optimizer, jnp.asarray(SEEN[starts + np.arange(WINDOW + 1)])
    )
  windows = NEW[: len(NEW) // (WINDOW + 1) * (WINDOW + 1)]
  found = float(
    nnx.jit(bits)(model, jnp.asarray(windows.reshape(-1, WINDOW + 1)))
  )
  share = np.bincount(NEW) / len(NEW)
  alone = -np.sum(share * np.log2(share, where=share > 0, out=0 * share))
  count = sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
  print(
    f'{found:.2f} bits per character (bound {BOUND}), {alone:.2f} from '
    f'frequencies; {count:,} parameters'
  )
  return found


if __name__ == '__main__':
  main()
