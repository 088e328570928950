"""What holds for every model: symbolic shapes, float32, rates as arrays.

Models are exported with jax.export's shape checks on.
"""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from hyper.cells import CELLS
from hyper.models.char_lm import CharacterModel
from hyper.models.classify import MnistConvnet, Perceptron, WideResNet
from hyper.models.handwriting import HandwritingModel
from hyper.models.translate import Translator
from hyper.recurrence import Recurrence

UNITS, SYMBOLS = 4, 7
SIZES = {'hyper_units': 3, 'embedding_size': 2}


def make_cell(name, **options):
  fields = CELLS[name].__dataclass_fields__
  options = {k: x for k, x in (SIZES | options).items() if k in fields}
  return CELLS[name](UNITS, **options)


def character(rate=0.0, recurrent=0.0):
  cells = [
    make_cell('hyperlstm', input_size=size, dropout_rate=recurrent)
    for size in (SYMBOLS, None)
  ]
  return CharacterModel(cells, SYMBOLS, rate, rate)


def handwriting(rate=0.0, recurrent=0.0):
  cells = [make_cell('lstm', dropout_rate=recurrent) for _ in range(2)]
  return HandwritingModel(cells, 2, rate)


def translator(rate=0.0, recurrent=0.0, **fields):
  cells = [make_cell('lstm', dropout_rate=recurrent) for _ in range(5)]
  return Translator(cells[:3], cells[3:], SYMBOLS, rate, **fields)


def draw_symbols(*shape):
  rng = np.random.default_rng(1)
  return jnp.asarray(rng.integers(1, SYMBOLS, shape).astype('i4'))


def draw(*shape):
  return jnp.asarray(np.random.default_rng(1).normal(size=shape), 'f')


def read_text(model):
  """Returns a function from a batch and a time to the arguments of `model`."""
  return lambda b, t: (model.zeros(b), draw_symbols(b, t))


def read_pairs(b, t):
  del t
  source = draw_symbols(b, 5)
  return source, source > 1, draw_symbols(b, 3)


def read_images(channels):
  return lambda b, t: (draw(b, 8, 8, channels),)


# A model; its arguments for a batch and a time; whether time is symbolic, too.
CASES = {
  'character': (character(), read_text(character()), True),
  'handwriting': (
    handwriting(),
    lambda b, t: (handwriting().zeros(b), draw(b, t, 3)),
    True,
  ),
  'translator': (translator(), read_pairs, False),
  'translator-context': (translator(bottom_context=True), read_pairs, False),
  'convnet': (MnistConvnet(), read_images(1), False),
  'perceptron': (Perceptron(5), read_images(1), False),
  'resnet': (WideResNet(1, 1), read_images(3), False),
} | {
  f'recurrence-{name}': (
    Recurrence(make_cell(name), return_carry=True, reverse=True),
    lambda b, t: (draw(b, t, 3),),
    True,
  )
  for name in CELLS
}


@functools.cache
def variables_of(case):
  model, arguments, _ = CASES[case]
  shapes = jax.eval_shape(model.init, jax.random.key(0), *arguments(1, 1))
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: 0.3 * np.abs(rng.normal(size=x.shape)).astype('f'), shapes
  )


@pytest.mark.usefixtures('unchecked')
@pytest.mark.parametrize(
  'case',
  [
    pytest.param(name, marks=[pytest.mark.slow] * ('translator' in name))
    for name in CASES
  ],
)
def test_it_is_exported_with_a_symbolic_batch(case):
  model, arguments, has_time = CASES[case]
  b, t = jax.export.symbolic_shape('b, t')
  sizes = (11, 13)  # stand for b and t in the shapes of arguments
  symbolic = dict(zip(sizes, (b, t), strict=True))
  specs = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      [symbolic.get(size, size) for size in x.shape], x.dtype
    ),
    arguments(sizes[0], sizes[1] if has_time else 3),
  )
  variables = variables_of(case)
  apply = jax.jit(lambda *arguments: model.apply(variables, *arguments))
  exported = jax.export.export(apply)(*specs)
  for batch, time in ((2, 4), (3, 1)):
    given = arguments(batch, time if has_time else 3)
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
      exported.call(*given),
      apply(*given),
    )


@pytest.mark.parametrize('case', CASES)
def test_it_is_float32_whatever_the_default(case):
  model, arguments, _ = CASES[case]
  with jax.enable_x64(True):
    given = arguments(2, 4)
    kinds = {
      x.dtype.name
      for x in jax.tree.leaves(
        jax.eval_shape(model.init_with_output, jax.random.key(0), *given)
      )
    }
  assert kinds == {'float32'}


DROPPING = {
  'character': character,
  'handwriting': handwriting,
  'translator': translator,
  'translator-remat': functools.partial(translator, remat=True),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', DROPPING)
def test_rates_may_be_arguments_of_the_compiled_program(name):
  make, case = DROPPING[name], name.partition('-')[0]
  _, arguments, _ = CASES[case]
  given = jax.tree.map(jnp.asarray, arguments(3, 4))

  def loss(variables, rates):
    result = make(*rates).apply(
      variables, *given, train=True, rngs={'dropout': jax.random.key(5)}
    )
    return sum(jnp.square(x).sum() for x in jax.tree.leaves(result))

  gradient = jax.value_and_grad(loss)
  wanted = jax.jit(lambda x: gradient(x, (0.3, 0.2)))(variables_of(case))
  found = jax.jit(gradient)(variables_of(case), jnp.array([0.3, 0.2]))
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
    found,
    wanted,
  )
  other, _ = jax.jit(gradient)(variables_of(case), jnp.array([0.5, 0.2]))
  assert abs(other - wanted[0]) > 1e-3
