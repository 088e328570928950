"""The compiled functions of a run, which runs of one structure may share."""

import functools
import weakref
from typing import Any

from jaxtyping import Array
from ml_collections import ConfigDict

from hyper.runs import optimization, training
from hyper.runs.numbers import numbers_of, structure
from hyper.runs.task import Outcome, Task


class Steps:
  """The functions of a run that are compiled, each when it is first called.

  They hold no reference to the task: it must live as long as they are called,
  and its data are freed with it.

  Attributes:
    init: from a seed to the state before the first step.
    train: the training step, see `training.make_train_step`.
    evaluate: the step of evaluation, see `training.make_eval_step`.
  """

  def __init__(self, config: ConfigDict, task: Task):
    optimize = functools.partial(optimization.make_optimization, config)
    self.init = training.make_init(self._init, optimize()[0])
    self.train = training.make_train_step(self._loss, optimize)
    self.evaluate = training.make_eval_step(self._loss)
    self.use(task)

  def use(self, task: Task) -> None:
    """Reads `task` when more is compiled, in place of one of its structure."""
    self._task: Task = weakref.proxy(task)

  def _init(self, key: Array) -> tuple[Any, Any]:
    return self._task.init(key)

  def _loss(self, *args: Any) -> Outcome:
    return self._task.loss(*args)


def step_numbers(config: ConfigDict, task: Task) -> dict[str, Any]:
  """Returns the numbers that the training step of a config takes."""
  return numbers_of(config, optimization.NUMBERS) | task.numbers


class KeptSteps:
  """Keeps compiled steps for the next run of the same structure.

  Two runs share them if they differ only in the numbers of the training step,
  in the seed, and in how long they train and how often they evaluate, save and
  log. Only one run at a time may use them.

  Args:
    limit: how many structures are kept; the least recently used goes first.
  """

  def __init__(self, limit: int = 1):
    self._limit = limit
    self._kept: dict[str, Steps] = {}

  def of(self, config: ConfigDict, task: Task, data: str) -> Steps:
    """Returns the steps of a config whose data have the fingerprint `data`."""
    key = f'{structure(config, step_numbers(config, task))} {data}'
    steps = self._kept.pop(key, None) or Steps(config, task)
    steps.use(task)
    self._kept[key] = steps
    if len(self._kept) > self._limit:
      del self._kept[next(iter(self._kept))]
    return steps
