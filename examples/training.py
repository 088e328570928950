"""Parts that the examples share: Adam in one loop, a loss, and small digits."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyper.data import embedded


@functools.partial(jax.jit, static_argnums=(0, 2))
def minimise(
  loss: Callable[..., jax.Array], params: Any, steps: int, *given: Any
) -> Any:
  """Returns `params` after steps of Adam on `loss(params, key, *given)`."""
  optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, steps))

  def step(state: Any, key: jax.Array) -> Any:
    params, moments = state
    gradient = jax.grad(loss)(params, key, *given)
    updates, moments = optimizer.update(gradient, moments)
    return (optax.apply_updates(params, updates), moments), None

  keys = jax.random.split(jax.random.key(1), steps)
  return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]


def some(key: jax.Array, *arrays: Any) -> list[jax.Array]:
  """Returns the same 64 random rows of each array."""
  rows = jax.random.randint(key, (64,), 0, len(arrays[0]))
  return [jnp.asarray(x)[rows] for x in arrays]


def nats(logits: jax.Array, label: jax.Array) -> jax.Array:
  """Returns the mean cross entropy in nats."""
  return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()


def digits(
  fonts: tuple[str, ...], count: int, side: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns pixels in [0, 1], [count, side * side], and labels [count].

  Args:
    fonts: names in hyper.data.embedded.FONTS; each digit is in one of them.
    count: the number of digits.
    side: a divisor of 28.
    seed: of the draws.
  """
  drawn = embedded.draw_digits(fonts, count, np.random.default_rng(seed))
  block = 28 // side
  blocks = drawn['image'].reshape(count, side, block, side, block)
  pixels = blocks.mean((2, 4)).reshape(count, -1) / 255
  return pixels.astype(np.float32), drawn['label']
