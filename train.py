"""Trains what a config describes.

  python train.py --config=configs/ptb_hyperlstm.py --workdir=runs/ptb_hyper

Any field of the config can be given on the command line, for example
`--config.model.cell.units=256`; a variant follows the file after a colon,
`--config=configs/ptb_hyperlstm.py:embedded`. The same command on the same
folder goes on where the run was interrupted.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import jax
from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from hyper import configuration
from hyper.runs import commands, lock, provenance, training
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.metrics import MetricsWriter, Progress
from hyper.runs.training import TrainState
from hyper.tasks import make_task

UNPROFILED_STEPS, PROFILED_STEPS = 10, 5  # compilation is not shown


def train(
  config: ConfigDict, workdir: str, data_dir: str, profile: bool = False
) -> int:
  """Trains until the last step or a signal, and returns the exit status.

  The loop's order is: evaluate if due, save if due, draw a batch, step, log
  the step before. A signal (SIGTERM, Ctrl-C) saves and ends the loop; the
  status is then 128 plus its number.

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
    return run(config, workdir, data_dir, profile)


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


def run(config: ConfigDict, workdir: str, data_dir: str, profile: bool) -> int:
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
  provenance.note_start(workdir, step, os.path.dirname(__file__), data)
  try:
    yield
  except Exception:
    if is_new:
      checkpoints.wait()
      if not checkpoints.steps:
        configuration.forget(workdir)
    raise


def is_due(step: int, every_steps: int, start: int) -> bool:
  """Whether what happens every so many steps happens now; 0 means never."""
  return step > start and every_steps > 0 and step % every_steps == 0


def announce(config: ConfigDict, task: Any, state: TrainState) -> None:
  """Says what is about to be trained, where, and towards which figure."""
  for line in (
    *task.describe(),
    f'{training.count_parameters(state.params):,} parameters',
    provenance.devices(),
    f'steps {int(state.step):,} to {config.train_steps:,}, '
    f'batch {config.data.batch_size}',
    f'the paper, of this config unchanged: {config.paper or "nothing"}',
  ):
    logging.info('%s', line)


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


def main() -> int:
  """Reads the flags and trains."""
  args = flags.FLAGS
  return train(args.config, args.workdir, args.data_dir, args.profile)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  config_flags.DEFINE_config_file(
    'config',
    None,
    'Config file, with a variant after a colon if wanted; the configs/ folder '
    'has one for each experiment. --config.FIELD=VALUE replaces a field.',
  )
  flags.DEFINE_string(
    'workdir',
    None,
    'Folder of the run: config, metrics, checkpoints. An interrupted run in it '
    'goes on.',
  )
  flags.DEFINE_string(
    'data_dir', 'data', 'Folder of the data sets, see hyper/data/README.md.'
  )
  flags.DEFINE_bool(
    'profile',
    False,
    'Leave a trace of a few steps in WORKDIR/profile, for Perfetto '
    '(ui.perfetto.dev), TensorBoard or XProf.',
  )
  flags.mark_flags_as_required(['config', 'workdir'])


if __name__ == '__main__':
  commands.start(main, define_flags)
