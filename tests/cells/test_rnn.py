"""RNN and HyperRNN against the equations."""

import numpy as np
import pytest
import reference
from cell_cases import (
  EMBEDDING,
  UNITS,
  assert_equals_the_equations,
  initial,
  one_step,
  random_carry,
  small,
)
from cell_weights import hyperrnn_weights, rnn_weights

from hyper.cells import HyperRNNCell


def test_an_rnn_equals_the_equations():
  assert_equals_the_equations(small('rnn'), reference.rnn_step, rnn_weights)


@pytest.mark.parametrize('state', ['new', 'old'])
@pytest.mark.parametrize('form', ['scaled', 'full'])
def test_a_hyperrnn_equals_the_equations(form, state):
  steps = {
    'scaled': reference.hyperrnn_step,
    'full': reference.hyperrnn_full_step,
  }
  assert_equals_the_equations(
    small('hyperrnn', form=form, hyper_state=state),
    *(steps[form], hyperrnn_weights),
    new_hyper_state=state == 'new',
  )


def test_initial_hyperrnn_parameters():
  params = initial(small('hyperrnn'))
  for name, value in {
    'b_hh': 1,
    'b_hx': 1,
    'w_hh': 0,
    'w_hx': 0,
    'w_bz': 0,
    'w_hz': np.float32(0.1 / EMBEDDING),
    'w_xz': np.float32(0.1 / EMBEDDING),
    'b': 0,
    'hyper_b': 0,
  }.items():
    np.testing.assert_array_equal(params[name], value)
  scaled = {'w_h': 0.1 * params['w_h'], 'w_x': 0.1 * params['w_x']}
  scaled['b'] = np.zeros(UNITS, 'f')
  carry = random_carry(small('hyperrnn'))
  _, h = one_step(small('hyperrnn'), params, carry)
  _, wanted = one_step(small('rnn'), scaled, carry[0])
  np.testing.assert_allclose(h, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize('e', [1, 4, pytest.param(32, marks=pytest.mark.slow)])
def test_initial_generated_weights_have_the_scale_of_an_orthogonal_matrix(e):
  cell = HyperRNNCell(32, hyper_units=4, embedding_size=e, form='full')
  params = initial(cell, inputs=64)
  for name, shape in (('w_hz', (32, 32)), ('w_xz', (64, 32))):
    generated = params[name].sum(0)  # all embeddings start at ones
    assert generated.shape == shape
    singular_values = np.linalg.svd(generated, compute_uv=False)
    assert abs((singular_values**2).mean() - 1) < 0.1
    if e == 1:
      np.testing.assert_allclose(singular_values, 1, rtol=1e-5)
    else:
      assert np.abs(params[name][0] - params[name][1]).max() > 0.01


def test_an_unknown_form_is_refused():
  with pytest.raises(ValueError, match="form is 'whole'.*scaled, full"):
    small('hyperrnn', form='whole')
