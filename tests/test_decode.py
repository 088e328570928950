"""Beam search against exhaustive search, and greedy search as a beam of 1."""

import functools
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from hyper import decode
from hyper.cells import HyperLSTMCell
from hyper.decode import (
  beam_search,
  draw,
  move_sampler,
  sample_symbols,
  symbol_sampler,
  weight_scalings,
)

PIECES, END, START, SOURCE = 4, 2, 3, 3
LIMITS = np.array([4, 3])
PENALTIES = [(0.0, 0.0), (1.0, 0.0), (0.2, 1.0)]
MASK = np.array([[True, True, True], [True, True, False]])


def make_table(seed):
  """Draws logits and attention after any two pieces, for two sentences."""
  rng = np.random.default_rng(seed)
  logits = 2 * rng.normal(size=(2, PIECES, PIECES, PIECES))
  attention = rng.dirichlet(np.ones(SOURCE), size=(2, PIECES, PIECES))
  attention = attention * MASK[:, None, None]
  attention /= attention.sum(-1, keepdims=True)
  return logits.astype('f'), attention.astype('f')


@functools.cache
def searcher(beam_size, alpha, beta, longest):
  sentence = jnp.repeat(jnp.arange(2), beam_size)

  @jax.jit
  def run(logits, attention):
    def step(before, pieces):
      chosen = sentence, before, pieces
      return pieces, logits[chosen], attention[chosen]

    return beam_search(
      *(step, jnp.full(2 * beam_size, START), jnp.asarray(MASK)),
      *(jnp.asarray(LIMITS), longest, beam_size, START, END, alpha, beta),
    )

  return run


def search(table, beam_size, alpha, beta, longest=4):
  run = searcher(beam_size, alpha, beta, longest)
  pieces, scores = map(np.asarray, run(*table))
  return [
    (row[: row.tolist().index(END) + 1].tolist(), value)
    for row, value in zip(pieces, scores, strict=True)
  ]


def score(table, sentence, hypothesis, alpha, beta):
  """Returns the reference's score of a hypothesis, computed piece by piece."""
  logits, attention = table[0][sentence], table[1][sentence]
  total, looks, before, last = 0.0, [], START, START
  for piece in hypothesis:
    log_p = np.float64(logits[before, last])
    log_p = log_p - np.log(np.exp(log_p).sum())
    total += log_p[piece]
    looks.append(attention[before, last][MASK[sentence]])
    before, last = last, piece
  return reference.gnmt_score(total, np.array(looks), alpha, beta)


def hypotheses(limit):
  others = [k for k in range(PIECES) if k != END]
  for length in range(limit):
    for start in itertools.product(others, repeat=length):
      yield [*start, END]


@pytest.mark.parametrize('alpha, beta', PENALTIES)
def test_a_beam_with_room_for_all_finds_the_best_of_all(alpha, beta):
  for seed in range(3):
    table = make_table(seed)
    found = search(table, 110, alpha, beta)  # 4 * 3 ** 3 are the most
    for sentence, (pieces, value) in enumerate(found):
      scores = {
        tuple(y): score(table, sentence, y, alpha, beta)
        for y in hypotheses(LIMITS[sentence])
      }
      best = max(scores, key=scores.__getitem__)
      assert tuple(pieces) == best, (seed, sentence)
      np.testing.assert_allclose(value, scores[best], rtol=1e-5)


def test_the_penalties_change_what_is_best():
  found = {
    str([search(make_table(k), 110, *penalties)[0][0] for k in range(6)])
    for penalties in PENALTIES
  }
  assert len(found) == len(PENALTIES)


def test_a_beam_of_one_is_greedy():
  for seed in range(6):
    table = make_table(seed)
    found = search(table, 1, 0.2, 0.2)
    for sentence, (pieces, value) in enumerate(found):
      greedy, before, last = [], START, START
      while END not in greedy:
        piece = int(table[0][sentence, before, last].argmax())
        if len(greedy) == LIMITS[sentence] - 1:
          piece = END
        greedy.append(piece)
        before, last = last, piece
      assert pieces == greedy
      wanted = score(table, sentence, greedy, 0.2, 0.2)
      np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_a_longer_buffer_changes_nothing():
  table = make_table(1)
  assert search(table, 3, 0.2, 0.2) == search(table, 3, 0.2, 0.2, longest=9)


def test_scores_are_float32_whatever_the_logits():
  logits, attention = make_table(0)
  coarse = jnp.asarray(logits, jnp.bfloat16)
  fine = np.asarray(coarse.astype(jnp.float32))
  found = search((coarse, attention), 2, 0.2, 0.2)
  assert found == search((fine, attention), 2, 0.2, 0.2)


def test_an_attention_that_never_falls_on_a_piece_gives_a_finite_score():
  logits, attention = make_table(0)
  attention = np.zeros_like(attention)
  attention[..., 0] = 1
  found = search((logits, attention), 2, 0.2, 0.2)
  assert all(np.isfinite(value) for _, value in found)


@pytest.mark.parametrize('temperature', [0.5, 1.0, 2.0])
def test_the_temperature_divides_the_logits(temperature):
  logits, count = jnp.array([1.0, 0.0, -1.0, 0.5]), 20_000
  keys = jax.random.split(jax.random.key(0), count)
  drawn = jax.vmap(draw, (0, None, None))(keys, logits, temperature)
  wanted = np.exp(logits / temperature)
  wanted /= wanted.sum()
  shares = np.bincount(drawn, minlength=4) / count
  deviations = np.sqrt(wanted * (1 - wanted) / count)
  assert (np.abs(shares - wanted) < 4 * deviations).all()


def test_rare_symbols_are_drawn_in_low_precision_too():
  logits = jnp.append(jnp.zeros(1000), jnp.log(1000)).astype(jnp.bfloat16)
  keys = jax.random.split(jax.random.key(0), 4000)
  drawn = jax.vmap(draw, (0, None, None))(keys, logits, 1.0)
  assert 0.45 < np.mean(drawn == 1000) < 0.55  # its probability is a half


def test_a_line_begins_with_a_move():
  sample = move_sampler(
    lambda variables, carry, x: (carry, jnp.zeros((1, 1, 7)))
  )
  with pytest.raises(ValueError, match='the prime is empty; it needs'):
    sample((), (), jnp.zeros((1, 0, 3)), 5, 0.0, seed=0)


@pytest.mark.parametrize('temperature', [0.0, 1e-45, 1e-40, 1e-6])
def test_the_coldest_draw_is_the_most_probable(temperature):
  logits = jnp.array([1.0, -jnp.inf, 3.0, 0.5])
  found = [draw(jax.random.key(k), logits, temperature) for k in range(9)]
  assert found == [2] * 9


@pytest.mark.parametrize('temperature', [1.0, 1e38, 3e38])
def test_a_symbol_with_a_logit_of_minus_infinity_is_never_drawn(temperature):
  logits = jnp.array([1.0, -jnp.inf, 0.5])
  keys = jax.random.split(jax.random.key(0), 100)
  drawn = jax.vmap(draw, (0, None, None))(keys, logits, temperature)
  assert set(drawn.tolist()) == {0, 2}


def test_a_temperature_beyond_all_numbers_is_refused_before_the_model_runs():
  def never(carry, symbols):
    raise AssertionError('work before the error')

  for temperature in (-1.0, float('nan'), float('inf')):
    with pytest.raises(ValueError, match=f'temperature is {temperature}'):
      sample_symbols(never, None, np.array([[0]]), 1, temperature, 0)


def next_symbols(table, carry, symbols):
  """Returns logits that depend on all symbols so far, by their sum."""
  carry = carry + symbols[:, 0]
  return carry, table[carry % len(table)][:, None]


@pytest.mark.parametrize('given, length', [(1, 3), (16, 1), (17, 30), (40, 16)])
def test_symbols_are_those_drawn_one_by_one(given, length):
  rng = np.random.default_rng(given)
  table = jnp.asarray(rng.normal(size=(11, 5)).astype('f'))
  prompt = rng.integers(0, 5, (2, given), np.int32)
  apply = functools.partial(next_symbols, table)
  drawn = sample_symbols(apply, jnp.zeros(2, int), prompt, length, 0.7, 3)
  drawn, carry, wanted = [*drawn], prompt[:, :-1].sum(1), []
  symbols = prompt[:, -1]
  for k in range(length):
    carry = carry + symbols
    key = jax.random.fold_in(jax.random.key(3), given - 1 + k)
    symbols = np.asarray(draw(key, table[carry % 11], 0.7))
    wanted.append(symbols)
  np.testing.assert_array_equal(drawn, wanted)


def test_no_symbols_are_drawn_and_none_without_a_prompt():
  apply = functools.partial(next_symbols, jnp.eye(5))
  given = apply, jnp.zeros(2, int)
  assert not [*sample_symbols(*given, np.zeros((2, 40), np.int32), 0, 1.0, 0)]
  with pytest.raises(ValueError, match='the prompt is empty'):
    sample_symbols(*given, np.zeros((2, 0), np.int32), 3, 1.0, 0)


def test_other_weights_and_temperatures_compile_nothing_new():
  traced = []

  def apply(weights, carry, x):
    traced.append(x.shape)
    return carry, jnp.zeros((*x.shape[:2], 7)) + weights

  symbols, moves = symbol_sampler(apply), move_sampler(apply)
  for value in (0.0, 1.0):
    prompt = np.zeros((1, 2 + int(value)), np.int32)
    assert len([*symbols(value, (), prompt, 9, value, 0)]) == 9
    assert moves(value, (), jnp.zeros((1, 2, 3)), 4, 0.0, 0).shape == (1, 4, 3)
  assert len(traced) == 3  # text; the prime and the other moves


@pytest.mark.parametrize('hyper_state', ['new', 'old'])
def test_scalings_make_the_effective_weights(hyper_state):
  n, m, e, time = 5, 3, 2, 6
  cell = HyperLSTMCell(
    n, hyper_units=m, embedding_size=e, hyper_state=hyper_state
  )
  rng = np.random.default_rng(0)

  def random(*shape):
    return jnp.asarray(rng.normal(size=shape).astype('f'))

  weights = {'w_hh': random(m, 4 * e), 'b_hh': random(4 * e)}
  weights |= {'w_hz': random(4, e, n), 'w_h': random(n, 4 * n)}
  zeros = cell.zeros((1,))
  start = jax.tree.map(lambda x: random(*x.shape), zeros)
  carries = jax.tree.map(lambda x: random(time, *x.shape), zeros)
  model = types.SimpleNamespace(cells=[cell], zeros=lambda batch: (start,))
  d_h, w_h = weight_scalings(model, {'cells_0': weights}, (carries,))
  states = carries[1][1][:, 0]
  if hyper_state == 'old':
    states = np.concatenate([start[1][1], states[:-1]])
  np.testing.assert_array_equal(w_h, weights['w_h'])
  for t in range(time):
    for k in range(4):
      part = slice(k * e, (k + 1) * e)
      z_h = states[t] @ weights['w_hh'][:, part] + weights['b_hh'][part]
      wanted = weights['w_hz'][k].T @ z_h
      np.testing.assert_allclose(d_h[t, k], wanted, rtol=1e-4, atol=1e-5)


def test_the_older_names_of_moves_still_work():
  assert decode.sample_steps is decode.sample_moves
  assert decode.draw_step is decode.draw_move
