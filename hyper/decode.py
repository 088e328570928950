"""Sampling and reading, a symbol or pen step at a time: pure functions."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from hyper.losses import to_mixture

Apply = Callable[[Any, Array], tuple[Any, Float[Array, 'b t v']]]


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
