"""A trained run, loaded from its folder for evaluation and generation."""

import os
from typing import Any

import jax
from ml_collections import ConfigDict

from hyper import configuration
from hyper.runs import optimization, training
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.training import TrainState
from hyper.tasks import make_task
from hyper.tasks.char_lm import CharLM
from hyper.tasks.classify import Classify
from hyper.tasks.translate import Translate


def load(
  config: ConfigDict, workdir: str, data_dir: str, which: str | int
) -> tuple[Any, int, TrainState]:
  """The task of a run, and the step and state of one of its checkpoints.

  Args:
    config: as saved in the run folder.
    workdir: the run folder.
    data_dir: of the data sets; read only as far as the task needs them.
    which: 'best', 'latest', or a step.

  Raises:
    ValueError: the checkpoint is damaged or not of this config, or the data
      are not as they must be.
    FileNotFoundError: there is no such checkpoint, or the data are missing.
  """
  task = make_task(config, data_dir, workdir)
  optimizer, _ = optimization.make_optimization(config)
  like = jax.eval_shape(
    lambda: training.init_state(task.init, optimizer, config.seed)
  )
  folder = os.path.join(workdir, 'checkpoints')
  step, state = Checkpoints(folder, task.selection).restore(like, which)
  return task, step, state


def load_text_model(workdir: str, which: str | int) -> tuple[CharLM, Any]:
  """The task and parameters of a run of a character model, see `load_run`."""
  task, _, state = load_run(workdir, which, 'char_lm', 'text needs char_lm')
  return task, state.params


def load_classifier(
  workdir: str, which: str | int
) -> tuple[Classify, TrainState]:
  """The task and state of a run of image classification, see `load_run`."""
  need = 'networks for images are those of classify'
  task, _, state = load_run(workdir, which, 'classify', need)
  return task, state


def load_translator(
  workdir: str, which: str | int, data_dir: str = ''
) -> tuple[Translate, Any]:
  """The task and parameters of a run of translation, see `load_run`."""
  need = 'it does not translate'
  task, _, state = load_run(workdir, which, 'translate', need, data_dir)
  return task, state.params


def load_run(
  workdir: str, which: str | int, task: str, need: str, data_dir: str = ''
) -> tuple[Any, int, TrainState]:
  """As `load`, of a run that must be of a certain task.

  Args:
    workdir: the run folder.
    which: 'best', 'latest', or a step.
    task: what the run must be of, a name of TASKS.
    need: what is said where it is of another.
    data_dir: of the data sets; most uses of a trained run need none.

  Raises:
    ValueError: the run is of another task, or its checkpoint is damaged.
    FileNotFoundError: it is no run folder, or has no such checkpoint.
  """
  config = configuration.load(workdir)
  if config.task != task:
    raise ValueError(f'{workdir} is a run of the task {config.task!r}; {need}.')
  return load(config, workdir, data_dir, which)
