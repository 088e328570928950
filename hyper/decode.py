"""Sampling, reading and beam search, a symbol at a time: pure functions."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from hyper.losses import to_mixture

Apply = Callable[[Any, Array], tuple[Any, Float[Array, 'b t v']]]
# From carries and pieces [r] to carries, logits [r, v] and attention [r, s].
Step = Callable[[Any, Int[Array, ' r']], tuple[Any, Array, Array]]

LEAST_COVERAGE = 1e-9  # of a source piece that no attention fell on


def sample_symbols(
  apply: Apply,
  carry: Any,
  prompt: Iterable[int],
  length: int,
  temperature: float,
  seed: int,
) -> Iterator[int]:
  """Symbols that follow a prompt, each at the same cost.

  Args:
    apply: `apply(carry, symbols) -> (carry, logits)` of one stream.
    carry: the state before the prompt.
    prompt: at least one symbol, read first.
    length: how many symbols are drawn.
    temperature: divides the logits; 0 takes the most probable symbol.
    seed: of the draws.
  """

  @jax.jit
  def step(carry: Any, symbol: Array, key: Array) -> tuple[Any, Array]:
    carry, logits = apply(carry, symbol[None, None])
    return carry, draw(key, logits[0, 0], temperature)

  key = jax.random.key(seed)
  for symbol in prompt:
    carry, drawn = step(carry, jnp.int32(symbol), key)
  for k in range(length):
    yield int(drawn)
    carry, drawn = step(carry, drawn, jax.random.fold_in(key, k + 1))


def read_symbols(
  apply: Apply, carry: Any, symbols: Shaped[Array, 't ...']
) -> tuple[Any, Float[Array, 't v']]:
  """Reads a text: the carries after each symbol, time in front, and logits.

  Args:
    apply: `apply(carry, symbols) -> (carry, logits)` of one stream.
    carry: the state before the text.
    symbols: the text [t], or the steps [t, 3] of a line of handwriting.
  """

  def step(carry: Any, symbol: Array) -> Any:
    carry, logits = apply(carry, symbol[None, None])
    return carry, (carry, logits[0, 0])

  return jax.jit(lambda *args: jax.lax.scan(step, *args)[1])(carry, symbols)


def draw(key: Array, logits: Float[Array, ' v'], temperature: float) -> Array:
  """One symbol of softmax(logits / temperature), int32."""
  if temperature == 0:
    return logits.argmax(-1).astype(jnp.int32)
  return jax.random.categorical(key, logits / temperature).astype(jnp.int32)


def sample_steps(
  apply: Apply,
  carry: Any,
  prime: Float[Array, 'b p 3'],
  length: int,
  bias: float,
  seed: int,
) -> Float[Array, 'b length 3']:
  """Pen steps that follow a prime, drawn for all lines of a batch at once.

  Args:
    apply: `apply(carry, steps) -> (carry, outputs)`, steps [b, t, 3].
    carry: the state before the prime.
    prime: steps read first, at least the null step that begins every line.
    length: how many steps are drawn.
    bias: 0 samples from the model's density, more is tidier; see
      `losses.to_mixture`.
    seed: of the draws.
  """

  @jax.jit
  def run(carry: Any, prime: Array) -> Array:
    carry, outputs = apply(carry, prime)

    def body(state: Any, key: Array) -> tuple[Any, Array]:
      carry, outputs = state
      step = draw_step(key, outputs, bias)
      carry, outputs = apply(carry, step[:, None])
      return (carry, outputs[:, -1]), step

    keys = jax.random.split(jax.random.key(seed), length)
    _, steps = jax.lax.scan(body, (carry, outputs[:, -1]), keys)
    return jnp.swapaxes(steps, 0, 1)

  return run(carry, prime)


def draw_step(
  key: Array, outputs: Float[Array, 'b k'], bias: float
) -> Float[Array, 'b 3']:
  """A pen step of each line from the mixture of its outputs, [b, 3]."""
  mixture = to_mixture(outputs, bias)
  which, move, pen = jax.random.split(key, 3)
  chosen = jax.random.categorical(which, mixture.log_pi)

  def of_chosen(x: Array) -> Array:
    index = chosen.reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.take_along_axis(x, index, 1)[:, 0]

  rho_hat = of_chosen(mixture.rho_hat)
  a, b = jax.random.normal(move, (2, len(outputs)))
  # b / cosh is the part of y that x does not share: cosh^-2 = 1 - rho^2.
  u = jnp.stack([a, jnp.tanh(rho_hat) * a + b / jnp.cosh(rho_hat)], -1)
  moves = of_chosen(mixture.mu) + jnp.exp(of_chosen(mixture.log_sigma)) * u
  ends = jax.random.bernoulli(pen, jax.nn.sigmoid(mixture.e_hat))
  return jnp.concatenate([moves, ends[:, None].astype(moves.dtype)], -1)


class Beam(NamedTuple):
  """The state of a beam search: b sentences, k hypotheses of each.

  Attributes:
    length: of the hypotheses.
    pieces: of the hypotheses that go on, then zeros.
    log_p: their log probabilities; -inf where there is none.
    coverage: the attention that has fallen on each source piece.
    carry: of the model, b * k rows.
    best: the best hypothesis that has ended, then zeros.
    score: its score.
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
  """The translations of the best score that a beam search finds (GNMT, 7).

  The score of a hypothesis Y that has ended is log P(Y) / lp(Y) + cp(Y), with

    lp(Y) = ((5 + |Y|) / 6) ** length_penalty
    cp(Y) = coverage_penalty * sum_j log min(1, sum_i attention_ij)

  over target pieces i and source pieces j. At each step the k most probable
  continuations are kept; one that ends leaves the beam, which so becomes
  smaller. It is over when nothing in the beam can win any more. A beam of 1 is
  greedy search; one with room for every hypothesis finds the best of all.

  Args:
    step: the model, for b * k rows; those of one sentence are neighbours.
    carry: of the model before the first piece, b * k rows.
    source: true where a sentence has a piece.
    limits: for each sentence the most pieces, `end` among them; at the last
      one only `end` is allowed.
    longest: the largest limit there may be.
    beam_size: k.
    start: the piece before the first.
    end: the piece that ends a hypothesis.
    length_penalty: GNMT's alpha, 0 or more.
    coverage_penalty: GNMT's beta, 0 or more.

  Returns:
    The pieces, with `end` and then zeros, and the scores.

  Deviation: GNMT also drops hypotheses whose score is far below the best.
  |Y| counts the end, and j the source's end; GNMT says nothing of either.
  """
  b, s = source.shape

  def penalty(length: Array) -> Array:
    return ((5.0 + length) / 6.0) ** length_penalty

  def can_win(beam: Beam) -> Array:
    # What is to come lowers log P, and at best divides by the largest penalty.
    bound = beam.log_p.max(1) / penalty(limits)
    return (beam.length < longest) & (bound > beam.score).any()

  def extend(beam: Beam) -> Beam:
    t = beam.length
    before = jnp.where(t == 0, start, beam.pieces[:, :, t - 1])
    carry, logits, attention = step(beam.carry, before.reshape(-1))
    log_p = jax.nn.log_softmax(logits).reshape(b, beam_size, -1)
    v = log_p.shape[-1]
    must_end = (t + 1 >= limits)[:, None] & (jnp.arange(v) != end)[None]
    log_p = jnp.where(must_end[:, None], -jnp.inf, log_p)
    log_p = log_p + beam.log_p[:, :, None]
    log_p, chosen = jax.lax.top_k(log_p.reshape(b, -1), beam_size)
    parent, piece = chosen // v, chosen % v

    def inherit(x: Array) -> Array:
      rows = x.reshape(b, beam_size, *x.shape[1:])
      index = parent.reshape(b, beam_size, *(1,) * (x.ndim - 1))
      return jnp.take_along_axis(rows, index, 1).reshape(x.shape)

    coverage = beam.coverage + attention.reshape(beam.coverage.shape)
    coverage = jnp.take_along_axis(coverage, parent[:, :, None], 1)
    pieces = jnp.take_along_axis(beam.pieces, parent[:, :, None], 1)
    pieces = pieces.at[:, :, t].set(piece)

    covered = jnp.log(coverage.clip(LEAST_COVERAGE, 1.0))
    missed = jnp.where(source[:, None], covered, 0.0).sum(-1)
    scores = log_p / penalty(t + 1) + coverage_penalty * missed
    scores = jnp.where(piece == end, scores, -jnp.inf)
    k = scores.argmax(1)[:, None]
    score = jnp.take_along_axis(scores, k, 1)[:, 0]
    is_better = score > beam.score
    new = jnp.take_along_axis(pieces, k[:, :, None], 1)[:, 0]
    return Beam(
      length=t + 1,
      pieces=pieces,
      log_p=jnp.where(piece == end, -jnp.inf, log_p),
      coverage=coverage,
      carry=jax.tree.map(inherit, carry),
      best=jnp.where(is_better[:, None], new, beam.best),
      score=jnp.where(is_better, score, beam.score),
    )

  only_first = jnp.where(jnp.arange(beam_size) == 0, 0.0, -jnp.inf)
  beam = jax.lax.while_loop(
    can_win,
    extend,
    Beam(
      length=jnp.int32(0),
      pieces=jnp.zeros((b, beam_size, longest), jnp.int32),
      log_p=jnp.tile(only_first[None], (b, 1)),
      coverage=jnp.zeros((b, beam_size, s)),
      carry=carry,
      best=jnp.zeros((b, longest), jnp.int32),
      score=jnp.full(b, -jnp.inf),
    ),
  )
  return beam.best, beam.score
