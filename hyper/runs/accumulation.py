"""The gradient of a batch that is processed in parts, one after another.

Memory holds the activations of one part at a time.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hyper.runs.numbers import Numbers
from hyper.runs.task import Outcome

Loss = Callable[..., Outcome]
# (params, model_state, batch, key, numbers) -> (outcome, gradient)
Gradient = Callable[[Any, Any, Any, jax.Array, Numbers], tuple[Outcome, Any]]


def make_gradient(
  loss: Loss,
  parts: int = 1,
  mean_over: str = 'count',
  has_streams: bool = False,
) -> Gradient:
  """Returns the function that gives a batch's loss and its gradient.

  The loss is a mean over sums[mean_over] items, so that of the batch is

    loss = sum_k n_k loss_k / sum_k n_k,  n_k = sums_k[mean_over]

  over the parts k, and its gradient is the same mean. Both equal those of the
  whole batch, except for rounding, and for dropout, whose masks are drawn for
  each part.

  Args:
    loss: of a task.
    parts: the number of parts; 1 takes the whole batch at once. If it does not
      divide the rows of a batch, the next larger number that does is used.
    mean_over: see `Task`.
    has_streams: see `Task`.

  The function raises a ValueError if the model state does not belong to rows,
  since batch statistics of a part are not those of the batch.
  """
  differentiate = jax.value_and_grad(loss, has_aux=True)

  def whole(
    params: Any, model_state: Any, batch: Any, key: jax.Array, numbers: Numbers
  ) -> tuple[Outcome, Any]:
    return differentiate(params, model_state, batch, key, True, numbers)

  def in_parts(
    params: Any, model_state: Any, batch: Any, key: jax.Array, numbers: Numbers
  ) -> tuple[Outcome, Any]:
    check_rows(model_state, has_streams, parts)
    count = parts_of(len(jax.tree.leaves(batch)[0]), parts)

    def add(total: Any, now: Any) -> tuple[Any, Any]:
      k, part, state = now
      (value, (state, sums)), gradient = whole(
        params, state, part, jax.random.fold_in(key, k), numbers
      )
      n = sums[mean_over].astype(jnp.float32)
      total = jax.tree.map(
        lambda so_far, x: so_far + n * x, total, (value, gradient)
      )
      return total, (state, sums)

    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    pieces = jnp.arange(count), cut(batch, count), cut(model_state, count)
    total, (states, sums) = jax.lax.scan(add, zeros, pieces)
    sums = jax.tree.map(lambda x: x.sum(0), sums)
    n = jnp.maximum(sums[mean_over], 1)
    value, gradient = jax.tree.map(lambda x: x / n, total)
    return (value, (join(states), sums)), gradient

  return whole if parts == 1 else in_parts


def check_rows(model_state: Any, has_streams: bool, parts: int) -> None:
  """Raises a ValueError if the model state does not belong to rows."""
  if jax.tree.leaves(model_state) and not has_streams:
    raise ValueError(
      f'config.accumulate_steps is {parts}, and the network has statistics '
      'of whole batches (batch norm); it must be 1.'
    )


def parts_of(rows: int, parts: int) -> int:
  """Returns the least divisor of `rows` that is at least `parts`.

  >>> parts_of(128, 4), parts_of(85, 4), parts_of(2, 4)
  (4, 5, 2)
  """
  larger = (n for n in range(parts, rows) if rows % n == 0)
  return next(larger, rows)


def cut(tree: Any, parts: int) -> Any:
  """Cuts arrays [rows, ...] into [parts, rows / parts, ...].

  Part k has the rows k, k + parts, ..., so that each device keeps its own.
  """
  return jax.tree.map(
    lambda x: jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1), tree
  )


def join(tree: Any) -> Any:
  """Undoes `cut`."""
  return jax.tree.map(
    lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), tree
  )
