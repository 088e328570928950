"""What a run says while it trains, the signals it hears, and its trace."""

import os
import signal
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from hyper.runs import training
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.metrics import MetricsWriter, Progress
from hyper.runs.training import TrainState

UNPROFILED_STEPS, PROFILED_STEPS = 10, 5  # compilation is not shown


class Log:
  """What a run says of itself: metrics, progress, and loss that is not finite.

  A step is read only after the next one is under way, so that reading does
  not hold up the device.
  """

  def __init__(
    self,
    config: ConfigDict,
    workdir: str,
    task: Any,
    start: int,
    checkpoints: Checkpoints,
  ):
    self._config, self._task, self._checkpoints = config, task, checkpoints
    self._writer = MetricsWriter(workdir, start)
    self._progress = Progress(config.train_steps, start, task.unit)
    self._pending: tuple[int, Any] | None = None
    self._sums: list[dict[str, Any]] = []

  def __enter__(self) -> 'Log':
    return self

  def __exit__(self, *error: Any) -> None:
    self._progress.close()
    self._writer.close()

  def step(self, step: int, report: Any) -> None:
    """Takes the report of a step under way, and reads the one before."""
    before, self._pending = self._pending, (step, report)
    if before:
      self._read(*before)

  def flush(self) -> None:
    """Reads the last step's report, and so waits for it."""
    before, self._pending = self._pending, None
    if before:
      self._read(*before)

  def evaluation(
    self, step: int, values: dict[str, float], seconds: float
  ) -> None:
    """Writes and shows the means of an evaluation that took so long."""
    self._progress.leave_out(seconds)
    self._writer.write(step, 'validation', values)
    shown = '  '.join(f'{name} {value:.4g}' for name, value in values.items())
    logging.info(
      'validation at step %s: %s (%.1f s)', f'{step:,}', shown, seconds
    )

  def _read(self, step: int, report: Any) -> None:
    report = jax.device_get(report)
    if not training.all_finite(report):
      self._checkpoints.wait()
      saved = self._checkpoints.steps
      raise FloatingPointError(
        f'step {step}: loss {report["loss"]}, gradient norm '
        f'{report["grad_norm"]}, learning rate {report["learning_rate"]:g}. '
        'The last good checkpoint is '
        + (f'that of step {saved[-1]}.' if saved else 'yet to be written.')
      )
    if self._config.log_every_steps:
      self._sums.append(report.pop('sums'))
    if is_due(step, self._config.log_every_steps, 0):
      sums, self._sums = training.add_sums(self._sums), []
      values = self._task.summarize(sums)
      speed = self._progress.update(step, values, sums['count'])
      scalars = {name: float(value) for name, value in report.items()}
      rate = {f'{self._task.unit}_per_second': speed}
      self._writer.write(step, 'train', values | scalars | rate)


class Interruption:
  """Notes SIGTERM and Ctrl-C; a second Ctrl-C interrupts at once."""

  def __init__(self) -> None:
    self.number = 0
    self._handlers: dict[int, Any] = {}

  def __enter__(self) -> 'Interruption':
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
  """A profiler's trace of a few steps, in the folder `profile` of a run.

  Where a run has too few steps left for those before, they are its last.
  """

  def __init__(self, workdir: str, start: int, last: int):
    self._folder = workdir and os.path.join(workdir, 'profile')
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
    """Starts or stops the trace if it is time, when that many are taken."""
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
