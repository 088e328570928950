"""Training state, optimizers, schedules, and the two jitted steps.

Nothing here knows a task: a loss is a pure function
`loss(params, model_state, batch, key, train) -> (loss, (model_state, sums))`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Float, Int, UInt32

from hyper.configuration import build

Loss = Callable[..., tuple[Array, tuple[Any, dict[str, Array]]]]
Batch = Mapping[str, np.ndarray]


class TrainState(struct.PyTreeNode):
  """Everything that a step changes or reads, as arrays only.

  Attributes:
    step: the number of steps taken.
    params: the parameters.
    opt_state: the optimizer's state.
    model_state: batch statistics, or the recurrent carry of text streams.
    key: data of the random key; step s draws from fold_in(key, s).
  """

  step: Int[Array, '']
  params: Any
  opt_state: Any
  model_state: Any
  key: UInt32[Array, '...']


def init_state(
  init: Callable[[Array], tuple[Any, Any]],
  optimizer: optax.GradientTransformation,
  seed: int,
) -> TrainState:
  """The state before the first step; a function of the seed alone."""
  init_key, key = jax.random.split(jax.random.key(seed))

  @jax.jit
  def make(init_key: Array, key: Array) -> TrainState:
    params, model_state = init(init_key)
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=optimizer.init(params),
      model_state=model_state,
      key=jax.random.key_data(key),
    )

  return make(init_key, key)


def make_train_step(
  loss: Loss, optimizer: optax.GradientTransformation, schedule: optax.Schedule
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Any]]]:
  """One jitted step that donates the state it is given.

  Its second result has `loss`, `grad_norm` (before clipping),
  `learning_rate`, and the loss function's `sums`.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Any]:
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    (value, (model_state, sums)), gradient = jax.value_and_grad(
      loss, has_aux=True
    )(state.params, state.model_state, batch, key, True)
    updates, opt_state = optimizer.update(
      gradient, state.opt_state, state.params
    )
    report = {
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
    return state, report

  return jax.jit(train_step, donate_argnums=0)


def make_eval_step(
  loss: Loss,
) -> Callable[[Any, Any, Batch], tuple[Any, dict[str, Array]]]:
  """One jitted step of evaluation: the next model state, and the sums."""

  def eval_step(params: Any, model_state: Any, batch: Batch) -> Any:
    return loss(params, model_state, batch, jax.random.key(0), False)[1]

  return jax.jit(eval_step)


def evaluate(
  task: Any,
  eval_step: Callable[[Any, Any, Batch], tuple[Any, dict[str, Array]]],
  state: TrainState,
  split: str,
) -> dict[str, float]:
  """The task's means over a whole split, from sums added up in float64."""
  model_state, parts = task.eval_state(state.model_state), []
  for batch in task.batches(split, seed=0, start=0):
    model_state, sums = eval_step(state.params, model_state, batch)
    parts.append(sums)
  return task.summarize(add_sums(jax.device_get(parts)))


def add_sums(parts: list[dict[str, Any]]) -> dict[str, float]:
  """Adds up dictionaries of numbers, key by key."""
  keys = parts[0].keys() if parts else ()
  return {key: sum(float(part[key]) for part in parts) for key in keys}


def make_optimization(
  config: Any,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """The optimizer and the schedule that a config describes."""
  schedule = make_schedule(config.schedule)
  return make_optimizer(config.optimizer, schedule), schedule


def make_schedule(fields: Mapping[str, Any]) -> optax.Schedule:
  """The learning rate as a function of the step; `name` is of SCHEDULES."""
  return build(SCHEDULES, 'config.schedule', fields)


def make_optimizer(
  fields: Mapping[str, Any], schedule: optax.Schedule
) -> optax.GradientTransformation:
  """The optimizer that `name` gives of OPTIMIZERS, behind clipping."""
  return build(OPTIMIZERS, 'config.optimizer', fields, schedule=schedule)


def constant(learning_rate: float) -> optax.Schedule:
  """The same learning rate at every step."""
  check_rates(learning_rate)
  return optax.constant_schedule(learning_rate)


def piecewise(
  learning_rates: tuple[float, ...], until_steps: tuple[int, ...]
) -> optax.Schedule:
  """A learning rate until each of the steps; the last holds to the end."""
  if len(learning_rates) != len(until_steps):
    raise ValueError(
      f'config.schedule has {len(learning_rates)} learning_rates and '
      f'{len(until_steps)} until_steps; give one of each per piece.'
    )
  check_rates(*learning_rates)
  pieces = [optax.constant_schedule(rate) for rate in learning_rates]
  return optax.join_schedules(pieces, list(until_steps[:-1]))


def exponential(
  learning_rate: float, decay: float, minimum: float
) -> optax.Schedule:
  """Multiplied by `decay` at each step, down to a minimum."""
  check_rates(learning_rate, minimum)
  return optax.exponential_decay(learning_rate, 1, decay, end_value=minimum)


def adam(
  schedule: optax.Schedule,
  clip_norm: float,
  beta1: float,
  beta2: float,
  epsilon: float,
) -> optax.GradientTransformation:
  """Adam behind clipping by the global norm (0 leaves gradients as is)."""
  check_shares(beta1=beta1, beta2=beta2)
  return optax.chain(
    clip(clip_norm), optax.adam(schedule, beta1, beta2, epsilon)
  )


def sgd(
  schedule: optax.Schedule, clip_norm: float, momentum: float, nesterov: bool
) -> optax.GradientTransformation:
  """Stochastic gradient descent with momentum, behind clipping."""
  check_shares(momentum=momentum)
  return optax.chain(clip(clip_norm), optax.sgd(schedule, momentum, nesterov))


def check_rates(*rates: float) -> None:
  """Raises a ValueError where a learning rate is negative or not finite."""
  for rate in rates:
    if not 0 <= rate < math.inf:
      raise ValueError(
        f'config.schedule has a learning rate of {rate}; it must be finite, '
        'and not below 0.'
      )


def check_shares(**shares: float) -> None:
  """Raises a ValueError where what an optimizer keeps is not within [0, 1)."""
  for name, share in shares.items():
    if not 0 <= share < 1:
      raise ValueError(
        f'config.optimizer.{name} is {share}; it must be at least 0 and below '
        '1.'
      )


def clip(norm: float) -> optax.GradientTransformation:
  """Scales a gradient of a larger global norm down to this one; 0 does not.

  Raises:
    ValueError: the norm is below 0.
  """
  if norm < 0:
    raise ValueError(
      f'config.optimizer.clip_norm is {norm}; it cannot be below 0.'
    )
  return optax.clip_by_global_norm(norm) if norm else optax.identity()


def count_parameters(params: Any) -> int:
  """The number of numbers in a tree of arrays."""
  return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(params))


def all_finite(report: Mapping[str, Float[Array, '']]) -> bool:
  """Whether the step's loss and gradient were finite numbers."""
  return bool(np.isfinite([report['loss'], report['grad_norm']]).all())


SCHEDULES = {
  'constant': constant,
  'piecewise': piecewise,
  'exponential': exponential,
}
OPTIMIZERS = {'adam': adam, 'sgd': sgd}
