"""The last lines of a run's log: what came out, and what to do next."""

import os
import shlex
import sys

from absl import logging

from hyper.runs.checkpoint import Checkpoints
from hyper.runs.folder import ROOT
from hyper.runs.progress import format_duration


def best_of(checkpoints: Checkpoints) -> tuple[float, int] | None:
  """Returns the best score and its step, or None if they are not known."""
  try:
    step = checkpoints.best_step
    score = None if step is None else checkpoints.score(step)
  except (OSError, ValueError):  # a damaged summary; a log need not report it
    return None
  return None if step is None or score is None else (score, step)


def outcome(
  steps: int, seconds: float, metric: str, best: tuple[float, int] | None
) -> str:
  """Returns how long a run took and what was its best score.

  >>> outcome(1200, 312.0, 'bpc', (2.1052, 900))
  '1,200 steps in 5:12, best bpc 2.105 at step 900'

  Args:
    steps: taken in this start.
    seconds: of this start.
    metric: the name of the score.
    best: the score and its step, of all starts.
  """
  line = f'{steps:,} steps in {format_duration(seconds)}'
  if best is None:
    return line
  return f'{line}, best {metric} {best[0]:.4g} at step {best[1]:,}'


def command(script: str, workdir: str, data_dir: str, *flags: str) -> str:
  """Returns a command line for the shell that started this process.

  Args:
    script: 'train.py' or 'evaluate.py'.
    workdir: the run folder.
    data_dir: left out if it is the default.
    *flags: further flags.
  """
  where = [f'--data_dir={data_dir}'] if data_dir != 'data' else []
  path = os.path.relpath(os.path.join(ROOT, script))
  given = [sys.orig_argv[0], path, f'--workdir={workdir}', *where, *flags]
  return shlex.join(given)


def log_done(workdir: str, data_dir: str, outcome: str) -> None:
  """Logs how a run ended, and the command that scores it."""
  score = command('evaluate.py', workdir, data_dir)
  logging.info('Done: %s. To score it:\n  %s', outcome, score)


def log_stopped(workdir: str, data_dir: str, step: int, outcome: str) -> None:
  """Logs where a run was stopped, and the command that resumes it."""
  resume = command('train.py', workdir, data_dir)
  logging.info(
    'Stopped at step %s: %s. To resume:\n  %s', f'{step:,}', outcome, resume
  )


def log_complete(workdir: str, data_dir: str, steps: int) -> None:
  """Logs that a run has all its steps, and the command that lengthens it."""
  longer = command(
    'train.py', workdir, data_dir, f'--set=train_steps={2 * steps}'
  )
  logging.info(
    '%s has all its %s steps. To train longer:\n  %s',
    *(workdir, f'{steps:,}', longer),
  )
