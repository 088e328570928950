"""One network for each example of a batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

Dimension = Any  # an int or, in an export, a symbol
# The name of the examples' axis in a call with a network for each of them.
EXAMPLES = 'examples'


def call_each(
  network: nn.Module,
  call: Callable[..., Any],
  condition: Any,
  count: Dimension,
  in_axes: Any,
  args: tuple[Any, ...],
  kwargs: dict[str, Any],
) -> Any:
  """Calls one network for each example, with batches of one.

  Args:
    network: a bound hypernetwork.
    call: `call(network, condition, args, kwargs)` for one example.
    condition: a tree of arrays whose first axis is that of the examples.
    count: the number of examples.
    in_axes: which of `args` are split, see `HyperNetwork.__call__`.
    args: positional arguments of the main network.
    kwargs: keyword arguments of the main network.

  Returns:
    The outputs of `call`, with the examples as the first axis. A first axis of
    1, that of the batch of one, is dropped before.

  Raises:
    ValueError: sizes or axes do not fit, or a collection that the main network
      updates differs between the examples.

  >>> class Scale(nn.Module):
  ...   @nn.compact
  ...   def __call__(self, x, factors):
  ...     multiply = lambda network, factor, args, kwargs: factor * args[0]
  ...     return call_each(self, multiply, factors, 2, 0, (x,), {})
  >>> Scale().apply({}, jnp.array([1.0, 1.0]), jnp.array([2.0, 3.0]))
  Array([2., 3.], dtype=float32)
  """
  leaves, structure = jax.tree.flatten((args, kwargs))
  split = _are_split(in_axes, args, kwargs)
  arrays = {k: x for k, x in enumerate(leaves) if split[k]}
  _check_counts(arrays.values(), count)

  def call_one(network: nn.Module, condition: Any, arrays: Any) -> Any:
    one = [arrays[k][None] if k in arrays else x for k, x in enumerate(leaves)]
    y = call(network, condition, *jax.tree.unflatten(structure, one))
    return jax.tree.map(_without_batch, y) if arrays else y

  try:
    return nn.vmap(
      call_one,
      variable_axes={'intermediates': 0, True: None},
      split_rngs={'params': False, True: True},
      axis_name=EXAMPLES,
    )(network, condition, arrays)
  except ValueError as error:
    if 'out_axes' not in str(error):
      raise
    raise ValueError(
      'with a network for each example, a collection that the main network '
      'updates must come out the same for all; batch norm does so with '
      f'axis_name={EXAMPLES!r}.'
    ) from error


def _without_batch(y: Any) -> Any:
  """Returns `y` without its first axis if that has one entry."""
  return y[0] if jnp.shape(y)[:1] == (1,) else y


def first_example(
  in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
  """Returns the arguments of the first example, as a batch of one.

  Args:
    in_axes: which of `args` are split, see `HyperNetwork.__call__`.
    args: positional arguments of the main network.
    kwargs: keyword arguments of the main network.

  Raises:
    ValueError: as for `call_each`.

  >>> args, _ = first_example((0, None), (jnp.ones((5, 3)), jnp.ones(4)), {})
  >>> [x.shape for x in args]
  [(1, 3), (4,)]
  """
  leaves, structure = jax.tree.flatten((args, kwargs))
  split = _are_split(in_axes, args, kwargs)
  pairs = zip(leaves, split, strict=True)
  return jax.tree.unflatten(structure, [x[:1] if s else x for x, s in pairs])


def _are_split(
  in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[bool]:
  """Returns for each leaf of the arguments whether the examples split it.

  Raises:
    ValueError: `in_axes` has an entry that is neither 0 nor None, or another
      number of entries than `args`.
  """
  if isinstance(in_axes, list | tuple) and len(in_axes) != len(args):
    raise ValueError(
      f'in_axes is {in_axes}, but there are {len(args)} positional arguments; '
      'give one entry for each.'
    )
  split: list[bool] = []

  def extend(axis: Any, part: Any) -> None:
    if axis not in (0, None):
      raise ValueError(
        f'in_axes has {axis}; an entry is 0 (split) or None (common).'
      )
    split.extend(
      axis == 0 and bool(getattr(x, 'shape', ())) for x in jax.tree.leaves(part)
    )

  prefix = tuple(in_axes) if isinstance(in_axes, list) else in_axes
  jax.tree.map(extend, prefix, args, is_leaf=lambda axis: axis is None)
  extend(0, kwargs)
  return split


def count_examples(condition: Any) -> Dimension:
  """Returns the size of the first axis of all arrays in `condition`.

  Raises:
    ValueError: `condition` has no arrays, or an array without axes or of
      another size.

  >>> count_examples({'index': jnp.arange(5), 'z': jnp.ones((5, 2))})
  5
  """
  shapes = [jnp.shape(x) for x in jax.tree.leaves(condition)]
  if not shapes or not all(shapes):
    raise ValueError(
      f'in_axes is given, but condition has arrays of shapes {shapes}; each '
      'needs the examples as its first axis.'
    )
  _check_counts(jax.tree.leaves(condition), shapes[0][0])
  return shapes[0][0]


def _check_counts(arrays: Any, count: Dimension) -> None:
  """Raises a ValueError unless the first axis of all arrays is `count`."""
  for x in arrays:
    if x.shape[0] != count:
      raise ValueError(
        f'there are conditions for {count} examples, but an array has the '
        f'shape {x.shape}; the first axis of all that is split must be that of '
        'the examples. Give None in in_axes for an argument common to all.'
      )
