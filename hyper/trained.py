"""A trained run: load it, score it, use its model.

  from hyper import trained

  run = trained.load('runs/ptb_hyper')
  print(trained.score(run, 'validation'))
  carry, logits = run.task.reader(run.params)(run.task.model.zeros(1), symbols)

`hyper.generate` has what draws text, handwriting and translations from a run.
"""

import dataclasses
import os
import tempfile
from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from hyper import configuration, weights
from hyper.runs import folder, training
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.task import Task
from hyper.tasks import make_task

T = TypeVar('T', bound=Task)


class OfModel(Protocol):
  """A task that trains its `model` as it is."""

  model: nn.Module


@runtime_checkable
class OfMain(Protocol):
  """A task whose network `main` may have generated parameters.

  Attributes:
    main: the network, which knows of no hypernetwork.
    hypernetwork: what generates some of its parameters, or None.
  """

  main: nn.Module
  hypernetwork: nn.Module | None

  def main_params(self, params: Any) -> Any:
    """Returns the parameters of `main`, generated ones included."""


@dataclasses.dataclass(frozen=True)
class Run(Generic[T]):
  """A checkpoint of a run, with what is needed to use it.

  Attributes:
    workdir: the run folder.
    config: as saved there, with the changes asked for.
    task: the run's task. Annotate a run with the class of its task where you
      use more than a `Task` has, as in `run: Run[CharLM] = load(workdir)`.
    step: the number of steps that the checkpoint was trained.
    params: the parameters.
    model_state: the state that a model needs beside them, such as batch
      statistics; empty if its evaluation begins without one.
  """

  workdir: str
  config: ConfigDict
  task: T
  step: int
  params: Any
  model_state: Any


def load(
  workdir: str,
  which: str | int = 'best',
  data_dir: str = 'data',
  task: str = '',
  changes: Iterable[str] = (),
) -> Run[Any]:
  """Loads a checkpoint of a run: parameters, and model state where it matters.

  The optimizer's state, the random key and the carries of training streams are
  left where they are, so a run can be read with another batch size, optimizer
  or random number generator than it was trained with.

  Args:
    workdir: the run folder.
    which: 'best', 'latest', or a step.
    data_dir: of the data sets, read only as far as the task needs them.
    task: the task that the run must be of, a name of `hyper.tasks.TASKS`; empty
      for any.
    changes: fields of the saved config to replace, each FIELD=VALUE.

  Raises:
    FileNotFoundError: `workdir` is no run folder, there is no such checkpoint,
      or the data are missing.
    ValueError: the run is of another task, a file of it is damaged or of a
      newer format, or a change does not fit.
  """
  config = configuration.change(folder.load_config(workdir), changes)
  if task and config.task != task:
    raise ValueError(
      f'{workdir} is a run of the task {config.task!r}; a run of {task!r} is '
      'needed.'
    )
  made = make_task(config, data_dir, workdir)
  params, model_state = jax.eval_shape(made.init, jax.random.key(0))
  like = {'params': params}
  if _takes_over(made, model_state):
    like['model_state'] = model_state
  checkpoints = Checkpoints(
    os.path.join(workdir, folder.CHECKPOINTS), made.selection
  )
  step, found = checkpoints.restore(like, which)
  return Run(
    *(
      workdir,
      config,
      made,
      step,
      found['params'],
      found.get('model_state', {}),
    )
  )


def score(run: Run[T], split: str = 'test') -> dict[str, float]:
  """Returns the means of a run's task over a whole split, such as its bpc.

  Args:
    run: as loaded.
    split: 'train', 'validation', or 'test'.

  Raises:
    FileNotFoundError: the data are missing.
    ValueError: the data do not fit the run.
  """
  eval_step = training.make_eval_step(run.task.loss)
  return training.evaluate(run.task, eval_step, run, split)


def network(run: Run[Any], baked: bool = False) -> tuple[nn.Module, Any]:
  """Returns a run's module and its variables, ready for `apply`.

  Args:
    run: as loaded.
    baked: of an image classifier, the plain network with its kernels generated,
      instead of the hypernetwork.

  Raises:
    ValueError: `baked`, and the network is no image classifier.
  """
  task = run.task
  if baked and not isinstance(task, OfMain):
    raise ValueError(
      f'{run.workdir} is a run of the task {run.config.task!r}; only the '
      'kernels of image classifiers are generated once and for all.'
    )
  variables = _variables(task, run.params, run.model_state, baked)
  return _module(task, baked), variables


def load_network(path: str) -> tuple[nn.Module, Any]:
  """Returns module and variables of a file that `hyper.export` wrote.

  `weights.load_text(path)` has what else is in the file, such as a vocabulary.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is damaged, or not one of `hyper.export`.
  """
  text = weights.load_text(path)
  if 'config' not in text:
    raise ValueError(
      f'{path} does not say of which network it is; load it with '
      'hyper.weights.load, or write it again with python -m hyper.export.'
    )
  config = configuration.from_json(text['config'])
  baked = text['baked'] == 'true'
  with tempfile.TemporaryDirectory() as workdir:
    for name in {*folder.KEPT} & {*text}:
      folder.save(workdir, name, text[name])
    folder.save_config(workdir, config)
    task: Any = make_task(config, '', workdir)  # of one of the two kinds
  shapes = jax.eval_shape(task.init, jax.random.key(0))
  like = jax.eval_shape(
    lambda params, state: _variables(task, params, state, baked), *shapes
  )
  return _module(task, baked), weights.load(path, like)


def _module(task: OfModel | OfMain, baked: bool) -> nn.Module:
  """Returns the module that a task trains, or the one that it bakes."""
  if not isinstance(task, OfMain):
    return task.model
  return task.main if baked else task.hypernetwork or task.main


def _variables(
  task: OfModel | OfMain, params: Any, model_state: Any, baked: bool
) -> Any:
  """Returns the variables of `_module`."""
  if not isinstance(task, OfMain):
    return {'params': params}
  if baked or task.hypernetwork is None:
    return {'params': task.main_params(params)} | model_state
  state = {name: {'network': x} for name, x in model_state.items()}
  return {'params': params} | state


def _takes_over(task: Task, model_state: Any) -> bool:
  """Returns whether an evaluation begins with what training left as state.

  Args:
    task: of the run.
    model_state: shapes only. Those that `eval_state` returns are training's; a
      state of its own it returns as arrays.
  """
  kept = jax.tree.leaves(task.eval_state(model_state))
  return any(isinstance(x, jax.ShapeDtypeStruct) for x in kept)
