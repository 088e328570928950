"""Masks of recurrent dropout (Semeniuta et al. 2016, arXiv 1603.05118)."""

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Rate = int | float | Array  # an array may be traced, and is not checked


class Mask(NamedTuple):
  """What a cell says of one mask: its last axis, and the share that is zero."""

  size: int
  rate: Rate


class Drawn(NamedTuple):
  """A mask as a step gets it: true where a value stays, and the share 1 - rate.

  The share comes with the mask, so that a traced rate is an argument of the
  loop over time and of its gradient, not a constant within them.
  """

  mask: Bool[Array, '*shape size']
  kept: Float[Array, '*outer']


def is_off(rate: Rate) -> bool:
  """True if `rate` is a Python 0, for which there is no mask at all.

  An array of 0 draws a mask, which keeps everything: whether there is dropout
  is then not part of the compiled program's structure.
  """
  return not isinstance(rate, jax.Array) and rate == 0


def check_rate(name: str, rate: Any) -> None:
  """Raises a ValueError unless `rate` is within [0, 1), or a JAX array."""
  if isinstance(rate, jax.Array):
    return
  if not isinstance(rate, Real) or not 0 <= float(rate) < 1:
    raise ValueError(f'{name} is {rate!r}; it must be at least 0 and below 1.')


def draw_masks(
  masks: Any, shape: tuple[Any, ...], rng: Callable[[], Array] | None
) -> Any:
  """Draws what `Cell.masks` describes.

  Args:
    masks: a `Mask`, a tuple of them, or None.
    shape: the axes before the last one of each mask.
    rng: returns a random key. It is called once, and only if some rate is not
      off. None draws nothing.

  Returns:
    For each `Mask` a `Drawn`, of mask [*shape, size] and kept [*shape[:-1]], or
    None where the rate is off or nothing is drawn.

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
  """Draws true with probability 1 - rate (to 1/65536); None if it is off.

  Two entries share each random word, which is most of the cost on a CPU.
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
  """Zeroes x where the mask is false and scales the rest by 1 / (1 - rate)."""
  if drawn is None:
    return x
  return jnp.where(drawn.mask, x / drawn.kept, jnp.zeros_like(x))
