"""Optimizers and learning rate schedules, by the names that configs use."""

import itertools
import math

import jax
import jax.numpy as jnp
import optax

from hyper.configuration import Fields, build
from hyper.runs.numbers import NONE, Numbers, with_numbers

Number = float | jax.Array  # an array is traced, and is not checked
Optimization = tuple[optax.GradientTransformation, optax.Schedule]
NUMBERS = (  # of the sections config.schedule and config.optimizer
  'schedule.learning_rate',
  'schedule.learning_rates',
  'schedule.minimum',
  'optimizer.clip_norm',
)


def make_optimization(config: Fields, numbers: Numbers = NONE) -> Optimization:
  """Returns the optimizer and the schedule that a config describes.

  Args:
    config: has the sections `optimizer` and `schedule`.
    numbers: by config path, values that replace those of the config.

  Raises:
    ValueError: a field is unknown, missing, or has an impossible value.
  """
  schedule = make_schedule(
    with_numbers(config['schedule'], 'schedule', numbers)
  )
  fields = with_numbers(config['optimizer'], 'optimizer', numbers)
  return make_optimizer(fields, schedule), schedule


def make_schedule(fields: Fields) -> optax.Schedule:
  """Returns the learning rate as a function of the step.

  >>> make_schedule({'name': 'constant', 'learning_rate': 0.1})(1000)
  0.1
  """
  return build(SCHEDULES, 'config.schedule', fields)


def make_optimizer(
  fields: Fields, schedule: optax.Schedule
) -> optax.GradientTransformation:
  """Returns the optimizer that `name` chooses from OPTIMIZERS."""
  return build(OPTIMIZERS, 'config.optimizer', fields, schedule=schedule)


def constant(learning_rate: Number) -> optax.Schedule:
  """Returns the same learning rate at every step.

  Args:
    learning_rate: not below 0.
  """
  check_rates(learning_rate)
  return optax.constant_schedule(learning_rate)


def piecewise(
  learning_rates: tuple[Number, ...], until_steps: tuple[int, ...]
) -> optax.Schedule:
  """Returns a schedule of constant pieces.

  `learning_rates[k]` holds until step `until_steps[k]`; the last holds to the
  end.

  Args:
    learning_rates: one of each piece.
    until_steps: the step at which each piece ends.

  Raises:
    ValueError: there is no piece, a piece has no rate or no end, an end is not
      after the one before, or a rate is negative or not finite.
  """
  if len(learning_rates) != len(until_steps):
    raise ValueError(
      f'config.schedule has {len(learning_rates)} learning_rates and '
      f'{len(until_steps)} until_steps; give one of each per piece.'
    )
  if not learning_rates:
    raise ValueError(
      'config.schedule.learning_rates and until_steps are empty; give one of '
      'each per piece, at least one piece.'
    )
  if any(end <= begin for begin, end in itertools.pairwise((0, *until_steps))):
    raise ValueError(
      f'config.schedule.until_steps is {until_steps}; each piece must end '
      'after the one before.'
    )
  check_rates(*learning_rates)
  pieces = [optax.constant_schedule(rate) for rate in learning_rates]
  return optax.join_schedules(pieces, list(until_steps[:-1]))


def exponential(
  learning_rate: Number, decay: float, minimum: Number
) -> optax.Schedule:
  """Returns max(learning_rate decay^step, minimum).

  Args:
    learning_rate: at step 0.
    decay: the factor of each step, above 0 and at most 1.
    minimum: the learning rate does not fall below it.
  """
  check_rates(learning_rate, minimum)
  if not 0 < decay <= 1:
    raise ValueError(
      f'config.schedule.decay is {decay}; it must be above 0 and at most 1.'
    )
  decayed = optax.exponential_decay(learning_rate, 1, decay)
  return lambda step: jnp.maximum(decayed(step), minimum)


def adam(
  schedule: optax.Schedule,
  clip_norm: Number,
  beta1: float,
  beta2: float,
  epsilon: float,
) -> optax.GradientTransformation:
  """Returns Adam, after clipping by the global norm (0 does not clip).

  Args:
    schedule: of the learning rate.
    clip_norm: the largest norm of all gradients together; 0 does not clip.
    beta1: the decay of the mean of gradients.
    beta2: the decay of the mean of their squares.
    epsilon: is added to the root of that mean; not below 0.
  """
  check_shares(beta1=beta1, beta2=beta2)
  if not epsilon >= 0:
    raise ValueError(
      f'config.optimizer.epsilon is {epsilon}; it cannot be negative.'
    )
  return optax.chain(
    clip(clip_norm), optax.adam(schedule, beta1, beta2, epsilon)
  )


def sgd(
  schedule: optax.Schedule, clip_norm: Number, momentum: float, nesterov: bool
) -> optax.GradientTransformation:
  """Returns stochastic gradient descent with momentum, after clipping.

  Args:
    schedule: of the learning rate.
    clip_norm: the largest norm of all gradients together; 0 does not clip.
    momentum: the decay of the sum of gradients.
    nesterov: whether a step looks ahead by the momentum.
  """
  check_shares(momentum=momentum)
  return optax.chain(clip(clip_norm), optax.sgd(schedule, momentum, nesterov))


def check_rates(*rates: Number) -> None:
  """Raises a ValueError for a learning rate that is negative or not finite."""
  for rate in rates:
    if not isinstance(rate, jax.Array) and not 0 <= rate < math.inf:
      raise ValueError(
        f'config.schedule has a learning rate of {rate}; it must be finite, '
        'and not below 0.'
      )


def check_shares(**shares: float) -> None:
  """Raises a ValueError for an optimizer's decay rate outside [0, 1)."""
  for name, share in shares.items():
    if not 0 <= share < 1:
      raise ValueError(
        f'config.optimizer.{name} is {share}; it must be at least 0 and below '
        '1.'
      )


def clip(norm: Number) -> optax.GradientTransformation:
  """Returns clipping by the global norm over all parameters; 0 disables.

  Raises:
    ValueError: `norm` is below 0.
  """
  if isinstance(norm, jax.Array):
    return optax.clip_by_global_norm(norm)
  if norm < 0:
    raise ValueError(
      f'config.optimizer.clip_norm is {norm}; it cannot be below 0.'
    )
  return optax.clip_by_global_norm(norm) if norm else optax.identity()


SCHEDULES = {
  'constant': constant,
  'piecewise': piecewise,
  'exponential': exponential,
}
OPTIMIZERS = {'adam': adam, 'sgd': sgd}
