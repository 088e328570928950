"""Reading checkpoints: which there are, their scores, their arrays, verified.

orbax reads changed bytes without an error, so the arrays are compared with
their hashes after reading. A damaged file makes orbax's threads print errors of
their own, so the files are compared before.

Only what is found in the files counts as damage: a missing file, a wrong hash,
broken JSON. Errors of the machine, such as too many open files, are raised
unchanged.
"""

import math
import os
import pathlib
from collections.abc import Callable, Mapping
from logging import ERROR, LogRecord
from typing import Any, TypeVar

import numpy as np
from absl import logging
from orbax.checkpoint import v1 as ocp

from hyper.runs import checkpoint_files, memory
from hyper.runs.checkpoint_arrays import fingerprints, fit, part
from hyper.runs.checkpoint_files import (
  STATE,
  CorruptCheckpointError,
  VanishedError,
)

T = TypeVar('T')


class SavedCheckpoints:
  """Reads the checkpoints in a folder, which a run may be writing to.

  Args:
    folder: of the checkpoints; it may be missing.
    selection: the metric that decides which checkpoint is the best, and whether
      the best is the smallest or the largest, such as ('bpc', 'min').

  Raises:
    ValueError: `selection` ends in another word than 'min' or 'max'.
  """

  def __init__(
    self, folder: str | os.PathLike[str], selection: tuple[str, str]
  ):
    self._metric, mode = selection
    if mode not in ('min', 'max'):
      raise ValueError(f"selection ends in {mode!r}; allowed: 'min', 'max'.")
    self.folder = pathlib.Path(folder).absolute()
    self._sign = 1 if mode == 'min' else -1
    logging.get_absl_logger().addFilter(_is_worth_showing)

  @property
  def saved_steps(self) -> list[int]:
    """Returns the steps of the complete checkpoints on the disk, in order."""
    return checkpoint_files.saved_steps(self.folder)

  @property
  def best_step(self) -> int | None:
    """Returns the step of the best checkpoint.

    It is None if no checkpoint was saved with metrics. Of equal metrics the
    earliest is the best; NaN never is.

    Raises:
      CorruptCheckpointError: a summary is damaged; its checkpoint may be best.
    """
    return until_undisturbed(
      lambda: self._best({step: self.score(step) for step in self.saved_steps})
    )

  def score(self, step: int) -> float | None:
    """Returns a checkpoint's selection metric, or None if it has no metrics.

    Raises:
      CorruptCheckpointError: its summary is damaged.
    """
    return checkpoint_files.read_summary(self._path(step))['metrics'].get(
      self._metric
    )

  def restore(
    self, like: Any, checkpoint: str | int = 'latest'
  ) -> tuple[int, Any]:
    """Reads a part of a checkpoint.

    'latest' is the newest checkpoint that is sound; newer corrupt ones are
    named in a warning. The best one, or a given step, must be sound.

    Args:
      like: a tree of arrays or ShapeDtypeStructs with some of the state's
        collections, such as {'params': params}; the other collections are
        ignored. A restored array has the sharding of its leaf in `like`, or is
        on the default device if the leaf has none.
      checkpoint: 'latest', 'best', or a step.

    Returns:
      The checkpoint's step, and the tree.

    Raises:
      FileNotFoundError: there is no such checkpoint; the message lists those
        that there are.
      CorruptCheckpointError: it is corrupt, or for 'latest' all are.
      ValueError: a collection was saved with another structure, type or shape.
      OSError: the machine could not read it.
    """
    step, arrays = self.read(checkpoint)
    return step, fit(self._path(step), part(arrays, like), like)

  def read(self, checkpoint: str | int) -> tuple[int, dict[str, np.ndarray]]:
    """Reads all arrays of a checkpoint.

    Args:
      checkpoint: as in `restore`.

    Returns:
      The checkpoint's step, and its arrays by path, such as params/cell/kernel.

    Raises:
      As `restore`, but for the last ValueError.
    """
    checkpoint_files.warn_of_strange_entries(self.folder)
    if checkpoint != 'latest':
      return until_undisturbed(lambda: self._load_exactly(checkpoint))
    step, arrays, corrupt = until_undisturbed(self.newest_sound)
    for reason in corrupt.values():
      logging.warning('Corrupt, so step %d is read instead: %s', step, reason)
    return step, arrays

  def _path(self, step: int) -> pathlib.Path:
    return self.folder / str(step)

  def _best(self, scores: Mapping[int, float | None]) -> int | None:
    ranks = {
      step: (self._sign * score, step)
      for step, score in scores.items()
      if score is not None and not math.isnan(score)
    }
    return min(ranks, key=lambda step: ranks[step], default=None)

  def newest_sound(
    self,
  ) -> tuple[int, dict[str, np.ndarray], dict[int, CorruptCheckpointError]]:
    """Returns the newest sound step, its arrays, and the errors of newer ones.

    Raises:
      FileNotFoundError: there is no checkpoint.
      CorruptCheckpointError: all are corrupt.
    """
    corrupt: dict[int, CorruptCheckpointError] = {}
    for step in reversed(self.saved_steps):
      try:
        return step, _load(self._path(step)), corrupt
      except CorruptCheckpointError as error:
        corrupt[step] = error
    if not corrupt:
      raise FileNotFoundError(f'There is no checkpoint in {self.folder}.')
    reasons = '\n'.join(str(reason) for reason in corrupt.values())
    raise CorruptCheckpointError(
      f'All checkpoints in {self.folder} are corrupt. Put back copies of them, '
      f'or give a new --workdir to begin again.\n{reasons}'
    )

  def _load_exactly(
    self, checkpoint: str | int
  ) -> tuple[int, dict[str, np.ndarray]]:
    steps = self.saved_steps
    try:
      step = self.best_step if checkpoint == 'best' else checkpoint
      if step in steps:
        return step, _load(self._path(step))
    except CorruptCheckpointError as error:
      raise CorruptCheckpointError(
        f'{error}\nPut back a copy of it, or ask for another step of {steps}.'
      ) from error
    if checkpoint == 'best' and steps:
      raise FileNotFoundError(
        f'No checkpoint in {self.folder} has a score: the run has not been '
        'evaluated yet. Read the newest one (--checkpoint=latest), or train on '
        f'until it is evaluated; the steps are {steps}.'
      )
    wanted = '' if checkpoint == 'best' else f' of step {checkpoint}'
    raise FileNotFoundError(
      f'There is no checkpoint{wanted} in {self.folder}; the steps are {steps}.'
    )


def _is_worth_showing(record: LogRecord) -> bool:
  """Returns False for orbax's progress, which is ten lines a save."""
  parts = pathlib.PurePath(record.pathname).parts
  return 'orbax' not in parts or record.levelno >= ERROR


def until_undisturbed(read: Callable[[], T]) -> T:
  """Calls `read` again while the run deletes the checkpoint that it reads.

  A deleted checkpoint is not chosen again, so this ends.
  """
  while True:
    try:
      return read()
    except VanishedError:
      continue


def _load(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads and verifies the arrays of one checkpoint."""
  summary = checkpoint_files.read_summary(path)
  try:
    checkpoint_files.verify(checkpoint_files.hash_files(path), summary['files'])
  except (ValueError, FileNotFoundError) as error:
    raise checkpoint_files.corrupt_or_vanished(path, error) from error
  arrays = _read_arrays(path)
  try:
    checkpoint_files.verify(fingerprints(arrays), summary['arrays'])
  except ValueError as error:
    raise checkpoint_files.corrupt_or_vanished(path, error) from error
  return arrays


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the arrays of a checkpoint whose files have been verified.

  Raises:
    OSError: orbax failed; since the files are sound, the machine is the cause.
    MemoryError: its memory ran out.
    VanishedError: the checkpoint was deleted meanwhile.
  """
  try:
    return ocp.load_checkpointables(path, {STATE: None})[STATE]
  except Exception as error:
    if memory.is_lack(error):
      raise MemoryError(checkpoint_files.reason(error)) from error
    if not checkpoint_files.is_checkpoint(path):
      raise VanishedError(path) from error
    raise OSError(
      f'{path} is sound, but could not be read: '
      f'{checkpoint_files.reason(error)}'
    ) from error
