"""The character model against the equations, and where it drops out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from cell_weights import draw_like, hyperlstm_weights
from dropped import zero_shares

from hyper.cells import HyperLSTMCell
from hyper.models.char_lm import CharacterModel

SYMBOLS, UNITS, HYPER = 6, 5, 3


def make_model(**fields):
  cells = [
    HyperLSTMCell(UNITS, size, hyper_units=HYPER, embedding_size=2)
    for size in (SYMBOLS, None)
  ]
  return CharacterModel(cells, SYMBOLS, **fields)


def draw_params(model, batch):
  symbols = jnp.zeros((batch, 1), int)
  return draw_like(
    jax.eval_shape(model.init, jax.random.key(0), model.zeros(batch), symbols)
  )


def test_logits_equal_the_equations():
  model = make_model()
  variables = draw_params(model, 2)
  symbols = np.array([[0, 3, 5, 1], [2, 2, 4, 0]])
  _, logits = jax.jit(model.apply)(variables, model.zeros(2), symbols)
  params, x = variables['params'], np.eye(SYMBOLS)[symbols.T]
  for k in range(len(model.cells)):
    carry = tuple(np.zeros((2, n)) for n in (UNITS, UNITS, HYPER, HYPER))
    _, x = reference.unroll(
      reference.hyperlstm_step,
      hyperlstm_weights(params[f'cells_{k}']),
      carry,
      x,
      layer_norm=True,
      hyper_layer_norm=True,
    )
  wanted = x @ params['softmax']['kernel'] + params['softmax']['bias']
  np.testing.assert_allclose(
    np.swapaxes(logits, 0, 1), wanted, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize('train', [False, True])
def test_dropout_acts_on_inputs_of_cells_and_softmax(train):
  model = make_model(input_dropout_rate=0.2, output_dropout_rate=0.5)
  symbols = jax.random.randint(jax.random.key(0), (16, 100), 0, SYMBOLS)
  variables = draw_params(model, 16)
  found = zero_shares(model, variables, model.zeros(16), symbols, train)
  wanted = {'layers_0': 0.2, 'layers_1': 0.2, 'softmax': 0.5}
  assert found == pytest.approx(
    {k: rate * train for k, rate in wanted.items()}, abs=0.04
  )
