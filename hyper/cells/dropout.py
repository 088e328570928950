"""Masks of recurrent dropout (Semeniuta et al. 2016, arXiv 1603.05118)."""

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Rate = int | float | Array  # an array may be traced, and is not checked


class Mask(NamedTuple):
  """Describes a mask of recurrent dropout.

  Attributes:
    size: of the last axis of the mask.
    rate: the share of zeros, within [0, 1).

  >>> Mask(size=5, rate=0.1).rate
  0.1
  """

  size: int
  rate: Rate


class Drawn(NamedTuple):
  """A mask as a step of a cell receives it.

  The share comes with the mask. So a traced rate is an argument of the loop
  over time and of its gradient, not a constant within them.

  Attributes:
    mask: bool [..., b, size], true where a value is kept.
    kept: float [...], the share 1 - rate.

  >>> drawn = Drawn(jnp.array([[True, False]]), jnp.float32(0.5))
  >>> drop(jnp.ones((1, 2)), drawn)
  Array([[2., 0.]], dtype=float32)
  """

  mask: Bool[Array, '*shape size']
  kept: Float[Array, '*outer']


def is_off(rate: Rate) -> bool:
  """Returns True if `rate` is a Python 0, for which no mask is drawn.

  For an array of 0 a mask is drawn that keeps everything, so that one compiled
  program serves all rates.

  >>> is_off(0.0), is_off(jnp.array(0.0))
  (True, False)
  """
  return not isinstance(rate, jax.Array) and rate == 0


def check_rate(name: str, rate: Any) -> None:
  """Raises a ValueError unless `rate` is within [0, 1), or a JAX array.

  Args:
    name: of the field, for the message.
    rate: a number, or an array, which may be traced and is not checked.

  >>> check_rate('dropout_rate', 1)
  Traceback (most recent call last):
  ValueError: dropout_rate is 1; it must be at least 0 and below 1.
  """
  if isinstance(rate, jax.Array):
    return
  if not isinstance(rate, Real) or not 0 <= float(rate) < 1:
    raise ValueError(f'{name} is {rate!r}; it must be at least 0 and below 1.')


def draw_masks(
  masks: Any, shape: tuple[Any, ...], rng: Callable[[], Array] | None
) -> Any:
  """Draws the masks that `Cell.masks` describes.

  Args:
    masks: a `Mask`, a tuple of them, or None.
    shape: the axes of each mask before its last one.
    rng: returns a random key. It is called once, and only if a rate is not off.
      With None, nothing is drawn.

  Returns:
    For each `Mask` a `Drawn`, with mask [*shape, size] and kept [*shape[:-1]],
    or None if its rate is off or nothing is drawn.

  >>> import jax
  >>> masks = (Mask(5, 0.5), Mask(3, 0.0))
  >>> main, inner = draw_masks(masks, (2,), lambda: jax.random.key(0))
  >>> main.mask.shape, inner
  ((2, 5), None)
  """
  described, tree = jax.tree.flatten(
    masks, is_leaf=lambda x: isinstance(x, Mask)
  )
  drawn: list[Drawn | None] = [None] * len(described)
  if rng is not None and not all(is_off(mask.rate) for mask in described):
    key = rng()
    keys = jax.random.split(key, len(drawn)) if len(drawn) > 1 else [key]
    drawn = [
      draw_mask(key, mask.rate, (*shape, mask.size))
      for key, mask in zip(keys, described, strict=True)
    ]
  return jax.tree.unflatten(tree, drawn)


def draw_mask(key: Array, rate: Rate, shape: tuple[int, ...]) -> Drawn | None:
  """Draws a mask that is true with probability 1 - rate, to 1/65536.

  Two entries share each random word: drawing words is most of the cost on a
  CPU.

  Args:
    key: the random key.
    rate: the share of zeros.
    shape: of the mask.

  Returns:
    The mask, or None if `rate` is off.

  >>> draw_mask(jax.random.key(0), 0.5, (2, 3)).mask.shape
  (2, 3)
  """
  if is_off(rate):
    return None
  *front, last = shape
  words = jax.random.bits(key, (*front, -(-last // 2)), jnp.uint32)
  halves = jax.lax.bitcast_convert_type(words, jnp.uint16)
  kept = jnp.clip(jnp.round((1 - rate) * 65536), 1, 65536)
  mask = halves.reshape(*front, -1)[..., :last] <= (kept - 1).astype(jnp.uint16)
  return Drawn(mask, jnp.full(front[:-1], 1 - rate, jnp.float32))


def drop(x: Float[Array, '...'], drawn: Drawn | None) -> Float[Array, '...']:
  """Drops values of `x` and scales the rest by 1 / (1 - rate).

  Args:
    x: the values.
    drawn: a mask of the shape of `x`, or None, which drops nothing.

  >>> drop(jnp.ones(2), None)
  Array([1., 1.], dtype=float32)
  """
  if drawn is None:
    return x
  return jnp.where(drawn.mask, x / drawn.kept, jnp.zeros_like(x))
