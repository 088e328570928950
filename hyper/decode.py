"""Sampling, reading and beam search, a symbol at a time: pure functions.

Shapes: b streams or sentences, t time, v vocabulary size, k hypotheses of a
sentence, s pieces of a source, n units, g gates.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from hyper.losses import tempered, to_mixture

# A model of streams: `apply(carry, inputs) -> (carry, outputs)`, inputs [b, t]
# or [b, t, i] and outputs [b, t, o].
Apply = Callable[[Any, Array], tuple[Any, Array]]
# A model of translations, for r = b k rows: from carries and pieces [r] to
# carries, logits [r, v] and attention [r, s].
Step = Callable[[Any, Array], tuple[Any, Array, Array]]

LEAST_COVERAGE = 1e-9  # of a source piece that no attention fell on


def check_finite(name: str, value: float) -> None:
  """Raises a ValueError unless a number is finite and not below 0.

  >>> check_finite('bias', -1.0)
  Traceback (most recent call last):
  ValueError: bias is -1.0; it must be finite, and not below 0.
  """
  if not 0 <= value < math.inf:
    raise ValueError(f'{name} is {value}; it must be finite, and not below 0.')


def sample_symbols(
  apply: Apply,
  carry: Any,
  prompt: Iterable[int],
  length: int,
  temperature: float,
  seed: int,
) -> Iterator[int]:
  """Draws the symbols that follow a prompt, each at the same cost.

  Symbol t + 1 is drawn from softmax(logits(t) / temperature).

  Args:
    apply: the model, with symbols [1, t] as inputs and logits as outputs.
    carry: the state of one stream before the prompt.
    prompt: at least one symbol, read first.
    length: the number of symbols drawn.
    temperature: below 1 is more cautious; 0 takes the most probable symbol.
    seed: of the draws.

  Returns:
    An iterator over the symbols, which draws them as they are asked for.

  Raises:
    ValueError: the temperature is below 0, or not finite.

  >>> following = jnp.array([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0], [9.0, 0.0, 0.0]])
  >>> apply = lambda carry, symbols: (carry, following[symbols])
  >>> list(sample_symbols(apply, (), [0], length=4, temperature=0.0, seed=0))
  [1, 2, 0, 1]
  """
  check_finite('temperature', temperature)

  @jax.jit
  def step(carry: Any, symbol: Array, key: Array) -> tuple[Any, Array]:
    carry, logits = apply(carry, symbol[None, None])
    return carry, draw(key, logits[0, 0], temperature)

  def symbols(carry: Any) -> Iterator[int]:
    key = jax.random.key(seed)
    for symbol in prompt:
      carry, drawn = step(carry, jnp.int32(symbol), key)
    for k in range(length):
      yield int(drawn)
      carry, drawn = step(carry, drawn, jax.random.fold_in(key, k + 1))

  return symbols(carry)


def draw(
  key: Array, logits: Float[Array, ' v'], temperature: float
) -> Int[Array, '']:
  """Draws a symbol from softmax(logits / temperature), int32.

  Args:
    key: of the draw.
    logits: of the symbols.
    temperature: 0 or more; at 0 and near it, the most probable is drawn.

  >>> draw(jax.random.key(0), jnp.array([1.0, 3.0, 2.0]), 1e-40).item()
  1
  """
  scaled = tempered(logits, temperature)
  return jax.random.categorical(key, scaled).astype(jnp.int32)


def read_symbols(
  apply: Apply, carry: Any, symbols: Shaped[Array, 't ...']
) -> tuple[Any, Float[Array, 't o']]:
  """Reads a text, or a line of handwriting, step by step.

  Args:
    apply: the model of one stream.
    carry: the state before the text.
    symbols: the text [t], or the steps [t, 3] of a line.

  Returns:
    The carries after each step, with time in front of every leaf, and the
    outputs of each step.

  >>> apply = lambda total, x: (total + x[:, 0], jnp.zeros((1, 1, 5)))
  >>> carries, outputs = read_symbols(apply, jnp.zeros(1, int), jnp.arange(4))
  >>> carries[:, 0].tolist(), outputs.shape
  ([0, 1, 3, 6], (4, 5))
  """

  def step(carry: Any, symbol: Array) -> Any:
    carry, outputs = apply(carry, symbol[None, None])
    return carry, (carry, outputs[0, 0])

  return jax.jit(lambda *args: jax.lax.scan(step, *args)[1])(carry, symbols)


def weight_scalings(
  model: Any, params: Any, carries: Any
) -> tuple[Float[Array, 't g n'], Float[Array, 'n gn']]:
  """Returns what a model's topmost cell scaled its weights by while it read.

  The effective weights of gate y at step t are diag(d_h^y(t)) W_h^y (eq. 12).

  Args:
    model: with `zeros` and `cells`, of which the last has `scaled_gates`.
    params: its parameters.
    carries: the carries after each step from the start on, of `read_symbols`.

  Returns:
    d_h of each gate and step, and W_h of the gates side by side, one column
    for each unit.
  """
  top = len(model.cells) - 1
  weights = params[f'cells_{top}']
  start, after = jax.tree.map(
    lambda x: x[..., 0, :], (model.zeros(1)[top], carries[top])
  )
  before = jax.tree.map(
    lambda x, y: jnp.concatenate([x[None], y[:-1]]), start, after
  )
  d_h = jax.jit(model.cells[top].scalings)(weights, before, after)
  return d_h, weights['w_h']


def sample_steps(
  apply: Apply,
  carry: Any,
  prime: Float[Array, 'b p 3'],
  length: int,
  bias: float,
  seed: int,
) -> Float[Array, 'b length 3']:
  """Draws the pen steps that follow a prime, for all lines of a batch at once.

  Args:
    apply: the model, with steps as inputs and outputs for `losses.to_mixture`.
    carry: the state before the prime.
    prime: steps read first, at least the null step that begins every line.
    length: the number of steps drawn.
    bias: 0 samples from the model's density, more is tidier; see
      `losses.to_mixture`.
    seed: of the draws.

  Raises:
    ValueError: the bias is below 0, or not finite.

  >>> apply = lambda carry, x: (carry, jnp.zeros((*x.shape[:2], 7)))
  >>> sample_steps(apply, (), jnp.zeros((2, 1, 3)), 5, 0.0, seed=0).shape
  (2, 5, 3)
  """
  check_finite('bias', bias)

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
  key: Array, outputs: Float[Array, 'b o'], bias: float
) -> Float[Array, 'b 3']:
  """Draws a pen step for each line from the mixture of its outputs.

  A component j is drawn from pi, then with a and b standard normal

    dx = mu_x + sigma_x a
    dy = mu_y + sigma_y (rho a + sqrt(1 - rho^2) b)

  and the pen bit from e (Graves, arXiv 1308.0850, section 4.1).

  Args:
    key: of the draw.
    outputs: of the network, see `losses.to_mixture`.
    bias: likewise.

  >>> draw_step(jax.random.key(0), jnp.zeros((4, 7)), bias=0.0).shape
  (4, 3)
  """
  mixture = to_mixture(outputs, bias)
  component, move, pen = jax.random.split(key, 3)
  chosen = jax.random.categorical(component, mixture.log_pi)

  def of_chosen(x: Array) -> Array:
    index = chosen.reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.take_along_axis(x, index, 1)[:, 0]

  rho_hat = of_chosen(mixture.rho_hat)
  a, b = jax.random.normal(move, (2, len(outputs)))
  # 1 / cosh(rho_hat) is sqrt(1 - rho^2).
  u = jnp.stack([a, jnp.tanh(rho_hat) * a + b / jnp.cosh(rho_hat)], -1)
  moves = of_chosen(mixture.mu) + jnp.exp(of_chosen(mixture.log_sigma)) * u
  ends = jax.random.bernoulli(pen, jax.nn.sigmoid(mixture.e_hat))
  return jnp.concatenate([moves, ends[:, None].astype(moves.dtype)], -1)


class Beam(NamedTuple):
  """The state of a beam search.

  Attributes:
    length: the number of pieces of the hypotheses.
    pieces: of the hypotheses that go on, then zeros.
    log_p: their log probabilities; -inf where there is none.
    coverage: the attention that has fallen on each source piece.
    carry: of the model, b k rows.
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
  """Returns the translations of the best score that a beam search finds.

  The score of a hypothesis Y that has ended is log P(Y) / lp(Y) + cp(Y), with

    lp(Y) = ((5 + |Y|) / 6)^length_penalty
    cp(Y) = coverage_penalty sum_j log min(1, sum_i attention_ij)

  over target pieces i and source pieces j (GNMT, arXiv 1609.08144, eq. 14). At
  each step the k most probable continuations are kept; one that ends leaves
  the beam, which so becomes smaller. The search is over when nothing in the
  beam can win. A beam of 1 is greedy search; one with room for every
  hypothesis finds the best of all.

  Args:
    step: the model, for b k rows; those of one sentence are neighbours.
    carry: of the model before the first piece, b k rows.
    source: true where a sentence has a piece.
    limits: for each sentence the most pieces, `end` among them; at the last
      one only `end` is allowed.
    longest: the largest limit there may be, and the length t of the result.
    beam_size: k.
    start: the piece before the first.
    end: the piece that ends a hypothesis.
    length_penalty: GNMT's alpha, 0 or more.
    coverage_penalty: GNMT's beta, 0 or more.

  Returns:
    The pieces, with `end` and then zeros, and the scores.

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
    # What is to come lowers log P, and at best divides by the largest penalty.
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
  """Returns lp(Y) of hypotheses of a length."""
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
  """Returns the log probabilities of all continuations of hypotheses."""
  new = jax.nn.log_softmax(logits).reshape(*log_p.shape, -1)
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
  """Takes ended hypotheses out of a beam, and keeps the best one so far."""
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
