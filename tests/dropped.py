"""Finds where a model drops out, by the zeros in what its layers read."""

import jax
import numpy as np
from flax import linen as nn

from hyper.recurrence import Recurrence


def zero_shares(model, variables, *arguments):
  """Returns the share of zeros in the input of recurrences and dense layers.

  For symbols it is the share of zeros among their factors. The keys are the
  names of the layers.
  """
  found = {}

  def note(run, args, kwargs, context):
    module = context.module
    is_call = context.method_name == '__call__'
    if is_call and isinstance(module, Recurrence | nn.Dense):
      scale = kwargs.get('scale')
      x = args[0] if scale is None else scale
      add = found.setdefault(module.name, []).append
      jax.debug.callback(add, (x == 0).mean())  # works within a loop, too
    return run(*args, **kwargs)

  rngs = {'dropout': jax.random.key(7)}
  with nn.intercept_methods(note):
    jax.jit(lambda: model.apply(variables, *arguments, rngs=rngs))()
  jax.effects_barrier()
  return {name: np.mean(shares) for name, shares in found.items()}
