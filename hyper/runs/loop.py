"""The training loop, the same function for every caller.

The loop's order is: evaluate if due, copy the state if a save is due, draw a
batch, step, save the copy, log the step before. So a state is saved only once
the loss and the gradient of the next step are known to be finite, and the last
state once its scores are.
"""

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from hyper import files
from hyper.configuration import flatten
from hyper.paper import recipes
from hyper.runs import (
  closing,
  folder,
  lock,
  optimization,
  origin,
  parallel,
  processes,
  provenance,
  training,
)
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.checkpoint_arrays import copy_to_host
from hyper.runs.compiled import Compiled, CompiledCache, step_numbers
from hyper.runs.log import Interruption, Log, Trace, is_due
from hyper.runs.origin import Origin
from hyper.runs.parallel import Layout
from hyper.runs.task import MakeTask, Task
from hyper.runs.training import TrainState

Observe = Callable[[int, dict[str, float]], bool]  # step, scores


def train(
  make_task: MakeTask,
  config: ConfigDict,
  workdir: str,
  data_dir: str,
  profile: bool = False,
  kept: CompiledCache | None = None,
  begin_from: Origin | None = None,
) -> int:
  """Trains until the last step or a signal, and returns the exit status.

  A signal (SIGTERM, Ctrl-C) saves and ends the loop; the status is then 128
  plus its number. Outside the main thread signals are left alone.

  Args:
    make_task: called as `make_task(config, data_dir, workdir)`.
    config: of the run, locked.
    workdir: the run folder; a run that it holds is resumed.
    data_dir: of the data sets.
    profile: whether to write a profiler trace of a few steps to the run folder.
    kept: compiled functions of earlier runs in this process. The run uses them
      if it has the same structure; otherwise it adds its own.
    begin_from: where a new run takes parameters from; None draws them all. A
      run that is resumed does not read it.

  Raises:
    ValueError: the config or `begin_from` does not fit, or workdir has a run
      of another config, or another process trains there.
    FileNotFoundError: data are missing.
    OSError: the folder cannot be written.
    FloatingPointError: a step's loss or gradient, the state after it, or a
      score was not finite.
  """
  processes.together(lambda: check(config, workdir, data_dir))
  with processes.on_first(lambda: lock.hold(workdir)):
    processes.check_shared(workdir)
    return run(
      *(make_task, config, workdir, data_dir, profile),
      kept or CompiledCache(),
      begin_from=begin_from,
    )


def check(config: ConfigDict, workdir: str, data_dir: str) -> None:
  """Raises the ValueErrors of `train` that need no data."""
  files.check_path('--data_dir', data_dir)
  folder.check_run(workdir, config)
  check_numbers(config)


def check_numbers(config: ConfigDict) -> None:
  """Raises a ValueError for a number of steps or a seed out of its range."""
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
  kept: CompiledCache,
  observe: Observe = lambda step, scores: False,
  begin_from: Origin | None = None,
) -> int:
  """Trains as `train` does; this process holds `workdir`, and `check` passed.

  Args:
    make_task: as in `train`.
    config: as in `train`.
    workdir: as in `train`.
    data_dir: as in `train`.
    profile: as in `train`.
    kept: as in `train`.
    observe: called with the step and the scores of each evaluation; True ends
      the run there, saved, with status 0.
    begin_from: as in `train`.
  """
  optimization.make_optimization(config)  # raises before data are read
  processes.together(lambda: origin.check(begin_from, workdir))
  task = processes.together(lambda: make_task(config, data_dir, workdir))
  data, description = fingerprints(task), task.describe()
  processes.check_alike(lambda: facts(config, data, task))
  layout = parallel.make_layout(config, task)
  compiled = kept.of(config, task, data['train'], layout)
  place = os.path.join(workdir, folder.CHECKPOINTS)
  note = functools.partial(folder.note_checkpoint, workdir)
  with (
    Interruption() as interruption,
    Checkpoints(place, task.selection, published=note) as checkpoints,
  ):
    announce(description)
    state, line = origin.first_state(
      config, workdir, task, compiled, checkpoints, begin_from
    )
    start, began = int(state.step), time.monotonic()
    if start == config.train_steps and checkpoints.score(start) is not None:
      closing.log_complete(workdir, data_dir, start)
      return 0
    line['parameters'] = training.count_parameters(state.params)
    announce(plan(config, line['parameters'], start, layout))
    claim = functools.partial(
      folder.claim, workdir, config, data_dir, data, checkpoints, line
    )
    with (
      processes.on_first(claim),
      processes.own_folder(workdir) as own,
      Log(config, own, task, start, checkpoints) as log,
      Trace(workdir if profile else '', start, config.train_steps) as trace,
    ):
      loop = Loop(
        config, task, compiled, checkpoints, log, trace, interruption, observe
      )
      step = loop.run(state)
    checkpoints.wait()
    best, taken = closing.best_of(checkpoints), time.monotonic() - began
    outcome = closing.outcome(step - start, taken, task.selection[0], best)
  if step == config.train_steps:
    closing.log_done(workdir, data_dir, outcome)
    return 0
  closing.log_stopped(workdir, data_dir, step, outcome)
  return 128 + interruption.number if interruption.number else 0


@dataclasses.dataclass(frozen=True)
class Loop:
  """The training steps of one run, with evaluations and checkpoints."""

  config: ConfigDict
  task: Task
  compiled: Compiled
  checkpoints: Checkpoints
  log: Log
  trace: Trace
  interruption: Interruption
  observe: Observe

  def run(self, state: TrainState) -> int:
    """Trains on from `state`, and returns the step of the last saved state."""
    config, start = self.config, int(state.step)
    numbers = self.compiled.layout.copy(step_numbers(config, self.task))
    batches = self.task.batches('train', config.seed, start)
    for step in range(start, config.train_steps + 1):
      is_last = step == config.train_steps
      scores: dict[str, float] = {}
      if is_due(step, config.eval_every_steps, start) or is_last:
        scores = self.evaluate(step, state)
      stop = bool(scores) and self.observe(step, scores)
      stop = stop or self.is_interrupted(step)
      copy: dict[str, np.ndarray] = {}
      if scores or stop or is_due(step, config.save_every_steps, start):
        copy = self.copy(step, state)
      if is_last:
        self.checkpoints.write(step, copy, scores)
        break
      self.trace.before(step, state)
      state, metrics = self.train(state, next(batches), numbers)
      if copy:
        self.log.check(step + 1, metrics)
        with self.log.aside():
          self.checkpoints.write(step, copy, scores)
      if stop:
        break
      self.log.step(step + 1, metrics)
    return step

  def is_interrupted(self, step: int) -> bool:
    """Returns whether this process, or another of the run, got a signal."""
    number = processes.signalled(self.interruption.number, step)
    self.interruption.number = number or self.interruption.number
    return bool(number)

  def train(
    self, state: TrainState, batch: Any, numbers: Any
  ) -> tuple[TrainState, Any]:
    """Returns the state and the metrics of the next step."""
    batch = self.compiled.layout.place(batch)
    if not self.compiled.is_new('train', batch):
      return self.compiled.train(state, batch, numbers)
    logging.info('Compiling the training step.')
    with self.log.aside():
      return self.compiled.train(state, batch, numbers)

  def evaluate(self, step: int, state: TrainState) -> dict[str, float]:
    """Returns the scores on the validation split, and logs them."""
    self.log.flush()
    began = time.monotonic()
    if self.compiled.is_new('evaluate'):
      logging.info('Compiling the evaluation step.')
    scores = training.evaluate(
      *(self.task, self.compiled.evaluate, state, 'validation'),
      *(self.compiled.layout, self.log.watch),
    )
    self.log.evaluation(step, scores, time.monotonic() - began)
    return scores

  def copy(self, step: int, state: TrainState) -> dict[str, np.ndarray]:
    """Returns the arrays of a state that is finite, to be saved.

    The metrics that led to it are in the file by then, and the checkpoint
    before it is written.
    """
    self.log.flush()
    with self.log.aside():
      if not training.is_finite(state):
        what = 'the parameters or the state of the optimizer'
        self.log.stop(step, what, step)
      self.checkpoints.wait()
      return copy_to_host(state)


def fingerprints(task: Task) -> dict[str, str]:
  """Returns the fingerprint of each split that is trained or scored.

  The reported split, which only a later evaluation reads, is left out if its
  data are missing.
  """
  found = {name: task.fingerprint(name) for name in ('train', 'validation')}
  with contextlib.suppress(FileNotFoundError):
    found[task.reported_split] = task.fingerprint(task.reported_split)
  return found


def facts(
  config: ConfigDict, data: Mapping[str, str], task: Task
) -> dict[str, Any]:
  """Returns what the processes of a run must have in common."""
  batch = next(task.batches('train', config.seed, 0))
  return {
    **{f'config.{k}': x for k, x in flatten(config.to_dict()).items()},
    **{f'the {split} data': x for split, x in data.items()},
    'the first batch': provenance.of_arrays(batch),
    'the code': provenance.code(folder.ROOT),
    'the version of JAX': jax.__version__,
  }


def plan(
  config: ConfigDict, parameters: int, start: int, layout: Layout
) -> list[str]:
  """Returns lines on size, hardware and steps, and the paper's figure."""
  return [
    f'{parameters:,} parameters, on {provenance.devices()}',
    layout.describe(config.data.batch_size),
    f'steps {start:,} to {config.train_steps:,}',
    recipes.describe(config),
  ]


def announce(lines: list[str]) -> None:
  """Logs lines about the run that is about to start."""
  for line in lines:
    logging.info('%s', line)
