"""The translation model against the equations, and what must not leak."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from cell_weights import draw_like, hyperlstm_weights, lstm_weights
from dropped import zero_shares

from hyper.cells import CELLS
from hyper.models.translate import Translator, start_uniformly
from hyper.runs.training import count_parameters
from hyper.tasks.translate import make_model

UNITS, PIECES, S, T = 4, 7, 5, 4
SOURCE = jnp.array([[3, 5, 2, 0, 0], [4, 1, 6, 6, 2]])
INPUTS = jnp.array([[1, 3, 3, 6], [1, 5, 2, 0]])
OPTIONS = {'lstm': {}, 'hyperlstm': {'hyper_units': 3, 'embedding_size': 2}}


def make_cell(name):
  return CELLS[name](units=UNITS, **OPTIONS[name])


def make_translator(name, **fields):
  cells = [make_cell(name) for _ in range(7)]  # three layers on each side
  return Translator(cells[:4], cells[4:], PIECES, **fields)


BOTTOM = pytest.mark.parametrize('bottom_context', [False, True])


@functools.cache
def draw_params(name, bottom_context=False):
  model = make_translator(name, bottom_context=bottom_context)
  return draw_like(jax.eval_shape(model.start, jax.random.key(0)))


@functools.cache
def applied(name, bottom_context=False):
  model = make_translator(name, bottom_context=bottom_context)

  @jax.jit
  def run(params, source, inputs):
    variables, mask = {'params': params}, source != 0
    memory = model.apply(variables, source, mask, False, method='encode')
    carries = model.zeros(len(source))
    _, logits, weights = model.apply(
      variables, carries, memory, inputs, method='decode'
    )
    return logits, weights

  return run


def reference_layer(name, params):
  if name == 'lstm':
    return reference.lstm_step, lstm_weights(params), {}
  options = {'layer_norm': True, 'hyper_layer_norm': True}
  return reference.hyperlstm_step, hyperlstm_weights(params), options


@BOTTOM
@pytest.mark.parametrize('name', list(OPTIONS))
def test_logits_and_attention_equal_the_equations(name, bottom_context):
  params = draw_params(name, bottom_context)
  logits, weights = applied(name, bottom_context)(params, SOURCE, INPUTS)
  sizes = (UNITS, UNITS) if name == 'lstm' else (UNITS, UNITS, 3, 3)
  carry = tuple(np.zeros((1, n)) for n in sizes)
  encoder = [
    reference_layer(name, params[f'encoder_cells_{k}']) for k in range(4)
  ]
  decoder = [
    reference_layer(name, params[f'decoder_cells_{k}']) for k in range(3)
  ]
  attention = {
    'W_q': params['attention_query']['kernel'].T,
    'b': params['attention_query']['bias'],
    'W_k': params['attention_key']['kernel'].T,
    'v': params['attention_score'],
  }
  for k, length in enumerate((3, 5)):
    xs = params['source_embedding']['embedding'][SOURCE[k, :length]]
    ys = params['target_embedding']['embedding'][INPUTS[k]]
    values = reference.gnmt_encode(encoder, carry, xs)
    outputs, looks = reference.gnmt_decode(
      decoder, carry, attention, values, ys, bottom_context
    )
    softmax = params['softmax']
    wanted = outputs @ softmax['kernel'] + softmax['bias']
    np.testing.assert_allclose(logits[k], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
      weights[k, :, :length], looks, rtol=1e-4, atol=1e-5
    )
    assert not np.asarray(weights[k, :, length:]).any()


@BOTTOM
def test_a_window_may_be_cut_anywhere(bottom_context):
  model = make_translator('lstm', bottom_context=bottom_context)
  params = draw_params('lstm', bottom_context)
  whole, _ = applied('lstm', bottom_context)(params, SOURCE, INPUTS)
  variables = {'params': params}
  memory = model.apply(variables, SOURCE, SOURCE != 0, False, method='encode')
  step = jax.jit(
    lambda carries, x: model.apply(
      variables, carries, memory, x, method='decode'
    )
  )
  carries = model.zeros(2)
  for t in range(T):
    carries, logits, _ = step(carries, INPUTS[:, t : t + 1])
    np.testing.assert_allclose(logits[:, 0], whole[:, t], atol=1e-5)


@BOTTOM
def test_a_piece_sees_no_later_one_and_nothing_of_the_padding(bottom_context):
  run = applied('lstm', bottom_context)
  params = draw_params('lstm', bottom_context)
  before, _ = run(params, SOURCE, INPUTS)
  later = INPUTS.at[:, 2:].set(4)
  after, _ = run(params, SOURCE, later)
  np.testing.assert_array_equal(before[:, :2], after[:, :2])
  assert np.abs(before[:, 2:] - after[:, 2:]).min(-1).max() > 0
  # The source of the first pair has three pieces; their order matters.
  turned = SOURCE.at[0, :2].set(SOURCE[0, 1::-1])
  assert np.abs(run(params, turned, INPUTS)[0][0] - before[0]).max() > 1e-3
  longer = jnp.concatenate([SOURCE, jnp.zeros((2, 3), int)], 1)
  padded, _ = run(params, longer, INPUTS)
  np.testing.assert_allclose(padded, before, atol=1e-6)


@pytest.mark.slow
@BOTTOM
def test_every_parameter_gets_gradient_with_and_without_remat(bottom_context):
  def gradient(remat):
    model = make_translator(
      'lstm', dropout_rate=0.3, remat=remat, bottom_context=bottom_context
    )

    def loss(params):
      logits = model.apply(
        {'params': params},
        *(SOURCE, SOURCE != 0, INPUTS, True),
        rngs={'dropout': jax.random.key(5)},
      )
      return jnp.square(logits).mean()

    return jax.jit(jax.grad(loss))(draw_params('lstm', bottom_context))

  plain, again = gradient(False), gradient(True)
  assert jax.tree.structure(plain) == jax.tree.structure(again)
  for (path, x), y in zip(
    jax.tree_util.tree_leaves_with_path(plain),
    jax.tree.leaves(again),
    strict=True,
  ):
    assert np.abs(x).max() > 0, path
    np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7, err_msg=str(path))


def test_dropout_is_only_in_training():
  model, params = make_translator('lstm', dropout_rate=0.5), draw_params('lstm')

  @jax.jit
  def run(key):
    return model.apply(
      {'params': params},
      *(SOURCE, SOURCE != 0, INPUTS, True),
      rngs={'dropout': key},
    )

  one, two = run(jax.random.key(0)), run(jax.random.key(1))
  without, _ = applied('lstm')(params, SOURCE, INPUTS)
  assert np.abs(one - two).max() > 0.01
  assert np.abs(one - without).max() > 0.01


@BOTTOM
@pytest.mark.parametrize('train', [False, True])
def test_dropout_acts_on_inputs_of_layers_and_softmax(train, bottom_context):
  model = make_translator(
    'lstm', dropout_rate=0.3, bottom_context=bottom_context
  )
  source, inputs = jax.random.randint(jax.random.key(0), (2, 400, 3), 1, PIECES)
  found = zero_shares(
    *(model, {'params': draw_params('lstm', bottom_context)}),
    *(source, source != 0, inputs, train),
  )
  whole = {'attention_query': 0.0, 'attention_key': 0.0}
  layers = [f'encoder_layers_{k}' for k in range(4)]
  layers += [f'decoder_layers_{k}' for k in range(3)]
  dropped = dict.fromkeys([*layers, 'softmax'], 0.3 * train)
  if bottom_context:  # which is zero before the first of three pieces
    dropped['decoder_layers_0'] = 1 / 6 + 5 / 6 * 0.3 * train
  assert found == pytest.approx(whole | dropped, abs=0.03)


@pytest.mark.parametrize(
  'name, uniform_cells', [('lstm', True), ('hyperlstm', False)]
)
@pytest.mark.slow
def test_parameters_start_uniformly_but_cells_only_on_request(
  name, uniform_cells
):
  cells = [make_cell(name) for _ in range(5)]
  model = Translator(cells[:3], cells[3:], PIECES, 0.0, 0.07, uniform_cells)
  params = jax.jit(model.start)(jax.random.key(0))
  for path, x in jax.tree_util.tree_leaves_with_path(params):
    place = jax.tree_util.keystr(path)
    if uniform_cells or '_cells_' not in place:
      assert 0 < np.abs(x).max() <= 0.07, place
      assert x.std() > 0.02, place  # 0.04 for a uniform one
  if not uniform_cells:  # they start as in appendix A.2.3
    cell = params['encoder_cells_1']
    w_h = np.asarray(cell['w_h'], np.float64)
    np.testing.assert_allclose(w_h @ w_h.T, np.eye(UNITS), atol=1e-5)
    assert (cell['w_hz'] == 0.1 / 2).all()


def test_layer_norm_keeps_its_start():
  ones = {k: jnp.ones(9) for k in ('w_h', 'b', 'gamma', 'hyper_beta_c')}
  params = {'decoder_cells_1': ones, 'softmax': {'kernel': ones['b']}}
  started = start_uniformly(jax.random.key(0), params, 0.1)
  changed = jax.tree.map(lambda x: bool((x != 1).all()), started)
  assert changed == {
    'decoder_cells_1': {
      'w_h': True,
      'b': True,
      'gamma': False,
      'hyper_beta_c': False,
    },
    'softmax': {'kernel': False},
  }


def test_too_few_layers_are_refused():
  cell = make_cell('lstm')
  with pytest.raises(ValueError, match='at least two'):
    Translator([cell], [cell, cell], PIECES)


# The estimates give the context to the bottom decoder layer as well. Its
# products with the context are n x 4 n further parameters, and n x 4 m in the
# hyper cell.
@pytest.mark.parametrize(
  'module, count, estimate, context',
  [
    ('nmt_lstm', 276_665_600, 280.9e6, 4 * 1024 * 1024),
    pytest.param(
      *('nmt_hyperlstm', 307_520_256, 312.2e6, 4 * (1024 + 128) * 1024),
      marks=pytest.mark.slow,
    ),
  ],
)
def test_parameters_at_full_size(module, count, estimate, context):
  config = importlib.import_module(f'configs.{module}').get_config()
  model = make_model(
    **config.model.to_dict(), vocabulary_size=config.data.vocabulary_size
  )
  shapes = jax.eval_shape(model.start, jax.random.key(0))
  assert count_parameters(shapes) == count
  shapes = jax.eval_shape(
    model.clone(bottom_context=True).start, jax.random.key(0)
  )
  assert count_parameters(shapes) == count + context
  assert abs(count + context - estimate) < 0.05e6
