"""A run's log while it trains, its handling of signals, and its trace."""

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import jax
from absl import logging
from ml_collections import ConfigDict

from hyper.configuration import flatten
from hyper.runs import training
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.closing import best_of
from hyper.runs.folder import PROFILE, TENSORBOARD
from hyper.runs.metrics import MetricsWriter
from hyper.runs.observers import Observers
from hyper.runs.progress import Progress, in_words
from hyper.runs.task import Task
from hyper.runs.tensorboard import TensorBoard
from hyper.runs.trackers import Track
from hyper.runs.training import TrainState

UNPROFILED_STEPS, PROFILED_STEPS = 10, 5  # compilation is not shown


class Log:
  """Writes a run's metrics, shows its progress, and stops it at NaN.

  The metrics of a step are read only after the next step has been dispatched,
  so that the device does not wait.
  """

  def __init__(
    self,
    config: ConfigDict,
    workdir: str,
    task: Task,
    start: int,
    checkpoints: Checkpoints,
    trackers: Sequence[Track] = (),
  ):
    self._config, self._task, self._checkpoints = config, task, checkpoints
    self._observers = Observers(
      functools.partial(
        TensorBoard,
        *(os.path.join(workdir, TENSORBOARD), start + 1),
        *(flatten(config), task.selection[0]),
      ),
      *(functools.partial(x, workdir, flatten(config)) for x in trackers),
    )
    self._writer = MetricsWriter(workdir, start, self._observers)
    self._sampled = self._samples_before(start)
    self._progress = Progress(
      *(config.train_steps, start, task.unit, task.selection),
      best_of(checkpoints),
      eval_every_steps=config.eval_every_steps,
    )
    self._pending: tuple[int, Any] | None = None
    self._sums: list[dict[str, Any]] = []

  def __enter__(self) -> 'Log':
    return self

  def __exit__(self, *error: Any) -> None:
    self._progress.close()
    self._writer.close()

  def step(self, step: int, metrics: Any) -> None:
    """Keeps the metrics of a dispatched step; reads those of the one before."""
    before, self._pending = self._pending, (step, metrics)
    if before:
      self._read(*before)
    self._progress.step(step)

  @contextlib.contextmanager
  def aside(self) -> Iterator[None]:
    """Excludes the time of a block from speeds."""
    began = time.monotonic()
    yield
    self._progress.leave_out(time.monotonic() - began)

  def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
    """Yields the batches of an evaluation, and shows how far it is."""
    return self._progress.watch(batches)

  def flush(self) -> None:
    """Reads the last step's metrics, and writes all of them to the file.

    Raises:
      OSError: the file cannot be written.
      FloatingPointError: the loss or the gradient is not finite.
    """
    before, self._pending = self._pending, None
    if before:
      self._read(*before)
    self._writer.flush()

  def evaluation(
    self, step: int, scores: Mapping[str, float], seconds: float
  ) -> None:
    """Writes and shows the scores of an evaluation that took `seconds`."""
    if not training.all_finite(scores.values()):
      self.stop(step, f'validation {in_words(scores)}', step)
    best = self._progress.evaluated(step, scores, seconds)
    self._writer.write(step, 'validation', scores)
    self._observers.write(step, 'best', {self._task.selection[0]: best})

  def sample(self, step: int, state: TrainState) -> None:
    """Shows samples of a state to observers, if they are due.

    They are due at the first evaluation after each `sample_every_steps` steps.
    Runs of several processes show none.
    """
    before, self._sampled = self._sampled, self._samples_before(step)
    if self._sampled == before or jax.process_count() > 1:
      return
    try:
      with self.aside():
        for name, sample in self._task.samples(state).items():
          self._observers.show(step, name, sample)
    except Exception as error:  # a sample must not end the run
      logging.warning('No samples of step %d: %r', step, error)

  def _samples_before(self, step: int) -> int:
    every = self._config.sample_every_steps
    return step // every if every else 0

  def check(self, step: int, metrics: Any) -> None:
    """Raises a FloatingPointError unless a step's loss and gradient are finite.

    They show what can be computed with the state before the step.
    """
    loss, norm, rate = jax.device_get(
      [metrics[name] for name in ('loss', 'grad_norm', 'learning_rate')]
    )
    if not training.all_finite([loss, norm]):
      what = f'loss {loss}, gradient norm {norm}, learning rate {rate:g}'
      self.stop(step, what, step - 1)

  def stop(self, step: int, what: str, state: int) -> NoReturn:
    """Raises a FloatingPointError that names the last good checkpoint, if any.

    Args:
      step: the number of steps taken.
      what: is not finite.
      state: the step of the state that it was computed with.
    """
    self._checkpoints.wait()
    saved = self._checkpoints.saved_steps
    good = [x for x in saved if x < state]
    message = f'step {step}: not finite: {what}. ' + (
      f'The last good checkpoint is that of step {good[-1]}.'
      if good
      else 'There is no good checkpoint to resume from.'
    )
    if good and state in saved:
      path = self._checkpoints.folder / str(state)
      message += f' Move {path} away to resume from it.'
    raise FloatingPointError(message)

  def _read(self, step: int, metrics: Any) -> None:
    self.check(step, metrics)
    metrics = jax.device_get(metrics)
    sums = metrics.pop('sums')
    if self._config.log_every_steps:
      self._sums.append(sums)
    if is_due(step, self._config.log_every_steps, 0):
      total, self._sums = training.add_sums(self._sums), []
      scores = self._task.summarize(total)
      speed, seconds = self._progress.update(step, scores, total['count'])
      scalars = {name: float(value) for name, value in metrics.items()}
      rate = {f'{self._task.unit}_per_second': speed}
      self._writer.write(step, 'train', scores | scalars | rate, seconds)


class Interruption:
  """Notes SIGTERM and Ctrl-C; a second Ctrl-C interrupts at once.

  Python allows signal handlers only in the main thread; in another thread none
  are installed.

  Attributes:
    number: of the signal received, or 0.
  """

  def __init__(self) -> None:
    self.number = 0
    self._handlers: dict[int, Any] = {}

  def __enter__(self) -> 'Interruption':
    if threading.current_thread() is not threading.main_thread():
      return self
    for number in (signal.SIGTERM, signal.SIGINT):
      self._handlers[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *error: Any) -> None:
    for number, handler in self._handlers.items():
      signal.signal(number, handler)

  def _note(self, number: int, frame: Any) -> None:
    del frame
    self.number = number
    signal.signal(signal.SIGINT, self._handlers[signal.SIGINT])
    logging.info('%s: saving and leaving.', signal.Signals(number).name)


class Trace:
  """Writes a profiler trace of a few steps to the folder `profile` of a run.

  It starts after UNPROFILED_STEPS, or for a short run PROFILED_STEPS before the
  end.
  """

  def __init__(self, workdir: str, start: int, last: int):
    self._folder = workdir and os.path.join(workdir, PROFILE)
    self._first = max(
      start, min(start + UNPROFILED_STEPS, last - PROFILED_STEPS)
    )
    self._is_running = False

  def __enter__(self) -> 'Trace':
    return self

  def __exit__(self, *error: Any) -> None:
    if self._is_running:
      self._stop()

  def before(self, step: int, state: TrainState) -> None:
    """Starts or stops the trace if that is due before the next step."""
    if self._folder and step == self._first:
      jax.block_until_ready(state)
      jax.profiler.start_trace(self._folder)
      self._is_running = True
    if self._is_running and step == self._first + PROFILED_STEPS:
      jax.block_until_ready(state)
      self._stop()

  def _stop(self) -> None:
    jax.profiler.stop_trace()
    self._is_running = False
    logging.info('Trace of a few steps in %s.', self._folder)


def is_due(step: int, every_steps: int, start: int) -> bool:
  """Returns True if `step` is a multiple of `every_steps`.

  0 disables, and the step resumed from, `start`, never fires.
  """
  return step > start and every_steps > 0 and step % every_steps == 0
