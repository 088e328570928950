"""Checkpoints of a run: the newest few and the best, verified when read.

A checkpoint is a folder named after its step. In it are the arrays of the
state, written by orbax, each under its path in the tree
(`params/cell/kernel`), and summary.json: the metrics of the state, and the
SHA-256 of every array and every file. orbax reads changed bytes without
noticing, so the arrays are compared after reading; a damaged file makes its
threads report errors of their own, so the files are compared before.

A folder gets its name when it is whole and flushed to the disk. A run makes
three other kinds of names beside it

  1200.corrupt    set aside by `resume`, never deleted
  1200.new, 1200.new.orbax-checkpoint-tmp, 1200.deleting
                  left by a killed process, until the next one that writes

and leaves every other entry alone. Only what was found in the files counts as
damage: a missing file, a wrong hash, broken JSON. Errors of the machine, such
as too many open files, are raised as they are.

With several processes all must call the methods that write, and see one folder.
"""

import math
import os
import pathlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from logging import ERROR, LogRecord
from typing import Any, TypeVar

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from hyper import files
from hyper.runs import checkpoint_files
from hyper.runs.checkpoint_arrays import copy_to_host, fingerprints, fit, part
from hyper.runs.checkpoint_files import CorruptCheckpointError, VanishedError

T = TypeVar('T')
MARGIN = (
  2**18
)  # bytes of a checkpoint that are no arrays: names, layout, hashes


class Checkpoints:
  """The checkpoints of one run: the newest ones and the best one.

  Nothing in the folder is touched before `save` or `resume` is called, so a
  run can be read while it trains. As a context manager it finishes writing.

  Args:
    folder: where the checkpoints are, or will be.
    selection: the metric that says which checkpoint is the best, and whether
      it is to be small or large, such as ('bpc', 'min').
    keep_latest: how many of the newest checkpoints stay, besides the best.
    published: called with the step of each checkpoint that is complete, by the
      thread that writes.

  Raises:
    ValueError: an argument is not among the allowed ones.
  """

  def __init__(
    self,
    folder: str | os.PathLike[str],
    selection: tuple[str, str],
    keep_latest: int = 2,
    published: Callable[[int], None] = lambda step: None,
  ):
    self._metric, mode = selection
    if mode not in ('min', 'max'):
      raise ValueError(f"selection ends in {mode!r}; allowed: 'min', 'max'.")
    if keep_latest < 1:
      raise ValueError(f'keep_latest is {keep_latest}; it must be 1 or more.')
    self.folder = pathlib.Path(folder).absolute()
    self._sign = 1 if mode == 'min' else -1
    self._keep_latest = keep_latest
    self._published = published
    self._has_cleaned = False
    self._thread = ThreadPoolExecutor(1, 'checkpoint')
    self._pending: Future[None] | None = None
    logging.get_absl_logger().addFilter(_is_worth_showing)

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, kind: type | None, *error: Any) -> None:
    try:
      self.close()
    except OSError as failure:
      if kind is None:
        raise
      logging.error('%s', failure)  # which must not hide the error before it

  @property
  def saved_steps(self) -> list[int]:
    """The steps that have a complete checkpoint on disk, in order."""
    return checkpoint_files.saved_steps(self.folder)

  @property
  def best_step(self) -> int | None:
    """The step of the best metric, or None if none was saved with metrics.

    Of equal metrics the earliest is the best; NaN never is.

    Raises:
      CorruptCheckpointError: a summary is unreadable, so any could be best.
    """
    return _until_undisturbed(
      lambda: self._best({step: self.score(step) for step in self.saved_steps})
    )

  def score(self, step: int) -> float | None:
    """Returns the selection metric of a checkpoint, None if it has no metrics.

    Raises:
      CorruptCheckpointError: its summary is damaged.
    """
    return checkpoint_files.read_summary(self._path(step))['metrics'].get(
      self._metric
    )

  def save(
    self, step: int, state: Any, metrics: Mapping[str, float] | None = None
  ) -> None:
    """Copies the state and starts to write it; the caller may then donate it.

    Waits for the previous write, if it is still under way. Once this one is
    complete, all checkpoints but the newest and the best are deleted. One saved
    without metrics is never the best.

    The same step may be saved again. The same state is not written twice, and
    its metrics are those of both; another state replaces the first when it is
    complete.

    Args:
      step: the number of steps taken.
      state: a tree of arrays. Random keys must be raw key data.
      metrics: means over the validation data, with the selection metric.

    Raises:
      ValueError: the selection metric is missing, or an array has no elements.
      TypeError: a leaf is not an array.
      OSError: the previous write failed, or the disk has no room for this one.
    """
    metrics = {name: float(value) for name, value in (metrics or {}).items()}
    if metrics and self._metric not in metrics:
      raise ValueError(f'metrics are {list(metrics)}, without {self._metric}.')
    self._prepare_to_write()
    arrays = copy_to_host(state)
    summary = {'metrics': metrics, 'arrays': fingerprints(arrays)}
    held = self._held(step)
    if held.get('arrays') == summary['arrays']:
      if metrics.items() - held['metrics'].items():
        held['metrics'] |= metrics
        self._pending = self._thread.submit(self._amend, step, held)
      return
    # orbax's threads report a full disk in pages of tracebacks.
    files.check_room(
      self.folder, MARGIN + sum(x.nbytes for x in arrays.values())
    )
    logging.info('Saving checkpoint %s', self._path(step))
    new = self._path(step).with_suffix('.new')
    response = ocp.save_checkpointables_async(new, {'state': arrays})
    self._pending = self._thread.submit(self._complete, step, summary, response)

  def restore(self, like: Any, which: str | int = 'latest') -> tuple[int, Any]:
    """Reads a part of a checkpoint, and changes nothing in the folder.

    'latest' is the newest checkpoint that is sound; newer corrupt ones are
    named in a warning. 'best', or a given step, must be sound.

    Args:
      like: a tree of arrays or ShapeDtypeStructs with some of the state's
        collections, such as {'params': params}; the other collections are not
        looked at. A leaf with a sharding gives it to the restored array, which
        otherwise goes to the default device.
      which: 'latest', 'best', or a step.

    Returns:
      The checkpoint's step, and the tree.

    Raises:
      FileNotFoundError: there is no such checkpoint; `steps` says which are.
      CorruptCheckpointError: it is corrupt, or for 'latest' all are.
      ValueError: a collection was saved with another structure, type or shape.
      OSError: the machine could not read it.
    """
    checkpoint_files.warn_of_strange_entries(self.folder)
    if which == 'latest':
      step, arrays, corrupt = _until_undisturbed(self._newest_sound)
      for reason in corrupt.values():
        logging.warning('Corrupt, so step %d is read instead: %s', step, reason)
    else:
      step, arrays = _until_undisturbed(lambda: self._load_exactly(which))
    return step, fit(self._path(step), part(arrays, like), like)

  def resume(self, like: Any) -> tuple[int, Any]:
    """Restores the newest sound checkpoint for a run that will save here.

    Newer corrupt ones are renamed, `1200` to `1200.corrupt`, with a warning; if
    none is sound, nothing is renamed. Leftovers of a killed process are
    deleted.

    Args:
      like: as for `restore`, but the whole state.

    Returns:
      The checkpoint's step, and the state.

    Raises:
      As `restore`.
    """
    self._prepare_to_write()
    checkpoint_files.warn_of_strange_entries(self.folder)
    step, arrays, corrupt = _until_undisturbed(self._newest_sound)
    state = fit(self._path(step), arrays, like)
    for corrupt_step, reason in corrupt.items():
      aside = self._set_aside(corrupt_step)
      logging.warning(
        'Corrupt, renamed to %s, resuming from step %d: %s', aside, step, reason
      )
    return step, state

  def wait(self) -> None:
    """Waits until the last save is complete and unwanted ones are deleted.

    Raises:
      OSError: it could not be written; checkpoints before it are intact.
    """
    if self._pending is None:
      return
    pending, self._pending = self._pending, None
    if error := pending.exception():
      raise OSError(
        f'A checkpoint in {self.folder} could not be written: '
        f'{checkpoint_files.reason(error)}'
      ) from error
    multihost_utils.sync_global_devices('checkpoint complete')

  def close(self) -> None:
    """Waits for the last save, and ends the thread that writes."""
    try:
      self.wait()
    finally:
      self._thread.shutdown()

  def _path(self, step: int) -> pathlib.Path:
    return self.folder / str(step)

  def _best(self, scores: Mapping[int, float | None]) -> int | None:
    ranks = {
      step: (self._sign * score, step)
      for step, score in scores.items()
      if score is not None and not math.isnan(score)
    }
    return min(ranks, key=lambda step: ranks[step], default=None)

  def _prepare_to_write(self) -> None:
    self.wait()
    if self._has_cleaned:
      return
    self._has_cleaned = True
    if jax.process_index() == 0:
      self.folder.mkdir(parents=True, exist_ok=True)
      checkpoint_files.delete_leftovers(self.folder)
    multihost_utils.sync_global_devices('checkpoint folder cleaned')

  def _complete(
    self, step: int, summary: dict[str, Any], response: Any
  ) -> None:
    """Publishes what orbax has written, and only then deletes the unwanted."""
    response.result()
    if jax.process_index() == 0:
      path = self._path(step)
      checkpoint_files.publish(path.with_suffix('.new'), path, summary)
      self._published(step)
      self._delete_unwanted()

  def _amend(self, step: int, summary: dict[str, Any]) -> None:
    if jax.process_index() == 0:
      checkpoint_files.write_summary(self._path(step), summary)
      self._delete_unwanted()

  def _delete_unwanted(self) -> None:
    steps = self.saved_steps
    wanted: set[int | None] = set(steps[-self._keep_latest :])
    scores = {}
    for step in steps:
      try:
        scores[step] = self.score(step)
      except CorruptCheckpointError:
        wanted.add(step)  # it may have been the best; `restore` will tell
    wanted.add(self._best(scores))
    for step in steps:
      if step not in wanted:
        checkpoint_files.delete(self._path(step))

  def _held(self, step: int) -> dict[str, Any]:
    """Returns the summary of a checkpoint on disk; empty if there is none."""
    try:
      return checkpoint_files.read_summary(self._path(step))
    except (CorruptCheckpointError, VanishedError):
      return {}

  def _set_aside(self, step: int) -> pathlib.Path:
    aside = pathlib.Path(files.free_name(f'{self._path(step)}.corrupt'))
    multihost_utils.sync_global_devices('new name found')
    if jax.process_index() == 0:
      self._path(step).rename(aside)
    multihost_utils.sync_global_devices('checkpoint set aside')
    return aside

  def _newest_sound(
    self,
  ) -> tuple[int, dict[str, np.ndarray], dict[int, CorruptCheckpointError]]:
    """Returns a step, its arrays, and what is wrong with the newer ones."""
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
    self, which: str | int
  ) -> tuple[int, dict[str, np.ndarray]]:
    steps = self.saved_steps
    step = self.best_step if which == 'best' else which
    if step not in steps:
      wanted = 'with metrics' if which == 'best' else f'of step {which}'
      raise FileNotFoundError(
        f'There is no checkpoint {wanted} in {self.folder}; the steps are '
        f'{steps}.'
      )
    try:
      return step, _load(self._path(step))
    except CorruptCheckpointError as error:
      raise CorruptCheckpointError(
        f'{error}\nPut back a copy of it, or ask for another step of {steps}.'
      ) from error


def _is_worth_showing(record: LogRecord) -> bool:
  """Returns False for orbax's progress, which is ten lines a save."""
  parts = pathlib.PurePath(record.pathname).parts
  return 'orbax' not in parts or record.levelno >= ERROR


def _until_undisturbed(read: Callable[[], T]) -> T:
  """Repeats a read while its checkpoint is deleted before it is read.

  A checkpoint that vanished is not chosen again, so this ends.
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
  """Reads the arrays of a checkpoint whose files are known to be sound.

  Raises:
    OSError: orbax failed, so the machine is the cause and not the files.
    VanishedError: the checkpoint was deleted meanwhile.
  """
  try:
    return ocp.load_checkpointables(path, {'state': None})['state']
  except MemoryError:
    raise
  except Exception as error:
    if not checkpoint_files.is_checkpoint(path):
      raise VanishedError(path) from error
    raise OSError(
      f'{path} is sound, but could not be read: '
      f'{checkpoint_files.reason(error)}'
    ) from error
