"""Sampling and reading, one symbol at a time: pure functions."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Apply = Callable[[Any, Int[Array, '1 1']], tuple[Any, Float[Array, '1 1 v']]]


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
  apply: Apply, carry: Any, symbols: Int[Array, ' t']
) -> tuple[Any, Float[Array, 't v']]:
  """Reads a text: the carries after each symbol, time in front, and logits.

  Args:
    apply: `apply(carry, symbols) -> (carry, logits)` of one stream.
    carry: the state before the text.
    symbols: the text.
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
