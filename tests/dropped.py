"""Where a model drops out: what its parts read, and how much of it is zero."""

import jax
import numpy as np
from flax import linen as nn

from hyper.recurrence import Recurrence


def zero_shares(model, variables, *arguments):
  """By name, the share of zeros in what each recurrence or dense layer reads.

  Where symbols are read it is that of their factors.
  """
  found = {}

  def note(run, args, kwargs, context):
    module = context.module
    if isinstance(module, Recurrence | nn.Dense):
      read = args[:1] if isinstance(module, nn.Dense) else args[1:3]
      *_, x = (y for y in read if y is not None)
      add = found.setdefault(module.name, []).append
      jax.debug.callback(add, (x == 0).mean())  # also out of a loop
    return run(*args, **kwargs)

  rngs = {'dropout': jax.random.key(7)}
  with nn.intercept_methods(note):
    model.apply(variables, *arguments, rngs=rngs)
  jax.effects_barrier()
  return {name: np.mean(shares) for name, shares in found.items()}
