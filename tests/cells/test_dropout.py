"""Masks of recurrent dropout."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import (
  INPUTS,
  TIME,
  fast_jit,
  flat,
  randomised,
  small,
)
from flax import linen as nn

from hyper.cells import Mask, check_rate, draw_masks, drop
from hyper.cells.dropout import draw_mask
from hyper.recurrence import Recurrence

# With w_h zero, a closed forget gate and the same input at every step, an
# element of c is zero exactly where the mask drops it.


def dropout_run(name, runner):
  options = {'layer_norm': False, 'forget_bias': -200.0, 'dropout_rate': 0.5}
  if name == 'hyperlstm':
    options |= {'hyper_dropout_rate': 0.5, 'hyper_layer_norm': False}
  cell = small(name, **options)
  params = randomised(cell)
  params['w_h'] = np.zeros_like(params['w_h'])
  inputs = np.ones((8, TIME, INPUTS), 'f')
  carry = cell.zeros((8,))

  @functools.partial(fast_jit, static_argnums=1)
  def run(key, train):
    variables = {'params': {'cell': params}}
    rngs = {'dropout': key} if train else {}
    if runner == 'recurrence':
      recurrence = Recurrence(cell, return_carry=True)
      return recurrence.apply(
        variables, inputs, initial_carry=carry, train=train, rngs=rngs
      )
    rnn = nn.RNN(
      cell.clone(train=train),
      return_carry=True,
      split_rngs={'params': False, 'dropout': True},
    )
    return rnn.apply(variables, inputs, initial_carry=carry, rngs=rngs)

  return run


@pytest.mark.parametrize('name', ['lstm', 'hyperlstm'])
@pytest.mark.parametrize('runner', ['recurrence', 'flax'])
def test_masks_are_new_at_each_step_and_call_and_only_in_training(name, runner):
  run = dropout_run(name, runner)
  key = jax.random.key(0)
  carry, outputs = run(key, True)
  dropped = np.asarray(outputs) == 0
  assert 0.3 < dropped.mean() < 0.7
  for t in range(1, TIME):
    assert np.any(dropped[:, t] != dropped[:, 0])
  assert np.any(dropped[0] != dropped[1])
  for c in flat(carry)[::2]:
    assert 0.2 < (np.asarray(c) == 0).mean() < 0.8
  np.testing.assert_array_equal(run(key, True)[1], outputs)
  other = np.asarray(run(jax.random.key(1), True)[1]) == 0
  assert np.any(other != dropped)
  assert not np.any(np.asarray(run(key, False)[1]) == 0)


def test_main_and_hyper_masks_are_drawn_apart():
  masks = Mask(64, 0.5), Mask(64, 0.5)
  main, inner = draw_masks(masks, (3, 2), lambda: jax.random.key(0))
  assert main.mask.shape == inner.mask.shape == (3, 2, 64)
  assert main.kept.shape == (3,)
  assert 0.3 < np.mean(main.mask == inner.mask) < 0.7
  half = draw_masks(
    (masks[0], Mask(64, 0.0)), (3, 2), lambda: jax.random.key(0)
  )
  np.testing.assert_array_equal(half[0].mask, main.mask)
  assert half[1] is None
  assert draw_masks(masks, (3, 2), None) == (None, None)
  off = Mask(64, 0.0)
  assert draw_masks(off, (3,), lambda: pytest.fail('no key is needed')) is None


@pytest.mark.parametrize('rate', [0.1, 0.5, 0.9])
def test_a_mask_keeps_a_share_of_one_minus_the_rate(rate):
  mask, _ = draw_mask(jax.random.key(0), rate, (64, 1001))
  assert mask.shape == (64, 1001) and mask.dtype == bool
  assert abs(mask.mean() - (1 - rate)) < 5 * (rate * (1 - rate) / 64064) ** 0.5


def test_entries_of_a_mask_are_independent():
  mask, _ = draw_mask(jax.random.key(0), 0.5, (200, 101))
  error = 5 / 20000**0.5
  for a, b in (
    (mask[:, :100:2], mask[:, 1:100:2]),  # halves of one random word
    (mask[:, 1:99:2], mask[:, 2:100:2]),
    (mask[1:], mask[:-1]),
  ):
    assert abs(np.mean(a == b) - 0.5) < error
  other, _ = draw_mask(jax.random.key(1), 0.5, (200, 101))
  assert abs(np.mean(mask == other) - 0.5) < error


def test_a_rate_of_zero_draws_no_mask():
  assert draw_mask(jax.random.key(0), 0.0, (2, 3)) is None


@pytest.mark.parametrize('rate', [0.05, 0.1, 0.15, 0.25, 0.3, 0.999])
def test_a_rate_given_as_an_array_drops_the_same(rate):
  x, key = jnp.ones((64, 1001)), jax.random.key(0)

  @jax.jit
  def run(rate):
    return drop(x, draw_mask(key, rate, x.shape))

  wanted = drop(x, draw_mask(key, rate, x.shape))
  np.testing.assert_allclose(run(jnp.float32(rate)), wanted, rtol=1e-4)
  with jax.enable_x64(True):
    found = run(jnp.float64(rate))
  assert found.dtype == jnp.float32
  np.testing.assert_array_equal(found != 0, wanted != 0)


def test_an_array_of_zero_keeps_all():
  mask, kept = draw_mask(jax.random.key(0), jnp.float32(0), (512, 512))
  assert mask.all() and kept == 1


@pytest.mark.usefixtures('unchecked')
@pytest.mark.parametrize('rate', [-0.1, 1.0, 1, float('nan'), np.float32(2)])
def test_a_rate_is_checked_if_it_is_a_number(rate):
  with pytest.raises(ValueError, match='input_rate is .* at least 0 and below'):
    check_rate('input_rate', rate)
  check_rate('input_rate', jnp.float32(rate))
