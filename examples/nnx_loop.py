"""A HyperLSTM in a model and a training loop of Flax's NNX.

  python -m examples.nnx_loop

The cell runs under `nnx.RNN` and predicts the next character of Python's
reference manual, with 32,736 parameters, as many as under Linen. Prints the
bits per character of new text, beside those from the frequencies of characters.
"""

import pydoc_data.topics

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from examples.training import nats
from hyper.cells import HyperLSTMCell
from hyper.nnx import NNXCell

BOUND = 3.0  # bits per character
BATCH, WINDOW, SYMBOLS = 32, 51, 128
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
  """Returns the mean bits per symbol; the first of a window is not scored."""
  return nats(model(symbols[:, :-1]), symbols[:, 1:]) / np.log(2)


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
    starts = rng.integers(len(SEEN) - WINDOW, size=(BATCH, 1))
    train_step(model, optimizer, jnp.asarray(SEEN[starts + np.arange(WINDOW)]))
  windows = jnp.asarray(NEW[: len(NEW) // WINDOW * WINDOW].reshape(-1, WINDOW))
  found = float(nnx.jit(bits)(model, windows))
  share = np.unique(NEW, return_counts=True)[1] / len(NEW)
  entropy = -np.sum(share * np.log2(share))
  print(f'{found:.2f} bits (bound {BOUND}), {entropy:.2f} from frequencies')
  return found


if __name__ == '__main__':
  main()
