"""Checkpoints of a run: the newest few and the best, verified when read.

A checkpoint is a folder named after its step. It holds the arrays of the state,
written by orbax, each under its path in the tree (`params/cell/kernel`), and
summary.json: the metrics of the state, and the SHA-256 of every array and every
file.

A folder gets its name once it is whole and flushed to the disk. Beside it a run
makes names of three other kinds

  1200.corrupt    set aside by `resume`, never deleted
  1200.new, 1200.new.orbax-checkpoint-tmp, 1200.deleting
                  left by a killed process; deleted by the next that writes

and leaves every other entry alone, unless it has the name of a step that is to
be saved: then it is renamed, `1200` to `1200.foreign`.
`hyper.runs.checkpoint_reading` says how damage is found.

If there are several processes, all must see one folder, and all must call the
methods that write.
"""

import os
import pathlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from hyper import files
from hyper.runs import checkpoint_files, memory, processes
from hyper.runs.checkpoint_arrays import fingerprints, fit
from hyper.runs.checkpoint_files import CorruptCheckpointError, VanishedError
from hyper.runs.checkpoint_reading import SavedCheckpoints, until_undisturbed

MARGIN = 2**18  # bytes of a checkpoint beside its arrays: layout, hashes


class Checkpoints(SavedCheckpoints):
  """The checkpoints of the run that writes them.

  Leaving the context waits until writing is complete.

  Args:
    folder: of the checkpoints; it may be missing.
    selection: see `SavedCheckpoints`.
    keep_latest: how many of the newest checkpoints stay, besides the best.
    published: called with the step of each checkpoint that is complete, by the
      thread that writes.

  Raises:
    ValueError: `keep_latest` is below 1, or `selection` has no 'min' or 'max'.
  """

  def __init__(
    self,
    folder: str | os.PathLike[str],
    selection: tuple[str, str],
    keep_latest: int = 2,
    published: Callable[[int], None] = lambda step: None,
  ):
    super().__init__(folder, selection)
    if keep_latest < 1:
      raise ValueError(f'keep_latest is {keep_latest}; it must be 1 or more.')
    self._keep_latest = keep_latest
    self._published = published
    self._has_cleaned = False
    self._thread = ThreadPoolExecutor(1, 'checkpoint')
    self._pending: Future[None] | None = None

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, kind: type | None, *error: Any) -> None:
    try:
      self.close()
    except (OSError, MemoryError) as failure:
      if kind is None:
        raise
      logging.error('%s', failure)  # the error that ended the block is raised

  def write(
    self,
    step: int,
    arrays: Mapping[str, np.ndarray],
    metrics: Mapping[str, float] | None = None,
  ) -> None:
    """Starts to write the arrays of a state.

    Waits for the previous write, if it is not complete. Once this one is
    complete, all checkpoints but the newest and the best are deleted. One
    written without metrics is never the best.

    The same step may be written again. The same arrays are not written twice;
    their metrics are merged. Other arrays replace the first once they are
    complete.

    Args:
      step: the number of steps taken.
      arrays: by path, see `copy_to_host`; the caller leaves them as they are.
      metrics: means over the validation data, among them the selection metric.

    Raises:
      ValueError: the selection metric is missing.
      OSError: the previous write failed, or the disk has no room for this one.
    """
    metrics = {name: float(value) for name, value in (metrics or {}).items()}
    if metrics and self._metric not in metrics:
      raise ValueError(f'metrics are {list(metrics)}, without {self._metric}.')
    self._prepare_to_write()
    summary = {'metrics': metrics, 'arrays': fingerprints(arrays)}
    held = processes.of_first(self._held(step))
    if held.get('arrays') == summary['arrays']:
      if metrics.items() - held['metrics'].items():
        held['metrics'] |= metrics
        self._pending = self._thread.submit(self._amend, step, held)
      return
    # Checked here, since orbax's threads print pages of tracebacks.
    size = MARGIN + sum(x.nbytes for x in arrays.values())
    processes.together(lambda: files.check_room(self.folder, size))
    logging.info('Saving checkpoint %s', self._path(step))
    new = self._path(step).with_suffix('.new')
    response = ocp.save_checkpointables_async(
      new, {checkpoint_files.STATE: arrays}
    )
    self._pending = self._thread.submit(self._complete, step, summary, response)

  def resume(self, like: Any) -> tuple[int, Any]:
    """Restores the newest sound checkpoint for a run that will save here.

    Newer corrupt checkpoints are renamed, `1200` to `1200.corrupt`, with a
    warning. If none is sound, nothing is renamed. Leftovers of a killed process
    are deleted.

    Args:
      like: as for `restore`, but the whole state.

    Returns:
      The checkpoint's step, and the state.

    Raises:
      As `restore`.
    """
    self._prepare_to_write()
    checkpoint_files.warn_of_strange_entries(self.folder)
    step, arrays, corrupt = processes.together(
      lambda: until_undisturbed(self.newest_sound)
    )
    processes.check_alike(lambda: {'the step of the newest checkpoint': step})
    state = fit(self._path(step), arrays, like)
    for corrupt_step, reason in corrupt.items():
      aside = self._set_aside(corrupt_step)
      logging.warning(
        'Corrupt, renamed to %s, resuming from step %d: %s', aside, step, reason
      )
    return step, state

  def wait(self) -> None:
    """Waits until the last save is complete and older ones are deleted.

    Raises:
      OSError: it could not be written; checkpoints before it are intact.
      MemoryError: likewise, since memory ran out.
    """
    if self._pending is None:
      return
    pending, self._pending = self._pending, None
    if error := pending.exception():
      if memory.is_lack(error):
        raise MemoryError(checkpoint_files.reason(error)) from error
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
    """Publishes what orbax has written; then deletes unwanted checkpoints."""
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
        wanted.add(step)  # it may be the best one; `restore` will raise
    wanted.add(self._best(scores))
    for step in steps:
      if step not in wanted:
        checkpoint_files.delete(self._path(step))

  def _held(self, step: int) -> dict[str, Any]:
    """Returns the summary of a checkpoint on disk; empty if there is none."""
    if not checkpoint_files.is_checkpoint(self._path(step)):
      return {}
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
