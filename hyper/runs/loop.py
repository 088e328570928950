"""The training loop, the same function for every caller.

The loop's order is: evaluate if due, save if due, draw a batch, step, log the
step before.
"""

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from hyper import configuration, recipes
from hyper.runs import lock, provenance, training
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.log import Interruption, Log, Trace, is_due
from hyper.runs.training import TrainState

ROOT = str(pathlib.Path(__file__).parents[2])  # of the code
MakeTask = Callable[[ConfigDict, str, str], Any]


def train(
  make_task: MakeTask,
  config: ConfigDict,
  workdir: str,
  data_dir: str,
  profile: bool = False,
) -> int:
  """Trains until the last step or a signal, and returns the exit status.

  A signal (SIGTERM, Ctrl-C) saves and ends the loop; the status is then 128
  plus its number.

  Args:
    make_task: called as `make_task(config, data_dir, workdir)`.
    config: of the run, locked.
    workdir: the run folder; a run that it holds is resumed.
    data_dir: of the data sets.
    profile: leave a trace of a few steps in the run folder.

  Raises:
    ValueError: the config does not fit, or is not that of the run in workdir,
      or another process trains there.
    FileNotFoundError: data are missing.
    OSError: the folder cannot be written.
    FloatingPointError: a step's loss or gradient was not finite.
  """
  check_numbers(config)
  configuration.check_run(config, workdir)
  with lock.hold(workdir):
    return run(make_task, config, workdir, data_dir, profile)


def check_numbers(config: ConfigDict) -> None:
  """Raises a ValueError where a number of steps or the seed cannot be."""
  for name, least in (
    *(('train_steps', 1), ('eval_every_steps', 0), ('save_every_steps', 0)),
    *(('log_every_steps', 0), ('seed', 0)),
  ):
    if not least <= config[name] < 2**32:
      raise ValueError(
        f'config.{name} is {config[name]}; it must be at least {least}, and '
        'below 2**32.'
      )


def run(
  make_task: MakeTask,
  config: ConfigDict,
  workdir: str,
  data_dir: str,
  profile: bool,
) -> int:
  """As `train`, in a folder that no other process trains in."""
  optimizer, schedule = training.make_optimization(config)
  task = make_task(config, data_dir, workdir)
  train_step = training.make_train_step(task.loss, optimizer, schedule)
  eval_step = training.make_eval_step(task.loss)

  folder = os.path.join(workdir, 'checkpoints')
  with (
    Interruption() as interruption,
    Checkpoints(folder, task.selection) as checkpoints,
  ):
    state = training.init_state(task.init, optimizer, config.seed)
    if checkpoints.steps:
      _, state = checkpoints.resume(state)
    start = int(state.step)
    if start > config.train_steps:
      raise ValueError(
        f'{workdir} has {start} steps already, and config.train_steps is '
        f'{config.train_steps}.'
      )
    if start == config.train_steps and checkpoints.score(start) is not None:
      logging.info('%s has all its %d steps.', workdir, start)
      return 0
    data = task.fingerprint()
    announce(config, task, state)
    with (
      claimed(config, workdir, start, data, checkpoints),
      Log(config, workdir, task, start, checkpoints) as log,
      Trace(workdir if profile else '', start, config.train_steps) as trace,
    ):
      batches = task.batches('train', config.seed, start)
      for step in range(start, config.train_steps + 1):
        is_last = step == config.train_steps
        values = None
        if is_due(step, config.eval_every_steps, start) or is_last:
          log.flush()
          began = time.monotonic()
          values = training.evaluate(task, eval_step, state, 'validation')
          log.evaluation(step, values, time.monotonic() - began)
        stop = is_last or interruption.number
        if values or stop or is_due(step, config.save_every_steps, start):
          log.flush()
          checkpoints.save(step, state, values)
        if stop:
          break
        trace.before(step, state)
        state, report = train_step(state, next(batches))
        log.step(step + 1, report)
  if is_last:
    logging.info('Done. python evaluate.py --workdir=%s', workdir)
    return 0
  logging.info('Interrupted at step %d; the same command goes on.', step)
  return 128 + interruption.number


@contextlib.contextmanager
def claimed(
  config: ConfigDict,
  workdir: str,
  step: int,
  data: str,
  checkpoints: Checkpoints,
) -> Iterator[None]:
  """Makes a folder that of a run, whose config and starts it has.

  A new run leaves the folder free if it fails before its first checkpoint: what
  made it fail may well be the config.

  Raises:
    ValueError: a run that goes on was begun with other training data.
  """
  is_new = not configuration.is_run(workdir) and not checkpoints.steps
  if is_new:
    provenance.forget_starts(workdir)
  else:
    provenance.check_data(workdir, data)
  configuration.save(config, workdir)
  provenance.note_start(workdir, step, ROOT, data)
  try:
    yield
  except Exception:
    if is_new:
      checkpoints.wait()
      if not checkpoints.steps:
        configuration.forget(workdir)
    raise


def announce(config: ConfigDict, task: Any, state: TrainState) -> None:
  """Says what is about to be trained, where, and towards which figure."""
  for line in (
    *task.describe(),
    f'{training.count_parameters(state.params):,} parameters',
    provenance.devices(),
    f'steps {int(state.step):,} to {config.train_steps:,}, '
    f'batch {config.data.batch_size}',
    recipes.describe(config),
  ):
    logging.info('%s', line)
