"""What is wrong with a run, found before it has a folder or a device."""

from typing import Any

import jax
from ml_collections import ConfigDict

from hyper.runs import optimization, parallel, training
from hyper.runs.compiled import step_numbers
from hyper.runs.task import Task


def check(config: ConfigDict) -> None:
  """Raises the ValueErrors of a config that need neither data nor devices."""
  check_numbers(config)
  training.products_in(config.precision)
  parallel.check(config)
  optimization.make_optimization(config)


def check_numbers(config: ConfigDict) -> None:
  """Raises a ValueError for a number of steps or a seed out of its range."""
  for name, least in (
    *(('train_steps', 1), ('eval_every_steps', 0), ('save_every_steps', 0)),
    *(('log_every_steps', 0), ('sample_every_steps', 0), ('seed', 0)),
  ):
    if not least <= config[name] < 2**32:
      raise ValueError(
        f'config.{name} is {config[name]}; it must be at least {least}, and '
        'below 2**32.'
      )


def trace(config: ConfigDict, task: Task) -> None:
  """Traces the initial state and the loss of the first batch.

  Nothing is computed and no JAX backend is started.

  Raises:
    ValueError: the model, the batch or the mesh does not fit.
  """
  batch = next(task.batches('train', config.seed, 0))
  numbers = step_numbers(config, task)

  def first(batch: Any, numbers: Any) -> Any:
    key = jax.random.key(0)
    params, model_state = task.init(key)
    task.loss(params, model_state, batch, key, True, numbers)
    return params

  params = jax.eval_shape(first, batch, numbers)
  parallel.check_large(params, task.large, config.mesh.model)
