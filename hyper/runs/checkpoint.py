"""Checkpoints of a run: the newest few and the best, verified when read.

A checkpoint is a folder named after its step. In it are the arrays of the
state, written by orbax, each under its path in the tree
(`params/cell/kernel`), and summary.json: the metrics of the state, and the
SHA-256 of every array and every file. orbax reads changed bytes without
noticing, so the arrays are compared after reading; a damaged file makes its
threads report errors of their own, so the files are compared before.

A folder gets its name when it is whole. The other names beside it are

  1200.corrupt    set aside by `resume`, never deleted
  1200.new, 1200.new.orbax-checkpoint-tmp, 1200.deleting
                  left by a killed process, until the next one that writes

With several processes all must call the methods that write, and see one folder.
"""

import hashlib
import json
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from logging import ERROR, LogRecord
from typing import Any, TypeVar

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

T = TypeVar('T')
LEFTOVERS = '[0-9]*.new', '[0-9]*.new.orbax-checkpoint-tmp*', '[0-9]*.deleting'


class CorruptCheckpointError(ValueError):
  """A checkpoint is incomplete, or not what was saved."""


class Checkpoints:
  """The checkpoints of one run: the newest ones and the best one.

  Nothing in the folder is touched before `save` or `resume` is called, so a
  run can be read while it trains. As a context manager it finishes writing.

  Args:
    folder: where the checkpoints are, or will be.
    selection: the metric that says which checkpoint is the best, and whether
      it is to be small or large, such as ('bpc', 'min').
    keep_latest: how many of the newest checkpoints stay, besides the best.

  Raises:
    ValueError: an argument is not among the allowed ones.
  """

  def __init__(
    self,
    folder: str | os.PathLike[str],
    selection: tuple[str, str],
    keep_latest: int = 2,
  ):
    self._metric, mode = selection
    if mode not in ('min', 'max'):
      raise ValueError(f"selection ends in {mode!r}; allowed: 'min', 'max'.")
    if keep_latest < 1:
      raise ValueError(f'keep_latest is {keep_latest}; it must be 1 or more.')
    self.folder = pathlib.Path(folder).absolute()
    self._sign = 1 if mode == 'min' else -1
    self._keep_latest = keep_latest
    self._has_cleaned = False
    self._thread = ThreadPoolExecutor(1, 'checkpoint')
    self._pending: Future[None] | None = None
    logging.get_absl_logger().addFilter(_is_worth_showing)

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *error: Any) -> None:
    self.close()

  @property
  def steps(self) -> list[int]:
    """The steps that have a complete checkpoint on disk, in order."""
    if not self.folder.is_dir():
      return []
    names = (path.name for path in self.folder.iterdir())
    return sorted(int(name) for name in names if name.isdecimal())

  @property
  def best_step(self) -> int | None:
    """The step of the best metric, or None if none was saved with metrics.

    Of equal ones it is the earliest; NaN is never the best.

    Raises:
      CorruptCheckpointError: a summary is unreadable, so any could be best.
    """
    return _until_undisturbed(
      lambda: self._best({step: self.score(step) for step in self.steps})
    )

  def score(self, step: int) -> float | None:
    """The selection metric of a checkpoint, None if saved without metrics.

    Raises:
      CorruptCheckpointError: it cannot be read.
    """
    return _read_summary(self._path(step))['metrics'].get(self._metric)

  def save(
    self, step: int, state: Any, metrics: Mapping[str, float] | None = None
  ) -> None:
    """Copies the state and starts to write it; the caller may then donate it.

    Waits for the write before, if that is still under way. Once this one is
    complete, checkpoints no longer wanted are deleted: all but the newest and
    the best. One saved without metrics is never the best.

    The same step may be saved again. The same state is not written twice, and
    its metrics are those of both; another state takes the place of the first
    when it is complete.

    Args:
      step: the number of steps taken.
      state: a tree of arrays. Random keys must be raw key data.
      metrics: what is known of this state, the selection metric among it.

    Raises:
      ValueError: the selection metric is missing, or an array has no elements.
      TypeError: a leaf is not an array.
      OSError: the write before failed.
    """
    metrics = {name: float(value) for name, value in (metrics or {}).items()}
    if metrics and self._metric not in metrics:
      raise ValueError(f'metrics are {list(metrics)}, without {self._metric}.')
    self._prepare_to_write()
    arrays = _copy_to_host(state)
    summary = {'metrics': metrics, 'arrays': _fingerprints(arrays)}
    held = self._held(step)
    if held.get('arrays') == summary['arrays']:
      if metrics.items() - held['metrics'].items():
        held['metrics'] |= metrics
        self._pending = self._thread.submit(self._amend, step, held)
      return
    logging.info('Saving checkpoint %s', self._path(step))
    new = self._path(step).with_suffix('.new')
    response = ocp.save_checkpointables_async(new, {'state': arrays})
    self._pending = self._thread.submit(self._complete, step, summary, response)

  def restore(self, like: Any, which: str | int = 'latest') -> tuple[int, Any]:
    """Reads a checkpoint, and changes nothing in the folder.

    The latest is the newest one that is sound; corrupt ones after it are named
    in a warning. The best one, or that of a given step, must be sound.

    Args:
      like: a tree of the same structure, of arrays or ShapeDtypeStructs. Where
        a leaf has a sharding, the restored one is placed in the same way;
        otherwise it goes to the default device.
      which: 'latest', 'best', or a step.

    Returns:
      The checkpoint's step and its state.

    Raises:
      FileNotFoundError: there is no such checkpoint; `steps` says which are.
      CorruptCheckpointError: it is corrupt, or for 'latest' all are.
      ValueError: the state saved is not of the structure, types and shapes
        of `like`.
    """
    if which != 'latest':
      return _until_undisturbed(lambda: self._restore_exactly(like, which))
    step, state, corrupt = _until_undisturbed(lambda: self._newest_sound(like))
    for reason in corrupt.values():
      logging.warning('Corrupt, so step %d is read instead: %s', step, reason)
    return step, state

  def resume(self, like: Any) -> tuple[int, Any]:
    """Restores the newest sound checkpoint for a run that will save here.

    Corrupt ones after it are renamed, `1200` to `1200.corrupt`, with a warning;
    if none is sound, nothing is renamed. Leftovers of a killed process are
    deleted. Arguments, result and errors are those of `restore`.
    """
    self._prepare_to_write()
    step, state, corrupt = self._newest_sound(like)
    for corrupt_step, reason in corrupt.items():
      aside = self._set_aside(corrupt_step)
      logging.warning(
        'Corrupt, renamed to %s, going on from step %d: %s', aside, step, reason
      )
    return step, state

  def wait(self) -> None:
    """Waits until what was saved is complete and the unwanted is deleted.

    Raises:
      OSError: it could not be written; what was there before still is.
    """
    if self._pending is None:
      return
    pending, self._pending = self._pending, None
    try:
      pending.result()
    except Exception as error:
      raise OSError(
        f'A checkpoint in {self.folder} could not be written: {_reason(error)}'
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
      for pattern in LEFTOVERS:
        for leftover in self.folder.glob(pattern):
          shutil.rmtree(leftover, ignore_errors=True)
    multihost_utils.sync_global_devices('checkpoint folder cleaned')

  def _complete(
    self, step: int, summary: dict[str, Any], response: Any
  ) -> None:
    """Publishes what orbax has written, and only then deletes the unwanted."""
    response.result()
    if jax.process_index() == 0:
      path = self._path(step)
      new = path.with_suffix('.new')
      _write_summary(new, summary | {'files': _hash_files(new)})
      if path.exists():
        _delete(path)
      new.rename(path)
      self._delete_unwanted()

  def _amend(self, step: int, summary: dict[str, Any]) -> None:
    if jax.process_index() == 0:
      _write_summary(self._path(step), summary)
      self._delete_unwanted()

  def _delete_unwanted(self) -> None:
    steps = self.steps
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
        _delete(self._path(step))

  def _held(self, step: int) -> dict[str, Any]:
    """The summary of a checkpoint already on disk; empty if there is none."""
    try:
      return _read_summary(self._path(step))
    except (CorruptCheckpointError, _VanishedError):
      return {}

  def _set_aside(self, step: int) -> pathlib.Path:
    aside, count = self.folder / f'{step}.corrupt', 1
    while aside.exists():
      count += 1
      aside = self.folder / f'{step}.corrupt-{count}'
    multihost_utils.sync_global_devices('new name found')
    if jax.process_index() == 0:
      self._path(step).rename(aside)
    multihost_utils.sync_global_devices('checkpoint set aside')
    return aside

  def _newest_sound(
    self, like: Any
  ) -> tuple[int, Any, dict[int, CorruptCheckpointError]]:
    """A step, its state, and what is wrong with the later ones."""
    corrupt: dict[int, CorruptCheckpointError] = {}
    for step in reversed(self.steps):
      try:
        return step, _load(self._path(step), like), corrupt
      except CorruptCheckpointError as error:
        corrupt[step] = error
    if not corrupt:
      raise FileNotFoundError(f'There is no checkpoint in {self.folder}.')
    reasons = '\n'.join(str(reason) for reason in corrupt.values())
    raise CorruptCheckpointError(
      f'All checkpoints in {self.folder} are corrupt. Put back copies of them, '
      f'or move them away to start anew.\n{reasons}'
    )

  def _restore_exactly(self, like: Any, which: str | int) -> tuple[int, Any]:
    steps = self.steps
    step = self.best_step if which == 'best' else which
    if step not in steps:
      wanted = 'with metrics' if which == 'best' else f'of step {which}'
      raise FileNotFoundError(
        f'There is no checkpoint {wanted} in {self.folder}; the steps are '
        f'{steps}.'
      )
    try:
      return step, _load(self._path(step), like)
    except CorruptCheckpointError as error:
      raise CorruptCheckpointError(
        f'{error}\nPut back a copy of it, or ask for another step of {steps}.'
      ) from error


def _is_worth_showing(record: LogRecord) -> bool:
  """Not orbax's progress, ten lines a save; its failures are exceptions."""
  parts = pathlib.PurePath(record.pathname).parts
  return 'orbax' not in parts or record.levelno >= ERROR


class _VanishedError(Exception):
  """The run that writes deleted a checkpoint while it was being read."""


def _until_undisturbed(read: Callable[[], T]) -> T:
  """Reads anew as long as what was chosen is deleted before it is read."""
  while True:
    try:
      return read()
    except _VanishedError:
      continue


def _copy_to_host(state: Any) -> dict[str, np.ndarray]:
  """Copies of all leaves, whole, by their paths.

  Real copies: on a CPU, what NumPy is given is the memory of the array itself,
  which the next step wants to overwrite while this one is still being written.
  """
  whole = {name: _whole(leaf) for name, leaf in _leaves(state).items()}
  arrays = {
    name: np.array(array, order='C', copy=True)
    for name, array in jax.device_get(whole).items()
  }
  for name, array in arrays.items():
    if array.size == 0:
      raise ValueError(f'{name} is {_describe(array)}; it must have elements.')
  return arrays


def _leaves(tree: Any) -> dict[str, Any]:
  leaves: dict[str, Any] = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    if not hasattr(leaf, 'dtype'):
      raise TypeError(f'{name} is {leaf!r}; a state has arrays only.')
    if name in leaves:
      raise ValueError(f'Two leaves of the state are called {name}.')
    leaves[name] = leaf
  return leaves


def _whole(leaf: Any) -> Any:
  """Collects an array that is spread over processes."""
  if not isinstance(leaf, jax.Array):
    return leaf
  if leaf.is_fully_addressable or leaf.is_fully_replicated:
    return leaf
  return multihost_utils.process_allgather(leaf, tiled=True)


def _describe(leaf: Any) -> str:
  """Type and shape, such as float32[3, 4]."""
  return f'{leaf.dtype}{list(leaf.shape)}'


def _fingerprints(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
  """Type, shape and SHA-256 of each array."""
  return {
    name: f'{_describe(array)} {_sha256(array.reshape(-1).view(np.uint8))}'
    for name, array in arrays.items()
  }


def _sha256(data: Any) -> str:
  return hashlib.sha256(data).hexdigest()


def _hash_files(folder: pathlib.Path) -> dict[str, str]:
  """SHA-256 of every file in a folder, but the summary."""
  hashes = {}
  for path in sorted(folder.rglob('*')):
    if path.is_file() and path != folder / 'summary.json':
      with path.open('rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
      hashes[path.relative_to(folder).as_posix()] = digest
  return hashes


def _write_summary(folder: pathlib.Path, summary: dict[str, Any]) -> None:
  part = folder / 'summary.json.part'
  part.write_text(json.dumps(summary | {'seal': _seal(summary)}, indent=1))
  part.replace(folder / 'summary.json')


def _seal(summary: Mapping[str, Any]) -> str:
  """SHA-256 of the summary itself, which holds the metrics."""
  content = {name: summary[name] for name in ('metrics', 'arrays', 'files')}
  return _sha256(json.dumps(content, sort_keys=True).encode())


def _read_summary(path: pathlib.Path) -> dict[str, Any]:
  try:
    summary = json.loads((path / 'summary.json').read_bytes())
    if summary['seal'] != _seal(summary):
      raise ValueError('summary.json is not what was saved')
  except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
    raise _corrupt_or_vanished(path, error) from error
  return summary


def _corrupt_or_vanished(path: pathlib.Path, error: Exception) -> Exception:
  if not path.exists():
    return _VanishedError(path)
  return CorruptCheckpointError(f'{path}: {_reason(error)}')


def _reason(error: BaseException) -> str:
  """The first line of the error that started it; orbax wraps it in prose."""
  while cause := error.__cause__ or error.__context__:
    error = cause
  lines = str(error).splitlines() or ['']
  return f'{type(error).__name__}: {lines[0][:200]}'


def _load(path: pathlib.Path, like: Any) -> Any:
  """Reads, verifies and places one checkpoint."""
  summary = _read_summary(path)
  try:
    _verify(_hash_files(path), summary['files'])
    arrays = ocp.load_checkpointables(path, {'state': None})['state']
    _verify(_fingerprints(arrays), summary['arrays'])
  except (MemoryError, PermissionError):
    raise  # says nothing about the checkpoint
  except Exception as error:
    raise _corrupt_or_vanished(path, error) from error
  leaves = _leaves(like)
  _check_alike(path, arrays, leaves)
  placed = [_place(arrays[name], leaf) for name, leaf in leaves.items()]
  return jax.tree.unflatten(jax.tree.structure(like), placed)


def _verify(found: Mapping[str, str], saved: Mapping[str, str]) -> None:
  for name in saved:
    if name not in found:
      raise ValueError(f'{name} is missing')
    if found[name] != saved[name]:
      raise ValueError(f'{name} is not what was saved')


def _check_alike(
  path: pathlib.Path, arrays: Mapping[str, Any], leaves: Mapping[str, Any]
) -> None:
  for name in [*leaves, *arrays]:
    has = _describe(arrays[name]) if name in arrays else 'not there'
    asked = _describe(leaves[name]) if name in leaves else 'no such leaf'
    if has != asked:
      raise ValueError(
        f'{path} is of another model or optimizer: {name} is {has} in the '
        f'checkpoint, and {asked} was asked for.'
      )


def _place(array: np.ndarray, like: Any) -> jax.Array:
  """Puts an array where `like` is; uncommitted arrays may be anywhere."""
  sharding = getattr(like, 'sharding', None)
  if sharding is None or not getattr(like, 'committed', True):
    return jax.device_put(array)
  return jax.make_array_from_callback(
    array.shape, sharding, lambda index: array[index]
  )


def _delete(path: pathlib.Path) -> None:
  """Deletes a checkpoint; neither a reader nor a kill leaves half of it."""
  doomed = path.with_suffix('.deleting')
  path.rename(doomed)
  # What a network file system holds back goes when the next run starts.
  shutil.rmtree(doomed, ignore_errors=True)
