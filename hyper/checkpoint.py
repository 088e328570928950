"""Checkpoints of a run: the newest few and the best, verified when read.

A checkpoint is an orbax folder named after its step. It holds the arrays of
the state, each under its path in the tree (`params/cell/kernel`), and a
summary in JSON: the metrics it was saved with, and the type, shape and SHA-256
of every array, because orbax reads changed bytes without noticing. A folder
appears under its name only when it is whole. The other names are

  1200.new        step 1200 saved again, about to take the place of 1200
  1200.corrupt    set aside by `resume`, never deleted
  1200.deleting, 1200.orbax-checkpoint-tmp
                  left by a killed process; the next one that writes deletes
                  them

With several processes every method that writes must be called by all of them;
the folder is one that all can see.
"""

import hashlib
import json
import math
import pathlib
import shutil
from collections.abc import Callable, Mapping
from logging import ERROR, LogRecord
from os import PathLike
from typing import Any, Literal, TypeVar

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

T = TypeVar('T')


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
    folder: str | PathLike[str],
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
    self._pending: tuple[pathlib.Path, Any] | None = None
    self._has_cleaned = False
    logging.get_absl_logger().addFilter(_is_worth_showing)

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *error: Any) -> None:
    self.wait()

  @property
  def steps(self) -> list[int]:
    """The steps that have a complete checkpoint on disk, in order."""
    if not self.folder.is_dir():
      return []
    names = {path.name.removesuffix('.new') for path in self.folder.iterdir()}
    return sorted(int(name) for name in names if name.isdecimal())

  @property
  def best_step(self) -> int | None:
    """The step of the best metric, or None if none was saved with metrics.

    Of equal ones it is the earliest; NaN is never the best.

    Raises:
      CorruptCheckpointError: a summary is unreadable, so any could be best.
    """
    return _until_undisturbed(
      lambda: self._best({step: self._score(step) for step in self.steps})
    )

  def save(
    self, step: int, state: Any, metrics: Mapping[str, float] | None = None
  ) -> None:
    """Copies the state and starts to write it; the caller may then donate it.

    Waits for the write before, if that is still under way. Once this one is
    complete (see `wait`), checkpoints no longer wanted are deleted: all but
    the newest and the best. One saved without metrics is never the best.

    The same step may be saved again: if the state is the same, the metrics of
    both are kept, and nothing is written if that adds none; a different state
    takes the place of the one on disk once it is complete.

    Args:
      step: the number of steps taken.
      state: a tree of arrays. Random keys must be raw key data.
      metrics: what is known of this state, the selection metric among it.

    Raises:
      ValueError: the selection metric is missing, or an array has no elements.
      TypeError: a leaf is not an array.
      RuntimeError: the write before failed.
    """
    metrics = {name: float(value) for name, value in (metrics or {}).items()}
    if metrics and self._metric not in metrics:
      raise ValueError(f'metrics are {list(metrics)}, without {self._metric}.')
    self._prepare_to_write()
    arrays = _copy_to_host(state)
    summary = _summarize(arrays, metrics)
    held = self._held(step)
    if held and held['leaves'] == summary['leaves']:
      summary['metrics'] = held['metrics'] | metrics
      if summary == held:
        return
    path = self.folder / (f'{step}.new' if held else str(step))
    logging.info('Saving checkpoint %s', path)
    items = {'state': arrays, 'summary': _seal(json.dumps(summary))}
    self._pending = path, ocp.save_checkpointables_async(path, items)

  def restore(
    self, like: Any, which: Literal['latest', 'best'] | int = 'latest'
  ) -> tuple[int, Any]:
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
    for path, reason in corrupt.items():
      aside = self._set_aside(path)
      logging.warning(
        'Corrupt, renamed to %s, going on from step %d: %s', aside, step, reason
      )
    return step, state

  def wait(self) -> None:
    """Waits until what was saved is complete, and deletes what is unwanted.

    Raises:
      RuntimeError: it could not be written; what was there before still is.
    """
    if self._pending is None:
      return
    (path, response), self._pending = self._pending, None
    try:
      response.result()
    except Exception as error:
      raise RuntimeError(
        f'Checkpoint {path} could not be written: {_root_cause(error)}'
      ) from error
    if jax.process_index() == 0:
      self._adopt(path)
      self._delete_unwanted()
    multihost_utils.sync_global_devices('checkpoint complete')

  def _path(self, step: int) -> pathlib.Path:
    new = self.folder / f'{step}.new'
    return new if new.exists() else self.folder / str(step)

  def _score(self, step: int) -> float | None:
    metrics = _read_summary(self._path(step))['metrics']
    return metrics.get(self._metric)

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
      for pattern in ('[0-9]*.orbax-checkpoint-tmp*', '[0-9]*.deleting'):
        for leftover in self.folder.glob(pattern):
          shutil.rmtree(leftover, ignore_errors=True)
      for path in self.folder.glob('[0-9]*.new'):
        self._adopt(path)
    multihost_utils.sync_global_devices('checkpoint folder cleaned')

  def _adopt(self, path: pathlib.Path) -> None:
    """Puts a `.new` checkpoint in the place of the one of the same step."""
    if path.suffix == '.new':
      if path.with_suffix('').exists():
        _delete(path.with_suffix(''))
      path.rename(path.with_suffix(''))

  def _delete_unwanted(self) -> None:
    steps = self.steps
    wanted: set[int | None] = set(steps[-self._keep_latest :])
    scores = {}
    for step in steps:
      try:
        scores[step] = self._score(step)
      except CorruptCheckpointError:
        wanted.add(step)  # it may have been the best; `restore` will tell
    wanted.add(self._best(scores))
    for step in steps:
      if step not in wanted:
        _delete(self._path(step))

  def _held(self, step: int) -> dict[str, Any] | None:
    """The summary of what is on disk for a step about to be saved."""
    if step not in self.steps:
      return None
    path = self._path(step)
    try:
      return _read_summary(path)
    except CorruptCheckpointError as error:
      aside = self._set_aside(path)
      logging.warning('Corrupt, renamed to %s: %s', aside, error)
      return None

  def _set_aside(self, path: pathlib.Path) -> pathlib.Path:
    aside, count = path.with_suffix('.corrupt'), 1
    while aside.exists():
      count += 1
      aside = path.with_suffix(f'.corrupt-{count}')
    if jax.process_index() == 0:
      path.rename(aside)
    multihost_utils.sync_global_devices('checkpoint set aside')
    return aside

  def _newest_sound(
    self, like: Any
  ) -> tuple[int, Any, dict[pathlib.Path, CorruptCheckpointError]]:
    """The step, its state, and what is wrong with the newer ones."""
    corrupt: dict[pathlib.Path, CorruptCheckpointError] = {}
    for step in reversed(self.steps):
      path = self._path(step)
      try:
        return step, _load(path, like), corrupt
      except CorruptCheckpointError as error:
        corrupt[path] = error
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

  Real copies: on a CPU, NumPy's view of an array shows what a later step makes
  of the donated memory, while it is still being written to disk.
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


def _summarize(
  arrays: Mapping[str, np.ndarray], metrics: dict[str, float]
) -> dict[str, Any]:
  leaves = {name: _fingerprint(array) for name, array in arrays.items()}
  return {'metrics': metrics, 'leaves': leaves}


def _fingerprint(array: np.ndarray) -> str:
  """Type, shape and SHA-256 of the bytes."""
  return f'{_describe(array)} {_sha256(array.reshape(-1).view(np.uint8))}'


def _describe(leaf: Any) -> str:
  """Type and shape, such as float32[3, 4]."""
  return f'{leaf.dtype}{list(leaf.shape)}'


def _sha256(data: Any) -> str:
  return hashlib.sha256(data).hexdigest()


def _seal(text: str) -> str:
  """The text after a line with its SHA-256."""
  return f'{_sha256(text.encode())}\n{text}'


def _load(path: pathlib.Path, like: Any) -> Any:
  """Reads, verifies and places one checkpoint."""
  saved = _read_summary(path)['leaves']
  arrays = _read_item(path, 'state')
  for name in saved | arrays:
    if name not in arrays or _fingerprint(arrays[name]) != saved.get(name):
      raise CorruptCheckpointError(f'{path}: {name} is not what was saved')
  leaves = _leaves(like)
  _check_alike(path, arrays, leaves)
  placed = [_place(arrays[name], leaf) for name, leaf in leaves.items()]
  return jax.tree.unflatten(jax.tree.structure(like), placed)


def _read_summary(path: pathlib.Path) -> dict[str, Any]:
  sealed = str(_read_item(path, 'summary'))
  text = sealed.partition('\n')[2]
  if sealed != _seal(text):
    raise CorruptCheckpointError(f'{path}: its summary is not what was saved')
  return json.loads(text)


def _read_item(path: pathlib.Path, name: str) -> Any:
  try:
    return ocp.load_checkpointables(path, {name: None})[name]
  except (MemoryError, PermissionError):
    raise  # says nothing about the checkpoint
  except Exception as error:
    if not path.exists():
      raise _VanishedError(path) from error
    raise CorruptCheckpointError(f'{path}: {_root_cause(error)}') from error


def _root_cause(error: BaseException) -> str:
  """The first line of the error that started it; orbax wraps it in prose."""
  while cause := error.__cause__ or error.__context__:
    error = cause
  lines = str(error).splitlines() or ['']
  return f'{type(error).__name__}: {lines[0][:200]}'


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
  """Deletes a checkpoint; a reader or a kill never sees half of it."""
  doomed = path.with_suffix('.deleting')
  path.rename(doomed)
  # What a network file system holds back goes when the next run starts.
  shutil.rmtree(doomed, ignore_errors=True)
