"""Real runs of the commands, small, in folders of a drill."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

from hyper.runs import metrics

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 24
SCHEDULE = (
  f'--config.train_steps={STEPS}',
  '--config.eval_every_steps=8',
  '--config.save_every_steps=3',
  '--config.log_every_steps=1',
)
RECIPES = {  # by task: a config that needs no data, and flags that shrink it
  'char_lm': (
    '--config=configs/ptb_hyperlstm.py:embedded',
    '--config.model.cell.units=16',
    '--config.model.cell.hyper_units=8',
  ),
  'classify': (
    '--config=configs/mnist_hyper.py:embedded',
    '--config.data.batch_size=16',
  ),
  'handwriting': (
    '--config=configs/iam_hyperlstm.py:embedded',
    '--config.model.cell.units=16',
    '--config.model.cell.hyper_units=8',
    '--config.data.buckets=1',
  ),
  'translate': (
    '--config=configs/nmt_hyperlstm.py:embedded',
    '--config.model.cell.units=16',
    '--config.model.cell.hyper_units=8',
    '--config.data.bucket_lengths=(24,)',
  ),
}


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What one try of a drill showed.

  Attributes:
    tried: a description of the try.
    held: whether the promise was kept; None if it could not be tried here.
    note: what happened instead, or why it could not be tried.
  """

  tried: str
  held: bool | None
  note: str = ''


class Bench:
  """Runs of `train.py` and `evaluate.py` below one folder.

  Attributes:
    folder: holds all runs and the prepared data.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self._environment = os.environ | {
      'JAX_PLATFORMS': 'cpu',
      'JAX_COMPILATION_CACHE_DIR': str(folder / 'compiled'),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }

  def start(self, *command: str, **environment: str) -> subprocess.Popen:
    """Starts `python COMMAND` in the project's folder."""
    return subprocess.Popen(
      [sys.executable, *command],
      cwd=ROOT,
      env=self._environment | environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )

  def train_command(
    self, run: pathlib.Path, task: str = 'char_lm'
  ) -> list[str]:
    """Returns the arguments of `python` that train a run to its end."""
    paths = (f'--workdir={run}', f'--data_dir={self.folder / "data"}')
    return ['train.py', *RECIPES[task], *SCHEDULE, *paths]

  def train(self, run: pathlib.Path, task: str = 'char_lm') -> 'Ended':
    """Trains a run, or resumes it, to its end."""
    return self.finish(self.start(*self.train_command(run, task)))

  def evaluate(
    self, run: pathlib.Path, *flags: str, **environment: str
  ) -> 'Ended':
    """Scores the best checkpoint of a run on validation."""
    paths = (f'--workdir={run}', f'--data_dir={self.folder / "data"}')
    command = ('evaluate.py', *paths, '--split=validation', *flags)
    return self.finish(self.start(*command, **environment))

  def finish(self, process: subprocess.Popen) -> 'Ended':
    """Waits for a command, at most ten minutes."""
    output, errors = process.communicate(timeout=600)
    return Ended(process.returncode, output, errors)

  def whole(self, task: str = 'char_lm') -> pathlib.Path:
    """Returns an undisturbed run, trained once and used by all drills."""
    run = self.folder / f'whole_{task}'
    if not run.exists():
      ended = self.train(run, task)
      if ended.status:
        raise RuntimeError(f'an undisturbed run failed: {ended.errors}')
    return run

  def copy(self, name: str) -> pathlib.Path:
    """Returns a copy of the undisturbed character model."""
    run = self.folder / name
    shutil.copytree(self.whole(), run, symlinks=True)
    return run


@dataclasses.dataclass(frozen=True)
class Ended:
  """A command that has ended: its exit status and what it wrote."""

  status: int
  output: str
  errors: str

  @property
  def error(self) -> str:
    """The line that reports an error; empty if there is none."""
    lines = [x for x in self.errors.splitlines() if x.startswith('error: ')]
    return lines[0] if lines else ''

  def refused(self, *parts: str) -> Outcome:
    """Returns whether an error without a traceback names all `parts`."""
    held = (
      self.status == 1
      and 'Traceback' not in self.errors
      and all(part in self.errors for part in parts)
    )
    return Outcome('', held, '' if held else self.errors[-300:])

  def scored(self) -> Outcome:
    """Returns whether scores were printed."""
    held = self.status == 0 and self.output.startswith('{')
    return Outcome('', held, '' if held else self.errors[-300:])


def digests(run: pathlib.Path) -> dict[str, str]:
  """Returns the hashes of all arrays of a run's last state."""
  summary = run / 'checkpoints' / str(STEPS) / 'summary.json'
  return json.loads(summary.read_bytes())['arrays']


def lines(run: pathlib.Path) -> list[tuple[int, str]]:
  """Returns the step and the split of each line of a run's metrics."""
  return [(line['step'], line['split']) for line in metrics.read(run)]


def is_equal(run: pathlib.Path, other: pathlib.Path) -> bool:
  """Returns whether two runs ended with equal bits and equal metrics."""
  return digests(run) == digests(other) and lines(run) == lines(other)
