"""The training loop, the same function for every caller.

The loop's order is: evaluate if due, copy the state if a save is due, draw a
batch, step, save the copy, log the step before. So a state is saved only once
the loss and the gradient of the next step are known to be finite, and the last
state once its scores are.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from hyper import files
from hyper.runs import (
  closing,
  folder,
  lock,
  opening,
  processes,
  rehearsal,
  training,
)
from hyper.runs.checkpoint_arrays import copy_to_host
from hyper.runs.compiled import CompiledCache, step_numbers
from hyper.runs.log import Interruption, Log, Trace, is_due
from hyper.runs.numbers import Numbers
from hyper.runs.opening import Opened
from hyper.runs.origin import Origin
from hyper.runs.task import Batch, MakeTask
from hyper.runs.trackers import Track
from hyper.runs.training import Metrics, TrainState

Observe = Callable[[int, dict[str, float]], bool]  # step, scores


def train(
  make_task: MakeTask,
  config: ConfigDict,
  workdir: str,
  data_dir: str,
  profile: bool = False,
  kept: CompiledCache | None = None,
  begin_from: Origin | None = None,
  trackers: Sequence[Track] = (),
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
    trackers: each makes an observer of the run, beside TensorBoard; only the
      first process calls them.

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
      trackers=trackers,
    )


def check(config: ConfigDict, workdir: str, data_dir: str) -> None:
  """Raises the ValueErrors of `train` that need no data."""
  files.check_path('--data_dir', data_dir)
  folder.check_run(workdir, config)
  rehearsal.check(config)


def run(
  make_task: MakeTask,
  config: ConfigDict,
  workdir: str,
  data_dir: str,
  profile: bool,
  kept: CompiledCache,
  observe: Observe = lambda step, scores: False,
  begin_from: Origin | None = None,
  trackers: Sequence[Track] = (),
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
    trackers: as in `train`.
  """
  given = make_task, config, workdir, data_dir, kept, begin_from
  with (
    opening.opened(*given) as opened,
    Interruption() as interruption,
  ):
    return finish(opened, interruption, observe, profile, trackers)


def finish(
  opened: Opened,
  interruption: Interruption,
  observe: Observe,
  profile: bool = False,
  trackers: Sequence[Track] = (),
) -> int:
  """Trains an opened run as `run` does, and returns the exit status."""
  if opened.is_complete:
    closing.log_complete(opened.workdir, opened.data_dir, opened.start)
    return 0
  began = time.monotonic()
  with begun(opened, interruption, observe, profile, trackers) as loop:
    step = loop.run(opened.state)
  return ended(opened, step, time.monotonic() - began, interruption)


@contextlib.contextmanager
def begun(
  opened: Opened,
  interruption: Interruption,
  observe: Observe,
  profile: bool = False,
  trackers: Sequence[Track] = (),
) -> Iterator['Loop']:
  """Claims the folder of an opened run, and yields its loop."""
  config, workdir, start = opened.config, opened.workdir, opened.start
  trackers = trackers if processes.is_first() else ()
  opening.announce(opening.plan(opened))
  with (
    processes.on_first(opened.claim),
    processes.own_folder(workdir) as own,
    Log(config, own, opened.task, start, opened.checkpoints, trackers) as log,
    Trace(workdir if profile else '', start, config.train_steps) as trace,
  ):
    yield Loop(opened, log, trace, interruption, observe)


def ended(
  opened: Opened, step: int, seconds: float, interruption: Interruption
) -> int:
  """Logs how a run ended, at `step`, and returns the exit status."""
  opened.checkpoints.wait()
  best = closing.best_of(opened.checkpoints)
  outcome = closing.outcome(
    step - opened.start, seconds, opened.task.selection[0], best
  )
  if step == opened.config.train_steps:
    closing.log_done(opened.workdir, opened.data_dir, outcome)
    return 0
  closing.log_stopped(opened.workdir, opened.data_dir, step, outcome)
  return 128 + interruption.number if interruption.number else 0


@dataclasses.dataclass(frozen=True)
class Due:
  """What is to happen to the state of a step once the next step is taken.

  Attributes:
    scores: of the state; empty if it was not evaluated.
    copy: its arrays, to be saved; empty if it is not.
    stop: whether the run ends there.
  """

  scores: dict[str, float]
  copy: dict[str, np.ndarray]
  stop: bool


@dataclasses.dataclass(frozen=True)
class Loop:
  """The training steps of one run, with evaluations and checkpoints."""

  opened: Opened
  log: Log
  trace: Trace
  interruption: Interruption
  observe: Observe

  def run(self, state: TrainState) -> int:
    """Trains on from `state`, and returns the step of the last saved state."""
    config, task = self.opened.config, self.opened.task
    start, last = self.opened.start, config.train_steps
    numbers = self.opened.compiled.layout.copy(step_numbers(config, task))
    batches = task.batches('train', config.seed, start)
    for step in range(start, last + 1):
      scores = self.evaluate(step, state) if self.is_scored(step) else {}
      due = self.due(step, scores, functools.partial(self.copy, step, state))
      if step == last:
        break
      self.trace.before(step, state)
      state, metrics = self.train(state, next(batches), numbers)
      self.taken(step + 1, metrics, due)
      if due.stop:
        break
    return step

  def is_scored(self, step: int) -> bool:
    """Returns whether the state of a step is evaluated."""
    config, start = self.opened.config, self.opened.start
    is_last = step == config.train_steps
    return is_last or is_due(step, config.eval_every_steps, start)

  def due(
    self,
    step: int,
    scores: dict[str, float],
    copy: Callable[[], dict[str, np.ndarray]],
  ) -> Due:
    """Returns what is due at a step; the last state is saved at once.

    Args:
      step: the number of steps taken.
      scores: of the state; empty if it was not evaluated.
      copy: copies the state.
    """
    config, start = self.opened.config, self.opened.start
    stop = bool(scores) and self.observe(step, scores)
    stop = stop or self.is_interrupted(step)
    is_saved = scores or stop or is_due(step, config.save_every_steps, start)
    due = Due(scores, copy() if is_saved else {}, stop)
    if step == config.train_steps:
      self.opened.checkpoints.write(step, due.copy, scores)
    return due

  def is_interrupted(self, step: int) -> bool:
    """Returns whether this process, or another of the run, got a signal."""
    number = processes.signalled(self.interruption.number, step)
    self.interruption.number = number or self.interruption.number
    return bool(number)

  def taken(self, step: int, metrics: Metrics, due: Due) -> None:
    """Logs a step, and saves the state before it if that is due."""
    if due.copy:
      self.log.check(step, metrics)
      with self.log.aside():
        self.opened.checkpoints.write(step - 1, due.copy, due.scores)
    if not due.stop:
      self.log.step(step, metrics)

  def train(
    self, state: TrainState, batch: Batch, numbers: Numbers
  ) -> tuple[TrainState, Metrics]:
    """Returns the state and the metrics of the next step."""
    compiled = self.opened.compiled
    placed = compiled.layout.place(batch)
    if not compiled.is_new('train', placed):
      return compiled.train(state, placed, numbers)
    logging.info('Compiling the training step.')
    with self.log.aside():
      return compiled.train(state, placed, numbers)

  def evaluate(self, step: int, state: TrainState) -> dict[str, float]:
    """Returns the scores on the validation split, and logs them."""
    self.log.flush()
    began, compiled = time.monotonic(), self.opened.compiled
    if compiled.is_new('evaluate'):
      logging.info('Compiling the evaluation step.')
    scores = training.evaluate(
      *(self.opened.task, compiled.evaluate, state, 'validation'),
      *(compiled.layout, self.log.watch),
    )
    self.log.evaluation(step, scores, time.monotonic() - began)
    self.log.sample(step, state)
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
      self.opened.checkpoints.wait()
      return copy_to_host(state)
