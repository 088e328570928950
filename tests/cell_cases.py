"""Small cells with random parameters, beside the reference's equations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import reference
from flax import linen as nn

from hyper.cells import CELLS, Drawn
from hyper.cells.unroll import unroll
from hyper.recurrence import Recurrence

BATCH, TIME, INPUTS, UNITS, HYPER_UNITS, EMBEDDING = 2, 4, 6, 5, 4, 3
SIZES = {'hyper_units': HYPER_UNITS, 'embedding_size': EMBEDDING}
RATES = {'dropout_rate': 0.25, 'hyper_dropout_rate': 0.4}

# Compiling takes longer than running here, so XLA does not optimise.
fast_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)
assert_close = functools.partial(
  np.testing.assert_allclose, rtol=1e-5, atol=1e-5
)


def small(name, **options):
  """Returns a small cell of CELLS; ignores SIZES that it has no field for."""
  fields = CELLS[name].__dataclass_fields__
  sizes = {k: x for k, x in SIZES.items() if k in fields}
  return CELLS[name](UNITS, INPUTS, **(sizes | options))


def rates_of(cell):
  """Returns the RATES that `cell` has a field for, the main cell's first."""
  return {k: x for k, x in RATES.items() if hasattr(cell, k)}


def shapes_of(cell):
  def init():
    return cell.init(
      jax.random.key(0), cell.zeros((1,)), jnp.zeros((1, INPUTS))
    )

  return jax.eval_shape(init)['params']


def initial(cell, inputs=INPUTS):
  @fast_jit
  def init():
    return cell.init(
      jax.random.key(3), cell.zeros((1,)), jnp.zeros((1, inputs), 'f')
    )

  return jax.tree.map(np.asarray, init()['params'])


def randomised(cell, seed=0):
  """Returns parameters far from their initial values; gains stay near 1."""
  rng = np.random.default_rng(seed)
  return {
    name: ('gamma' in name) + 0.5 * rng.normal(size=x.shape).astype('f')
    for name, x in sorted(shapes_of(cell).items())
  }


def random_carry(cell, seed=1):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: 0.5 * rng.normal(size=x.shape).astype('f'), cell.zeros((BATCH,))
  )


def random_inputs(seed=2):
  return (
    np.random.default_rng(seed).normal(size=(BATCH, TIME, INPUTS)).astype('f')
  )


def one_step(cell, params, carry, x=None):
  x = random_inputs()[:, 0] if x is None else x
  return applied(cell)({'params': params}, carry, x)


@functools.cache
def applied(cell):
  return fast_jit(cell.apply)


def flat(carry):
  """Returns a carry as the reference has it: one array, or a flat tuple."""
  leaves = tuple(jax.tree.leaves(carry))
  return leaves if len(leaves) > 1 else leaves[0]


def expected(step, weights, carry, inputs, **options):
  """Returns the reference's final carry and outputs [b, t, n]."""
  last, outputs = reference.unroll(
    step, weights, flat(carry), inputs.swapaxes(0, 1), **options
  )
  return last, outputs.swapaxes(0, 1)


def assert_run_close(actual, wanted):
  last, outputs = actual
  assert_close(outputs, wanted[1])
  jax.tree.map(assert_close, flat(last), wanted[0])


def assert_equals_the_equations(cell, step, weights_of, **options):
  """Compares `cell`, run in every way, with the reference's `step`."""
  params, carry, vectors = randomised(cell), random_carry(cell), random_inputs()
  symbols = np.random.default_rng(5).integers(INPUTS, size=(BATCH, TIME))

  @fast_jit
  def run(params, carry, vectors, symbols):
    variables = {'params': {'cell': params}}
    ours, theirs = (
      kind(cell, return_carry=True) for kind in (Recurrence, nn.RNN)
    )
    return (
      theirs.apply(variables, vectors, initial_carry=carry),
      ours.apply(variables, vectors, initial_carry=carry),
      ours.apply(variables, symbols, initial_carry=carry),
      cell.apply({'params': params}, carry, symbols[:, 0]),
    )

  by_flax, by_vectors, by_symbols, one = run(params, carry, vectors, symbols)
  weights = weights_of(params)
  wanted = expected(step, weights, carry, vectors, **options)
  assert_run_close(by_flax, wanted)
  assert_run_close(by_vectors, wanted)
  one_hot = np.eye(INPUTS)[symbols]
  wanted = expected(step, weights, carry, one_hot, **options)
  assert_run_close(by_symbols, wanted)
  assert_close(one[1], wanted[1][:, 0])


def assert_dropout_equals_the_equations(cell, step, weights_of, **options):
  """Compares `cell` with the reference's `step` under the same masks."""
  rates = rates_of(cell)
  cell = cell.clone(**rates)
  params, carry, inputs = randomised(cell), random_carry(cell), random_inputs()
  rng = np.random.default_rng(4)
  drawn = [
    rng.random((TIME, BATCH, size)) >= rate
    for size, rate in zip((UNITS, HYPER_UNITS), rates.values(), strict=False)
  ]

  @fast_jit
  def run(params, carry, inputs, masks):
    matrices, small = cell.pack(params)
    xs = jnp.swapaxes(inputs, 0, 1) @ matrices['x']
    return unroll(cell.step, matrices, small, carry, (xs, None, masks))

  masks = [
    Drawn(mask, np.full(TIME, 1 - rate, 'f'))
    for mask, rate in zip(drawn, rates.values(), strict=True)
  ]
  masks = masks[0] if len(masks) == 1 else tuple(masks)
  last, outputs = run(params, carry, inputs, masks)
  names = ('', 'hyper_')[: len(drawn)]
  dropping = {f'{k}masks': x for k, x in zip(names, drawn, strict=True)} | {
    f'{k}keep_probability': 1 - rate
    for k, rate in zip(names, rates.values(), strict=True)
  }
  weights = weights_of(params)
  wanted = expected(step, weights, carry, inputs, **options, **dropping)
  assert_run_close((last, outputs.swapaxes(0, 1)), wanted)
  without = expected(step, weights, carry, inputs, **options)
  assert np.abs(without[1] - wanted[1]).max() > 0.01
