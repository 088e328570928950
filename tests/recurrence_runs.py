"""Small cells under `Recurrence` and under flax's `nn.RNN`, with gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hyper.cells import CELLS, draw_masks
from hyper.recurrence import Recurrence

BATCH, TIME, INPUTS, UNITS = 3, 4, 6, 7
# Compiling takes longer than running here, so XLA does not optimise.
fast_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)
SMALL = {'hyper_units': 8, 'embedding_size': 2}


def make(name, **options):
  """Returns a small cell; ignores options that it has no field for."""
  fields = CELLS[name].__dataclass_fields__
  options = {k: x for k, x in (SMALL | options).items() if k in fields}
  return CELLS[name](UNITS, INPUTS, **options)


NORM = {'layer_norm': True}
OFF = {'layer_norm': False, 'hyper_layer_norm': False}
DROPOUT = {'dropout_rate': 0.3, 'hyper_dropout_rate': 0.4}
EACH = pytest.mark.parametrize('name', list(CELLS))


def quick_of(names):
  """Parametrises by `names`, slow where a cell takes long to compile."""
  slow = {'hypergru', 'hyperlstm'}
  return pytest.mark.parametrize(
    'name',
    [
      pytest.param(name, marks=[pytest.mark.slow] * (name in slow))
      for name in names
    ],
  )


VARIANTS = {name: make(name, **NORM) for name in CELLS} | {
  'hyperrnn-full': make('hyperrnn', form='full', hyper_state='old'),
  'lstm-plain': make('lstm'),
  'hyperlstm-old': make('hyperlstm', hyper_state='old', **OFF),
}
DROPPING = [name for name in CELLS if VARIANTS[name].masks is not None]


def random(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype('f')


def randomised(cell, inputs=INPUTS, seed=0):
  """Draws variables of a `Recurrence` or an `nn.RNN`, unlike initial ones."""

  def init():
    return cell.init(
      jax.random.key(0), cell.zeros((1,)), jnp.zeros((1, inputs))
    )

  shapes = jax.eval_shape(init)['params']
  params = {
    name: jnp.asarray(('gamma' in name) + 0.5 * random([seed, k], *x.shape))
    for k, (name, x) in enumerate(sorted(shapes.items()))
  }
  return {'params': {'cell': params}}


def random_carry(cell, batch=BATCH):
  leaves, tree = jax.tree.flatten(cell.zeros((batch,)))
  return tree.unflatten(
    [0.5 * random([7, k], *x.shape) for k, x in enumerate(leaves)]
  )


def undrawn(cell):
  """Returns the masks that a step gets if there is no dropout."""
  return draw_masks(cell.masks, (), None)


def weighted(tree):
  """Returns a scalar that depends on every element with another weight."""
  return sum(
    jnp.sum(x * random([11, k], *x.shape))
    for k, x in enumerate(jax.tree.leaves(tree))
  )


def run_ours(cell, *arguments, **options):
  return Recurrence(cell, return_carry=True).apply(*arguments, **options)


def by_recurrence(cell, variables, carry, inputs):
  return run_ours(cell, variables, inputs, initial_carry=carry)


def by_flax(cell, variables, carry, inputs):
  rnn = nn.RNN(cell, return_carry=True)
  return rnn.apply(variables, inputs, initial_carry=carry)


def assert_trees_close(actual, wanted, tolerance=1e-5):
  """Compares leaves; `tolerance` is relative to a leaf's largest element."""
  assert jax.tree.structure(actual) == jax.tree.structure(wanted)
  for (path, x), y in zip(
    jax.tree.leaves_with_path(actual), jax.tree.leaves(wanted), strict=True
  ):
    scale = max(1.0, np.abs(y).max())
    np.testing.assert_allclose(
      x, y, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path)
    )


def values(function, *arguments):
  return fast_jit(function)(*arguments)


def with_gradients(function):
  """Returns a function that gives gradients of `weighted`, and the result."""

  def run(*arguments):
    def loss(*arguments):
      result = function(*arguments)
      return weighted(result), result

    return jax.grad(loss, range(len(arguments)), has_aux=True)(*arguments)

  return run


def value_and_gradients(function, *arguments):
  return fast_jit(with_gradients(function))(*arguments)


def arguments_of(cell):
  """Returns random parameters, a carry and inputs, as a run takes them."""
  return randomised(cell), random_carry(cell), random(1, BATCH, TIME, INPUTS)


def assert_as_by_flax(cell):
  """Compares values and gradients with flax's nn.RNN, and returns ours."""
  arguments = arguments_of(cell)
  ours, theirs = (
    value_and_gradients(functools.partial(run, cell), *arguments)
    for run in (by_recurrence, by_flax)
  )
  assert_trees_close(ours, theirs)
  return ours
