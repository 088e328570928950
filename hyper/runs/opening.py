"""Opens a run: reads its data, compiles, and restores its newest state."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from hyper.configuration import flatten
from hyper.paper import recipes
from hyper.runs import (
  folder,
  origin,
  parallel,
  processes,
  provenance,
  record,
  training,
)
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.compiled import Compiled, CompiledCache
from hyper.runs.origin import Origin
from hyper.runs.task import MakeTask, Task
from hyper.runs.training import TrainState


@dataclasses.dataclass(frozen=True)
class Opened:
  """A run that is ready to train.

  Attributes:
    config: of the run.
    workdir: the run folder.
    data_dir: of the data sets.
    task: of the run.
    data: the fingerprint of each split.
    compiled: the run's functions.
    checkpoints: of the run.
    state: the newest checkpoint's, or the initial one.
    start: the step of that state.
    line: entries of this start in starts.jsonl.
  """

  config: ConfigDict
  workdir: str
  data_dir: str
  task: Task
  data: Mapping[str, str]
  compiled: Compiled
  checkpoints: Checkpoints
  state: TrainState
  start: int
  line: Mapping[str, Any]

  @property
  def is_complete(self) -> bool:
    """Returns whether the run has all its steps, and scores of the last."""
    if self.start != self.config.train_steps:
      return False
    score = self.checkpoints.score(self.start)
    return processes.of_first(score is not None)

  def claim(self) -> contextlib.AbstractContextManager[None]:
    """Marks the run folder as that of this run, see `folder.claim`."""
    return folder.claim(
      *(self.workdir, self.config, self.data_dir, self.data),
      *(self.checkpoints, self.line),
    )


@contextlib.contextmanager
def opened(
  make_task: MakeTask,
  config: ConfigDict,
  workdir: str,
  data_dir: str,
  kept: CompiledCache,
  begin_from: Origin | None = None,
) -> Iterator[Opened]:
  """Yields a run whose folder this process holds.

  Args:
    make_task: as in `loop.train`.
    config: as in `loop.train`.
    workdir: as in `loop.train`.
    data_dir: as in `loop.train`.
    kept: compiled functions of earlier runs; those of this run are added.
    begin_from: as in `loop.train`.

  Raises:
    ValueError: the config, the newest checkpoint or `begin_from` does not fit.
    FileNotFoundError: data are missing.
  """
  processes.together(lambda: origin.check(begin_from, workdir))
  with folder.naming_config(workdir):
    task = processes.together(lambda: make_task(config, data_dir, workdir))
  data, first, description = processes.together(lambda: read(config, task))
  processes.check_alike(lambda: facts(config, data, first))
  layout = parallel.make_layout(config, task)
  compiled = kept.of(config, task, data['train'], layout)
  place = os.path.join(workdir, folder.CHECKPOINTS)
  note = functools.partial(record.note_checkpoint, workdir)
  with Checkpoints(place, task.selection, published=note) as checkpoints:
    announce(description)
    state, line = origin.first_state(
      config, workdir, task, compiled, checkpoints, begin_from
    )
    line['parameters'] = training.count_parameters(state.params)
    yield Opened(
      *(config, workdir, data_dir, task, data, compiled, checkpoints),
      *(state, int(state.step), line),
    )


def read(
  config: ConfigDict, task: Task
) -> tuple[dict[str, str], str, list[str]]:
  """Reads all data of a run, so that what is wrong with them is found first.

  Returns:
    The fingerprint of each split, the reported one included, which only a later
    evaluation scores; that of the first batch; lines that describe the data.

  Raises:
    FileNotFoundError: the data of a split are missing.
    ValueError: the data are damaged, or too few for a batch.
  """
  splits = dict.fromkeys(('train', 'validation', task.reported_split))
  data = {split: task.fingerprint(split) for split in splits}
  batch = next(task.batches('train', config.seed, 0))
  return data, provenance.of_arrays(batch), task.describe()


def facts(
  config: ConfigDict, data: Mapping[str, str], first_batch: str
) -> dict[str, Any]:
  """Returns what the processes of a run must have in common."""
  return {
    **{f'config.{k}': x for k, x in flatten(config).items()},
    **{f'the {split} data': x for split, x in data.items()},
    'the first batch': first_batch,
    'the code': provenance.code(folder.ROOT),
    'the version of JAX': jax.__version__,
  }


def plan(opened: Opened) -> list[str]:
  """Returns lines on size, hardware and steps, and the paper's figure."""
  config = opened.config
  return [
    f'{opened.line["parameters"]:,} parameters, on {provenance.devices()}',
    opened.compiled.layout.describe(config.data.batch_size),
    f'steps {opened.start:,} to {config.train_steps:,}',
    recipes.describe(config),
  ]


def announce(lines: list[str]) -> None:
  """Logs lines about the run that is about to start."""
  for line in lines:
    logging.info('%s', line)
