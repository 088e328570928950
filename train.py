"""Trains what a config describes.

  python train.py --config=configs/ptb_hyperlstm.py --workdir=runs/ptb_hyper

Any field of the config can be given on the command line, for example
`--config.model.cell.units=256`; a variant follows the file after a colon,
`--config=configs/ptb_hyperlstm.py:embedded`. The same command on the same
folder goes on where the run was interrupted.
"""

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from hyper import configuration, training
from hyper.checkpoint import Checkpoints
from hyper.metrics import MetricsWriter, Progress
from hyper.tasks import TASKS

CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'Config file, with a variant after a colon if wanted; the configs/ folder '
  'has one for each experiment. --config.FIELD=VALUE replaces a field.',
)
WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'Folder of the run: config, metrics, checkpoints. An interrupted run in it '
  'goes on.',
)
DATA_DIR = flags.DEFINE_string(
  'data_dir', 'data', 'Folder of the data sets, see hyper/data/README.md.'
)
PROFILE = flags.DEFINE_bool(
  'profile',
  False,
  'Leave a trace of a few steps in WORKDIR/profile, for Perfetto '
  '(ui.perfetto.dev), TensorBoard or XProf.',
)
PROFILED_STEPS = range(10, 15)  # after the first; compilation is not shown


def train(
  config: ConfigDict, workdir: str, data_dir: str, profile: bool = False
) -> int:
  """Trains until the last step or a signal, and returns the exit status.

  The loop's order is: evaluate if due, save if due, draw a batch, step, log
  the step before. A signal (SIGTERM, Ctrl-C) saves and ends the loop; the
  status is then 128 plus its number.

  Raises:
    ValueError: the config does not fit, or is not that of the run in workdir.
    FileNotFoundError: data are missing.
    FloatingPointError: a step's loss or gradient was not finite.
  """
  task = TASKS[config.task](config, data_dir, workdir)
  schedule = training.make_schedule(config.schedule)
  optimizer = training.make_optimizer(config.optimizer, schedule)
  train_step = training.make_train_step(task.loss, optimizer, schedule)
  eval_step = training.make_eval_step(task.loss)
  configuration.save(config, workdir)
  state = training.init_state(task.init, optimizer, config.seed)

  folder = os.path.join(workdir, 'checkpoints')
  with Interruption() as interruption, Checkpoints(
    folder, task.selection
  ) as checkpoints:
    if checkpoints.steps:
      _, state = checkpoints.resume(state)
    start = int(state.step)
    announce(config, task, state)
    batches = task.batches('train', config.seed, start)
    with Log(config, workdir, task, start) as log, Trace(
      workdir if profile else None, start
    ) as trace:
      for step in range(start, config.train_steps + 1):
        last = step == config.train_steps
        values = None
        if step > start and (last or step % config.eval_every_steps == 0):
          log.flush(checkpoints)
          values = evaluate(task, eval_step, state, 'validation', config.seed)
          log.evaluation(step, values)
        stop = last or interruption.number
        due = step % config.save_every_steps == 0 and step > start
        if values or stop or due:
          log.flush(checkpoints)
          checkpoints.save(step, state, values)
        if stop:
          break
        trace.at(step)
        state, report = train_step(state, next(batches))
        log.step(step + 1, report, checkpoints)
  return finish(interruption.number, config, workdir, step)
