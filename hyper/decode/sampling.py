"""Draws symbols and moves of a pen from a model, and reads them one at a time.

Shapes: b streams or lines, t time, v vocabulary size, o outputs, n units, g
gates.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Shaped

from hyper.losses import tempered, to_mixture

# A model of streams: `apply(carry, inputs) -> (carry, outputs)`, inputs [b, t]
# or [b, t, i] and outputs [b, t, o].
Apply = Callable[[Any, Array], tuple[Any, Array]]
ApplyModule = Callable[
  [Any, Any, Array], tuple[Any, Array]
]  # of parameters too

BLOCK_STEPS = 32  # of text, between two times that the host reads symbols
DRAWN = -1  # instead of a symbol to read: the one that was drawn last


def check_finite(name: str, value: float) -> None:
  """Raises a ValueError unless `value` is finite and not below 0.

  Args:
    name: of the number, for the message.
    value: the number.

  >>> check_finite('bias', -1.0)
  Traceback (most recent call last):
  ValueError: bias is -1.0; it must be finite, and not below 0.
  """
  if not 0 <= value < math.inf:
    raise ValueError(f'{name} is {value}; it must be finite, and not below 0.')


def sample_symbols(
  apply: Apply,
  carry: Any,
  prompt: Int[np.ndarray, 'b p'],
  length: int,
  temperature: float,
  seed: int,
) -> Iterator[Int[np.ndarray, ' b']]:
  """Draws the `length` symbols that follow prompts, each at the same cost.

  Symbol t + 1 is drawn from softmax(logits(t) / temperature). Each call
  compiles `apply`; a `symbol_sampler` compiles once.

  Args:
    apply: the model, `(carry, symbols [b, t]) -> (carry, logits [b, t, v])`.
    carry: the state of b streams before the prompts.
    prompt: [b, p], at least one symbol for each stream, which the model reads
      first.
    length: the number of symbols to draw for each stream.
    temperature: at least 0. Lower values favour probable symbols; 0 always
      takes the most probable one.
    seed: of the draws.

  Returns:
    An iterator over symbols [b], the next one of each stream. It draws
    BLOCK_STEPS of them at once.

  Raises:
    ValueError: `temperature` is below 0, or not finite, or the prompt is empty.

  >>> following = jnp.array([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0], [9.0, 0.0, 0.0]])
  >>> apply = lambda carry, symbols: (carry, following[symbols])
  >>> drawn = sample_symbols(apply, (), np.array([[0], [1]]), 4, 0.0, seed=0)
  >>> np.stack([*drawn], 1).tolist()
  [[1, 2, 0, 1], [2, 0, 1, 2]]
  """
  sample = symbol_sampler(_without_variables(apply))
  return sample((), carry, prompt, length, temperature, seed)


def symbol_sampler(
  apply: ApplyModule,
) -> Callable[..., Iterator[Int[np.ndarray, ' b']]]:
  """Returns `sample_symbols` of a model, compiled for any parameters.

  Args:
    apply: the model, `(variables, carry, symbols) -> (carry, logits)`.

  Returns:
    `sample(variables, carry, prompt, length, temperature, seed)`. All but the
    first argument are those of `sample_symbols`.

  >>> apply = lambda variables, carry, symbols: (carry, variables[symbols])
  >>> sample = symbol_sampler(apply)
  >>> following = jnp.array([[0.0, 9.0], [9.0, 0.0]])
  >>> prompt = np.array([[0]])
  >>> [x.item() for x in sample(following, (), prompt, 3, 0.0, seed=0)]
  [1, 0, 1]
  """

  @jax.jit
  def draw_block(
    variables: Any,
    state: Any,
    start: Array,
    read: Array,
    key: Array,
    heat: Array,
  ) -> Any:
    def step(state: Any, entry: Any) -> Any:
      (carry, symbols), (number, given) = state, entry
      symbols = jnp.where(given == DRAWN, symbols, given)
      carry, logits = apply(variables, carry, symbols[:, None])
      after = draw(jax.random.fold_in(key, number), logits[:, 0], heat)
      return (carry, after), after

    return jax.lax.scan(step, state, (start + jnp.arange(len(read)), read))

  def sample(
    variables: Any,
    carry: Any,
    prompt: Int[np.ndarray, 'b p'],
    length: int,
    temperature: float,
    seed: int,
  ) -> Iterator[Int[np.ndarray, ' b']]:
    check_finite('temperature', temperature)
    _check_begun('prompt', prompt.shape[1])
    key = jax.random.key(seed)

    def draw(state: Any, start: int, read: np.ndarray) -> Any:
      return draw_block(variables, state, start, read, key, temperature)

    return _in_blocks(draw, carry, prompt, length)

  return sample


def _check_begun(name: str, steps: int) -> None:
  """Raises a ValueError unless a prompt or prime has at least one step."""
  if not steps:
    raise ValueError(f'the {name} is empty; it needs at least one step.')


def _in_blocks(
  draw: Callable[[Any, int, Int[np.ndarray, 't b']], Any],
  carry: Any,
  prompt: Int[np.ndarray, 'b p'],
  length: int,
) -> Iterator[Int[np.ndarray, ' b']]:
  """Yields the symbols [b] that follow the prompts, step by step.

  Args:
    draw: `(state, start, read) -> (state, drawn)` takes BLOCK_STEPS steps from
      the step `start` on; the state is the carry and the symbols drawn last.
    carry: the state of b streams before the prompts.
    prompt: what the streams read first.
    length: the number of symbols of each stream.
  """
  if not length:
    return
  streams, given = prompt.shape
  steps = given + length - 1  # of the model; the last symbol is not read
  blocks = -(-steps // BLOCK_STEPS)
  read = np.full((blocks * BLOCK_STEPS, streams), DRAWN, np.int32)
  read[:given] = prompt.T
  state = carry, jnp.asarray(read[0])
  for start in range(0, steps, BLOCK_STEPS):
    state, drawn = draw(state, start, read[start : start + BLOCK_STEPS])
    yield from np.asarray(drawn)[max(given - 1 - start, 0) : steps - start]


def _without_variables(apply: Apply) -> ApplyModule:
  """Returns `apply` with a further argument, which it does not use."""
  return lambda variables, carry, inputs: apply(carry, inputs)


def draw(
  key: Array, logits: Float[Array, '*n v'], temperature: ArrayLike
) -> Int[Array, '*n']:
  """Draws symbols from softmax(logits / temperature).

  Args:
    key: the random key.
    logits: [*n, v], of any floating type.
    temperature: at least 0; at 0, or close to it, the most probable symbol is
      drawn.

  Returns:
    int32 [*n].

  >>> draw(jax.random.key(0), jnp.array([1.0, 3.0, 2.0]), 1e-40).item()
  1
  """
  # In bfloat16 random numbers would be so coarse that rare symbols never win.
  scaled = tempered(logits.astype(jnp.float32), temperature)
  return jax.random.categorical(key, scaled).astype(jnp.int32)


def read_symbols(
  apply: Apply, carry: Any, symbols: Shaped[Array, 't ...']
) -> tuple[Any, Float[Array, 't o']]:
  """Reads `symbols`, a text or a line of handwriting, step by step.

  Args:
    apply: the model, called with one stream and one step at a time.
    carry: the state before the text.
    symbols: a text [t], or the moves of the pen [t, 3] of a line.

  Returns:
    `(carries, outputs)`: the carry after each step, with time as the first axis
    of every leaf, and the outputs [t, o].

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
  """Returns the scalings d_h of a model's top cell at each step, and its W_h.

  The effective weights of gate y at step t are diag(d_h^y(t)) W_h^y (eq. 12).

  Args:
    model: has `zeros` and `cells`; the last cell has `scaled_gates`.
    params: the parameters of `model`.
    carries: the carry after each step, from zeros on, as `read_symbols` returns
      them.

  Returns:
    `(d_h, w_h)`: d_h [t, g, n] of each step and gate, and W_h [n, g n] with the
    gates side by side and one column for each unit.

  >>> from types import SimpleNamespace
  >>> from hyper.cells import HyperRNNCell
  >>> cell, x = HyperRNNCell(units=8, hyper_units=4), jnp.ones((1, 3))
  >>> weights = cell.init(jax.random.key(0), cell.zeros((1,)), x)['params']
  >>> model = SimpleNamespace(cells=[cell], zeros=lambda b: [cell.zeros((b,))])
  >>> carries = [cell.zeros((5, 1))]  # after each of five steps
  >>> d_h, w_h = weight_scalings(model, {'cells_0': weights}, carries)
  >>> d_h.shape, w_h.shape  # one gate
  ((5, 1, 8), (8, 8))
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


def sample_moves(
  apply: Apply,
  carry: Any,
  prime: Float[Array, 'b p 3'],
  length: int,
  bias: float,
  seed: int,
) -> Float[Array, 'b length 3']:
  """Draws the `length` moves of a pen that follow a prime, for some lines.

  Each call compiles `apply`; a `move_sampler` compiles once.

  Args:
    apply: the model, from moves to outputs for `losses.to_mixture`.
    carry: the state before the prime.
    prime: [b, p, 3], the moves that the model reads first, at least the null
      move that begins every line.
    length: the number of moves to draw.
    bias: 0 samples from the model's density; larger values give tidier lines,
      see `losses.to_mixture`.
    seed: of the draws.

  Returns:
    The moves [b, length, 3]: dx, dy in the unit of the prime, and 1 where a
    stroke ends.

  Raises:
    ValueError: `bias` is below 0, or not finite, or the prime is empty.

  >>> apply = lambda carry, x: (carry, jnp.zeros((*x.shape[:2], 7)))
  >>> sample_moves(apply, (), jnp.zeros((2, 1, 3)), 5, 0.0, seed=0).shape
  (2, 5, 3)
  """
  sample = move_sampler(_without_variables(apply))
  return sample((), carry, prime, length, bias, seed)


def move_sampler(apply: ApplyModule) -> Callable[..., Float[Array, 'b t 3']]:
  """Returns `sample_moves` of a model, compiled for any variables.

  Args:
    apply: the model, `(variables, carry, moves) -> (carry, outputs)`.

  Returns:
    `sample(variables, carry, prime, length, bias, seed)`. All but the first
    argument are those of `sample_moves`.

  >>> apply = lambda scale, carry, x: (carry, scale * jnp.ones((2, 1, 7)))
  >>> sample = move_sampler(apply)
  >>> sample(0.5, (), jnp.zeros((2, 1, 3)), 5, 0.0, seed=0).shape
  (2, 5, 3)
  """

  @functools.partial(jax.jit, static_argnames='bias')
  def run(
    variables: Any, carry: Any, prime: Array, keys: Array, bias: float
  ) -> Array:
    carry, outputs = apply(variables, carry, prime)

    def step(state: Any, key: Array) -> tuple[Any, Array]:
      carry, outputs = state
      move = draw_move(key, outputs, bias)
      carry, outputs = apply(variables, carry, move[:, None])
      return (carry, outputs[:, -1]), move

    _, moves = jax.lax.scan(step, (carry, outputs[:, -1]), keys)
    return jnp.swapaxes(moves, 0, 1)

  def sample(
    variables: Any,
    carry: Any,
    prime: Float[Array, 'b p 3'],
    length: int,
    bias: float,
    seed: int,
  ) -> Float[Array, 'b t 3']:
    check_finite('bias', bias)
    _check_begun('prime', prime.shape[1])
    keys = jax.random.split(jax.random.key(seed), length)
    return run(variables, carry, prime, keys, bias=bias)

  return sample


def draw_move(
  key: Array, outputs: Float[Array, 'b o'], bias: float
) -> Float[Array, 'b 3']:
  """Draws a move of the pen for each line from the mixture in `outputs`.

  A component j is drawn from pi. With standard normal a and b, then

    dx = mu_x + sigma_x a
    dy = mu_y + sigma_y (rho a + sqrt(1 - rho^2) b)

  and the pen bit is drawn from e (Graves, arXiv 1308.0850, section 4.1).

  Args:
    key: the random key.
    outputs: [b, o] of the network, see `losses.to_mixture`.
    bias: at least 0, see `losses.to_mixture`.

  Returns:
    [b, 3]: dx, dy, and 1 if the move ends a stroke, else 0.

  >>> draw_move(jax.random.key(0), jnp.zeros((4, 7)), bias=0.0).shape
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
