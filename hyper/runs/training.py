"""The training state, and the compiled functions that change and score it.

The argument `loss` is that of a `hyper.runs.task.Task`. The values in
`numbers`, by their path in the config, are arguments of the compiled step; see
`hyper.runs.numbers`.
"""

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Bool

from hyper.runs.accumulation import Gradient, make_gradient
from hyper.runs.numbers import NONE, Numbers
from hyper.runs.optimization import Optimization
from hyper.runs.parallel import ALONE, Layout
from hyper.runs.task import Outcome, Sums, Task

Loss = Callable[..., Outcome]
Metrics = dict[str, Any]  # arrays, and in `sums` a dict of them
# By config.precision, JAX's name for the precision of float32 products. With
# 'bfloat16', factors are rounded and sums are float32; a CPU ignores that. For
# JAX the name is of products of matrices only; models see to convolutions.
PRECISIONS = {'float32': 'float32', 'bfloat16': 'BF16_BF16_F32'}


def products_in(precision: str) -> contextlib.AbstractContextManager[Any]:
  """Returns the context in which products have a precision.

  Args:
    precision: 'default' is that of the device, or of JAX's own settings; others
      are names of PRECISIONS.

  Raises:
    ValueError: there is no such precision.
  """
  if precision == 'default':
    return contextlib.nullcontext()
  if precision not in PRECISIONS:
    raise ValueError(
      f'config.precision is {precision!r}; allowed: default, '
      f'{", ".join(PRECISIONS)}.'
    )
  return jax.default_matmul_precision(PRECISIONS[precision])


class TrainState(struct.PyTreeNode):
  """Everything that a step changes or reads, as arrays only.

  The fields are annotated Any, since JAX also builds states of shardings and
  shapes.

  Attributes:
    step: int32 [], the number of steps taken.
    params: the parameters.
    opt_state: the optimizer's state.
    model_state: batch statistics, or the recurrent carry of text streams.
    key: uint32, data of the random key; step s draws from fold_in(key, s).
  """

  step: Any
  params: Any
  opt_state: Any
  model_state: Any
  key: Any


def make_init(
  init: Callable[[Array], tuple[Any, Any]],
  optimizer: optax.GradientTransformation,
  layout: Layout = ALONE,
) -> Callable[[int], TrainState]:
  """Returns a function that maps a seed to the state before the first step."""

  @jax.jit
  def make(seed: Array) -> TrainState:
    init_key, key = jax.random.split(jax.random.key(seed))
    params, model_state = init(init_key)
    state = TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=optimizer.init(params),
      model_state=model_state,
      key=jax.random.key_data(key),
    )
    return layout.state(state)

  return lambda seed: make(np.uint32(seed))


def make_train_step(
  loss: Loss,
  optimization: Callable[[Numbers], Optimization],
  layout: Layout = ALONE,
  differentiate: Callable[[Loss], Gradient] = make_gradient,
  precision: str = 'default',
) -> Callable[[TrainState, Any, Numbers], tuple[TrainState, Metrics]]:
  """Returns the compiled step `(state, batch, numbers) -> (state, metrics)`.

  The step donates the buffers of the state that it is given. Its metrics are
  `loss`, `grad_norm` (before clipping), `learning_rate`, and the loss
  function's `sums`.

  Args:
    loss: of a task.
    optimization: maps the numbers to the optimizer and its schedule.
    layout: where the arrays lie.
    differentiate: see `accumulation.make_gradient`.
    precision: of products, see `PRECISIONS`.
  """

  def whole(params: Any, *rest: Any) -> Outcome:
    return loss(layout.whole(params), *rest)

  gradient_of = differentiate(whole)

  def train_step(
    state: TrainState, batch: Any, numbers: Numbers
  ) -> tuple[TrainState, Metrics]:
    optimizer, schedule = optimization(numbers)
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    with products_in(precision):
      (value, (model_state, sums)), gradient = gradient_of(
        state.params, state.model_state, batch, key, numbers
      )
    updates, opt_state = optimizer.update(
      gradient, state.opt_state, state.params
    )
    metrics = {
      'loss': value,
      'grad_norm': optax.tree.norm(gradient),
      'learning_rate': jnp.asarray(schedule(state.step)),
      'sums': sums,
    }
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      opt_state=opt_state,
      model_state=model_state,
    )
    return layout.state(state), metrics

  return jax.jit(train_step, donate_argnums=0)


EvalStep = Callable[[Any, Any, Any], tuple[Any, Sums]]


def make_eval_step(
  loss: Loss, layout: Layout = ALONE, precision: str = 'default'
) -> EvalStep:
  """Returns the compiled step of evaluation.

  It maps `(params, model_state, batch)` to the next model state and the sums.
  """

  def eval_step(params: Any, model_state: Any, batch: Any) -> tuple[Any, Sums]:
    key = jax.random.key(0)
    params = layout.whole(params)
    with products_in(precision):
      outcome = loss(params, model_state, batch, key, False, NONE)
    model_state, sums = outcome[1]
    return layout.carried(model_state), sums

  return jax.jit(eval_step)


def evaluate(
  task: Task,
  eval_step: EvalStep,
  state: Any,
  split: str,
  layout: Layout = ALONE,
  watch: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> dict[str, float]:
  """Returns the task's scores of a whole split.

  The sums are added up in float64. Those of a batch are read while the next is
  computed, so the device is one batch ahead of what `watch` shows.

  Args:
    task: the one whose loss `eval_step` computes.
    eval_step: see `make_eval_step`.
    state: only its `params` and `model_state` are read.
    split: of the task's data.
    layout: where the arrays lie.
    watch: yields the batches that it is given, and shows how far they are.
  """
  model_state = layout.begun(task.eval_state(state.model_state))
  batches = watch(task.batches(split, seed=0, start=0, once=True))
  placed = map(layout.place, batches)
  parts = sums_of(eval_step, state.params, model_state, placed)
  return task.summarize(add_sums(parts))


def sums_of(
  eval_step: EvalStep, params: Any, model_state: Any, batches: Iterable[Any]
) -> list[dict[str, Any]]:
  """Returns the sums of each batch of an evaluation, as host numbers."""
  parts: list[Any] = []
  for batch in batches:
    model_state, sums = eval_step(params, model_state, batch)
    parts[-1:] = [*jax.device_get(parts[-1:]), sums]
  return jax.device_get(parts)


def add_sums(parts: list[dict[str, Any]]) -> dict[str, float]:
  """Adds up dictionaries of numbers, key by key.

  >>> add_sums([{'nats': 1.5, 'count': 2}, {'nats': 0.5, 'count': 1}])
  {'nats': 2.0, 'count': 3.0}
  """
  keys = parts[0].keys() if parts else ()
  return {key: sum(float(part[key]) for part in parts) for key in keys}


def count_parameters(params: Any) -> int:
  """Returns the number of elements in a tree of arrays.

  >>> count_parameters({'kernel': np.zeros((2, 3)), 'bias': np.zeros(3)})
  9
  """
  return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(params))


def all_finite(values: Iterable[SupportsFloat]) -> bool:
  """Returns True if all values are finite numbers."""
  return all(math.isfinite(value) for value in values)


@jax.jit
def is_finite(state: TrainState) -> Bool[Array, '']:
  """Returns whether a state and the norm of its parameters are finite.

  The norm excludes parameters such as 3e38, which are finite themselves but
  overflow in the next product.
  """
  numbers = [
    x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)
  ]
  checks = [jnp.isfinite(x).all() for x in numbers]
  checks.append(jnp.isfinite(optax.tree.norm(state.params)))
  return jnp.stack(checks).all()
