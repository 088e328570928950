"""The compiled functions of a run, which runs of one structure may share."""

import functools
import weakref
from typing import Any

import jax
from jaxtyping import Array
from ml_collections import ConfigDict

from hyper.runs import optimization, training
from hyper.runs.accumulation import make_gradient
from hyper.runs.numbers import numbers_of, structure
from hyper.runs.parallel import ALONE, Layout
from hyper.runs.task import Outcome, Task
from hyper.runs.training import TrainState


class Compiled:
  """The functions of a run that are compiled, each when it is first called.

  They hold only a weak reference to the task, so its data are freed with it.
  The caller keeps the task alive while it calls them.

  Attributes:
    init: returns the state before the first step, given a seed.
    train: the training step, see `training.make_train_step`.
    evaluate: the evaluation step, see `training.make_eval_step`.
    train_many: the training step of several runs at once, whose states,
      batches and numbers are stacked along a first axis.
    train_alike: the same for runs that share each batch.
    evaluate_many: the evaluation step of several runs on one batch.
    layout: where the run's arrays lie.

  Args:
    config: of the run.
    task: of the run.
    layout: where the run's arrays lie.
  """

  def __init__(self, config: ConfigDict, task: Task, layout: Layout = ALONE):
    optimize = functools.partial(optimization.make_optimization, config)
    differentiate = functools.partial(
      make_gradient,
      parts=config.accumulate_steps,
      mean_over=task.mean_over,
      has_streams=task.has_streams,
    )
    self.layout = layout
    self.init = training.make_init(self._init, optimize()[0], layout)
    self.train = training.make_train_step(
      *(self._loss, optimize, layout, differentiate),
      config.precision,
    )
    self.evaluate = training.make_eval_step(
      self._loss, layout, config.precision
    )
    self.train_many, self.train_alike = (
      jax.jit(jax.vmap(self.train, (0, axis, 0)), donate_argnums=0)
      for axis in (0, None)
    )
    self.evaluate_many = jax.jit(jax.vmap(self.evaluate, (0, 0, None)))
    self._called: set[Any] = set()
    self.use(task)

  def shapes(self) -> TrainState:
    """Returns the result of `init` as shapes that say where they lie."""
    return self.layout.placed(jax.eval_shape(lambda: self.init(0)))

  def is_new(self, name: str, batch: Any = ()) -> bool:
    """Returns True if the next call compiles, being the first of its shapes.

    Args:
      name: of the function.
      batch: the arrays of the next call that differ in shape from call to call.
    """
    call = name, tuple(x.shape for x in jax.tree.leaves(batch))
    is_new = call not in self._called
    self._called.add(call)
    return is_new

  def use(self, task: Task) -> None:
    """Compiles from `task` from now on; it must have the same structure."""
    self._task: Task = weakref.proxy(task)

  def _init(self, key: Array) -> tuple[Any, Any]:
    return self._task.init(key)

  def _loss(self, *args: Any) -> Outcome:
    return self._task.loss(*args)


def step_numbers(config: ConfigDict, task: Task) -> dict[str, Any]:
  """Returns the numbers that the training step of a config takes."""
  return numbers_of(config, optimization.NUMBERS) | task.numbers


class CompiledCache:
  """Keeps compiled functions for the next run of the same structure.

  Two runs have the same structure if their configs differ only in the numbers
  of the training step, the seed, `train_steps`, and how often they evaluate,
  save and log. Only one run at a time may use the functions.

  Args:
    limit: the most structures kept; the least recently used is dropped first.
  """

  def __init__(self, limit: int = 1):
    self._limit = limit
    self._kept: dict[str, Compiled] = {}

  def of(
    self, config: ConfigDict, task: Task, data: str, layout: Layout = ALONE
  ) -> Compiled:
    """Returns the functions of a config and data of the fingerprint `data`."""
    key = f'{structure(config, step_numbers(config, task))} {data}'
    compiled = self._kept.pop(key, None) or Compiled(config, task, layout)
    compiled.use(task)
    self._kept[key] = compiled
    if len(self._kept) > self._limit:
      del self._kept[next(iter(self._kept))]
    return compiled
