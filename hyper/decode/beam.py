"""Beam search over word pieces, all sentences of a batch at once.

Shapes: b sentences, k hypotheses of a sentence, t and s pieces of the
translation and of the source, v vocabulary size.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# A model of translations, for r = b k rows: from carries and pieces [r] to
# carries, logits [r, v] and attention [r, s].
Step = Callable[[Any, Array], tuple[Any, Array, Array]]

LEAST_COVERAGE = 1e-9  # of a source piece that no attention fell on


class Beam(NamedTuple):
  """The state of a beam search.

  Attributes:
    length: the number of pieces in every hypothesis of the beam.
    pieces: [b, k, t], the hypotheses that have not ended, padded with zeros.
    log_p: [b, k], their log probabilities in nats; -inf marks an empty place.
    coverage: [b, k, s], the attention summed over the pieces so far.
    carry: of the model, b k rows.
    best: [b, t], the best hypothesis that has ended, padded with zeros.
    score: [b], its score; -inf until one has ended.

  >>> fields = jnp.int32(0), jnp.zeros((2, 3, 9), int), jnp.zeros((2, 3))
  >>> beam = Beam(*fields, jnp.zeros((2, 3, 5)), (), jnp.zeros((2, 9)), None)
  >>> beam.pieces.shape  # 2 sentences, 3 hypotheses, up to 9 pieces
  (2, 3, 9)
  """

  length: Int[Array, '']
  pieces: Int[Array, 'b k t']
  log_p: Float[Array, 'b k']
  coverage: Float[Array, 'b k s']
  carry: Any
  best: Int[Array, 'b t']
  score: Float[Array, ' b']


def beam_search(
  step: Step,
  carry: Any,
  source: Bool[Array, 'b s'],
  limits: Int[Array, ' b'],
  longest: int,
  beam_size: int,
  start: int,
  end: int,
  length_penalty: float,
  coverage_penalty: float,
) -> tuple[Int[Array, 'b t'], Float[Array, ' b']]:
  """Returns the highest-scoring translations that a beam search finds.

  The score of a hypothesis Y that has ended is log P(Y) / lp(Y) + cp(Y), with

    lp(Y) = ((5 + |Y|) / 6)^length_penalty
    cp(Y) = coverage_penalty sum_j log min(1, sum_i attention_ij)

  over target pieces i and source pieces j (GNMT, arXiv 1609.08144, eq. 14).
  Each step keeps the k most probable continuations. A hypothesis that ends
  leaves the beam, and its place stays empty. The search stops when no
  hypothesis in the beam can still win. A beam of 1 is greedy search; a beam
  with room for every hypothesis finds the best of all.

  Args:
    step: the model: `step(carry, pieces) -> (carry, logits, attention)` for
      b k rows, in which the k rows of a sentence are neighbours.
    carry: of the model before the first piece, b k rows.
    source: bool [b, s], true where a sentence has a piece.
    limits: int [b], the most pieces of each translation, including `end`. At
      the last one only `end` is allowed.
    longest: the largest allowed limit, and the length t of the result.
    beam_size: k.
    start: the piece that the model reads first.
    end: the piece that ends a hypothesis.
    length_penalty: GNMT's alpha, at least 0.
    coverage_penalty: GNMT's beta, at least 0.

  Returns:
    `(pieces, scores)`: int [b, t], each with its `end` and padded with zeros,
    and float [b]. A sentence whose translation cannot end, because its limit
    exceeds `longest` or its logits are NaN, gets zeros and the score -inf.

  Deviation: GNMT also drops hypotheses whose score is far below the best.
  |Y| counts the end, and j the source's end; GNMT says nothing of either.

  >>> p = jnp.array([[0.1, 0.6, 0.3], [0.1, 0.1, 0.8], [0.3, 0.3, 0.3]])
  >>> def step(carry, pieces):
  ...   return carry, jnp.log(p)[pieces], jnp.ones((len(pieces), 1))
  >>> source, limits = jnp.ones((1, 1), bool), jnp.array([3])
  >>> pieces, scores = beam_search(step, (), source, limits, 3, 2, 0, 2, 0., 0.)
  >>> pieces.tolist(), f'{jnp.exp(scores[0]):.2f} = 0.6 * 0.8'
  ([[1, 2, 0]], '0.48 = 0.6 * 0.8')
  """

  def can_win(beam: Beam) -> Array:
    # More pieces lower log P; at best it is divided by the largest penalty.
    bound = beam.log_p.max(1) / _penalty(limits, length_penalty)
    return (beam.length < longest) & (bound > beam.score).any()

  def extend(beam: Beam) -> Beam:
    before = beam.pieces[:, :, beam.length - 1]
    before = jnp.where(beam.length == 0, start, before)
    carry, logits, attention = step(beam.carry, before.reshape(-1))
    length = beam.length + 1
    log_p = _continue(beam.log_p, logits, length >= limits, end)
    beam, piece = _prune(beam, carry, attention, log_p)
    covered = jnp.log(beam.coverage.clip(LEAST_COVERAGE, 1.0))
    missed = jnp.where(source[:, None], covered, 0.0).sum(-1)
    scores = beam.log_p / _penalty(length, length_penalty)
    scores = scores + coverage_penalty * missed
    return _take_out(beam, scores, piece == end)

  empty = _empty_beam(carry, source, longest, beam_size)
  beam = jax.lax.while_loop(can_win, extend, empty)
  return beam.best, beam.score


def _penalty(length: Int[Array, '*b'], exponent: float) -> Float[Array, '*b']:
  """Returns lp(Y) of hypotheses of `length` pieces."""
  return ((5.0 + length) / 6.0) ** exponent


def _empty_beam(
  carry: Any, source: Bool[Array, 'b s'], longest: int, beam_size: int
) -> Beam:
  """Returns a beam of one empty hypothesis for each sentence."""
  b, s = source.shape
  only_first = jnp.where(jnp.arange(beam_size) == 0, 0.0, -jnp.inf)
  return Beam(
    length=jnp.int32(0),
    pieces=jnp.zeros((b, beam_size, longest), jnp.int32),
    log_p=jnp.tile(only_first[None], (b, 1)),
    coverage=jnp.zeros((b, beam_size, s)),
    carry=carry,
    best=jnp.zeros((b, longest), jnp.int32),
    score=jnp.full(b, -jnp.inf),
  )


def _continue(
  log_p: Float[Array, 'b k'],
  logits: Float[Array, 'r v'],
  must_end: Bool[Array, ' b'],
  end: int,
) -> Float[Array, 'b k v']:
  """Returns the log probability of each hypothesis with each next piece."""
  new = jax.nn.log_softmax(logits.astype(jnp.float32))
  new = new.reshape(*log_p.shape, -1)
  others = (jnp.arange(new.shape[-1]) != end)[None]
  forbidden = must_end[:, None] & others
  return jnp.where(forbidden[:, None], -jnp.inf, new) + log_p[:, :, None]


def _prune(
  beam: Beam,
  carry: Any,
  attention: Float[Array, 'r s'],
  log_p: Float[Array, 'b k v'],
) -> tuple[Beam, Int[Array, 'b k']]:
  """Keeps the k most probable continuations; returns their last pieces too."""
  b, k, v = log_p.shape
  log_p, chosen = jax.lax.top_k(log_p.reshape(b, -1), k)
  parent, piece = chosen // v, chosen % v

  def inherit(x: Array) -> Array:
    index = parent.reshape(b, k, *(1,) * (x.ndim - 2))
    return jnp.take_along_axis(x, index, 1)

  def inherit_rows(x: Array) -> Array:
    return inherit(x.reshape(b, k, *x.shape[1:])).reshape(x.shape)

  kept = beam._replace(
    length=beam.length + 1,
    pieces=inherit(beam.pieces).at[:, :, beam.length].set(piece),
    log_p=log_p,
    coverage=inherit(beam.coverage + attention.reshape(beam.coverage.shape)),
    carry=jax.tree.map(inherit_rows, carry),
  )
  return kept, piece


def _take_out(
  beam: Beam, scores: Float[Array, 'b k'], has_ended: Bool[Array, 'b k']
) -> Beam:
  """Removes the hypotheses that have ended and keeps the best one so far."""
  scores = jnp.where(has_ended, scores, -jnp.inf)
  k = scores.argmax(1)[:, None]
  score = jnp.take_along_axis(scores, k, 1)[:, 0]
  found = jnp.take_along_axis(beam.pieces, k[:, :, None], 1)[:, 0]
  is_better = score > beam.score
  return beam._replace(
    log_p=jnp.where(has_ended, -jnp.inf, beam.log_p),
    best=jnp.where(is_better[:, None], found, beam.best),
    score=jnp.where(is_better, score, beam.score),
  )
