"""A run folder: the names of its files, whose it is, and its config.

- config.json: the config; a folder that has it is that of a run.
- record.json: what the run is checked against, see `hyper.runs.record`.
- starts.jsonl: a line for each start: command, commit, versions, data.
- evaluations.jsonl: a line for each evaluation by evaluate.py.
- metrics.jsonl: the numbers, see `hyper.runs.metrics`.
- tensorboard/: the same numbers, for TensorBoard.
- checkpoints/: see `hyper.runs.checkpoint`.
- vocabulary.json, normalisation.json, word_pieces.json, images.json: what a
  task keeps of its training data.
- profile/: a trace of a few steps, if asked for.
- .lock: locked while a process trains.
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from absl import logging
from ml_collections import ConfigDict

from hyper import configuration, files
from hyper.files import write
from hyper.runs import checkpoint_files, provenance
from hyper.runs.record import (
  EVALUATIONS,
  RECORD,
  STARTS,
  Record,
  append,
  known_data,
  read_record,
  sha256,
  write_record,
)

CONFIG, METRICS, LOCK = 'config.json', 'metrics.jsonl', '.lock'
CHECKPOINTS, TENSORBOARD, PROFILE = 'checkpoints', 'tensorboard', 'profile'
VOCABULARY = 'vocabulary.json'
NORMALISATION = 'normalisation.json'
WORD_PIECES = 'word_pieces.json'
IMAGE_KIND = 'images.json'
KEPT = (VOCABULARY, NORMALISATION, WORD_PIECES, IMAGE_KIND)
ROOT = str(pathlib.Path(__file__).parents[2])  # of the code
T = TypeVar('T')


@runtime_checkable  # annotations are checked in the tests
class Saved(Protocol):
  """What `claim` asks of the checkpoints of a run."""

  @property
  def saved_steps(self) -> list[int]:
    """The steps that have a checkpoint."""

  def wait(self) -> None:
    """Waits until all are complete."""


@contextlib.contextmanager
def hold(workdir: str) -> Iterator[None]:
  """Keeps other processes from training in `workdir`, made if it is missing.

  The operating system releases the lock when the process ends, in whatever way.
  A folder that was made here and has nothing but the lock in it is removed.

  Raises:
    ValueError: another process trains there.
    OSError: the file system has no locks, or cannot be written.
  """
  is_new = not os.path.isdir(workdir)
  os.makedirs(workdir, exist_ok=True)
  path = os.path.join(workdir, LOCK)
  with open(path, 'a', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(
        f'another train.py is at work in {workdir}; wait for it, or give '
        'another --workdir.'
      ) from error
    except OSError as error:
      raise OSError(
        f'{path} cannot be locked ({error.strerror}): the file system of '
        f'{workdir} has no flock. Give a --workdir on another one.'
      ) from error
    try:
      yield
    finally:
      if is_new and os.listdir(workdir) == [LOCK]:
        os.remove(path)
        os.rmdir(workdir)


def is_held(workdir: str) -> bool:
  """Returns whether a process trains in a folder.

  Raises:
    OSError: the file system has no locks, or cannot be written.
  """
  try:
    with hold(workdir):
      return False
  except ValueError:
    return True


def is_run(workdir: str) -> bool:
  """Returns whether a run has begun in a folder."""
  return os.path.exists(os.path.join(workdir, CONFIG))


def load_config(workdir: str) -> ConfigDict:
  """Returns the config of a run, locked.

  Raises:
    FileNotFoundError: `workdir` is no run folder.
    ValueError: config.json is damaged, incomplete, or of a newer format.
  """
  path = os.path.join(workdir, CONFIG)
  if not is_run(workdir):
    raise FileNotFoundError(
      f'{workdir} is no run folder: it has no {CONFIG}. Give the --workdir of '
      'a run that train.py has started.'
    )
  with open(path, 'rb') as file:
    content = file.read()
  try:
    config = configuration.from_json(content.decode())
    configuration.check(config)
  except (ValueError, TypeError, AttributeError) as error:
    raise ValueError(f'{path} cannot be used: {error}') from error
  return config


def save_config(workdir: str, config: ConfigDict) -> None:
  """Writes config.json, whole or not at all."""
  write(os.path.join(workdir, CONFIG), configuration.to_json(config))


def check_run(workdir: str, config: ConfigDict) -> None:
  """Checks that a config can be saved, and is that of the run in `workdir`.

  Raises:
    ValueError: the config is incomplete or cannot be saved exactly, `workdir`
      cannot be used, holds a run of another config, or lacks the config or the
      checkpoints of its run.
  """
  files.check_workdir(workdir)
  configuration.check(config)
  steps = checkpoint_files.saved_steps(pathlib.Path(workdir, CHECKPOINTS))
  if not is_run(workdir):
    if steps:
      raise ValueError(
        f'{workdir} has checkpoints, but no {CONFIG} that says of what. Put '
        'back a copy of it, or give a new --workdir.'
      )
    return
  now = configuration.from_json(configuration.to_json(config))
  changes = [
    line
    for line in configuration.difference(load_config(workdir), now)
    if line.partition(':')[0] not in configuration.CHANGEABLE
  ]
  if changes:
    raise ValueError(
      f'{workdir} holds a run of another config. In the folder -> now:\n'
      + ''.join(f'  {line}\n' for line in changes)
      + 'Give a new --workdir, or the old values to resume that run.'
    )
  record = read_record(workdir)
  if record and record.first_checkpoint is not None and not steps:
    raise ValueError(
      f'{workdir} had checkpoints, the first of step '
      f'{record.first_checkpoint}, and has none now. Put back a copy of '
      f'{CHECKPOINTS}, or give a new --workdir to begin again.'
    )


@contextlib.contextmanager
def claim(
  workdir: str,
  config: ConfigDict,
  data_dir: str,
  data: Mapping[str, str],
  checkpoints: Saved,
  parameters: int,
) -> Iterator[None]:
  """Marks `workdir` as this run: writes config.json and appends a start.

  Undone if a new run fails before its first checkpoint, since the config may
  be what made it fail. Numbers of an earlier run without a config are renamed.

  Args:
    workdir: the run folder, held by this process.
    config: of the run.
    data_dir: of the data sets.
    data: the fingerprint of each split.
    checkpoints: of the run, set right by `resume` if there are any.
    parameters: how many are trained.

  Raises:
    ValueError: the run was begun with other data.
  """
  is_new = not is_run(workdir)
  if is_new:
    for name in (RECORD, STARTS, METRICS, EVALUATIONS):
      _set_aside(workdir, name)
  elif changes := data_changes(workdir, data):
    raise ValueError(
      f'{workdir} was begun with {changes}. Put them back, or give a new '
      '--workdir.'
    )
  steps = checkpoints.saved_steps
  step = steps[-1] if steps else 0
  where = {'data_dir': os.path.abspath(data_dir), 'data': dict(data)}
  start = {'step': step, 'parameters': parameters} | where
  try:
    _update_record(workdir, data, steps)
    save_config(workdir, config)
    append(workdir, STARTS, start | provenance.describe(ROOT))
    yield
  except Exception:
    try:
      checkpoints.wait()
    except OSError as failure:
      logging.error('%s', failure)  # which must not hide the error before it
    if is_new and not checkpoints.saved_steps:
      for name in (CONFIG, RECORD, STARTS):
        pathlib.Path(workdir, name).unlink(missing_ok=True)
    raise


def note_checkpoint(workdir: str, step: int) -> None:
  """Records that a run has published a checkpoint, unless one is recorded."""
  record = read_record(workdir)
  if record and record.first_checkpoint is None:
    write_record(workdir, dataclasses.replace(record, first_checkpoint=step))


def data_changes(workdir: str, data: Mapping[str, str]) -> str:
  """Returns which data are other ones than those that a run was begun with.

  Args:
    workdir: the run folder.
    data: the fingerprint of each split now.

  Returns:
    Words such as 'other training data (a) than there are now (b)'; empty if no
    split has changed that was fingerprinted when the run began.
  """
  known = known_data(workdir)
  changed = [x for x in data if x in known and known[x] != data[x]]
  names = ['training' if x == 'train' else x for x in changed]
  before, now = (', '.join(d[x] for x in changed) for d in (known, data))
  if not changed:
    return ''
  return f'other {", ".join(names)} data ({before}) than there are now ({now})'


def note_evaluation(workdir: str, scores: Mapping[str, Any]) -> None:
  """Appends scores to evaluations.jsonl; one that cannot is a warning."""
  try:
    append(workdir, EVALUATIONS, scores)
  except OSError as error:
    logging.warning('the scores are not kept in %s: %s', workdir, error)


def save(workdir: str, name: str, text: str) -> None:
  """Writes a file that a run keeps of its data; `name` is one of KEPT."""
  write(os.path.join(workdir, name), text)


def read(workdir: str, name: str, parse: Callable[[str], T]) -> T | None:
  """Returns a file that a run keeps, parsed and verified.

  Returns None if no run has begun in `workdir`: what a start that failed left
  there belongs to no run.

  Raises:
    FileNotFoundError: a run has begun there, but its file is missing.
    ValueError: the file is damaged, or not the one that the run wrote.
  """
  if not is_run(workdir):
    return None
  path = os.path.join(workdir, name)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f'{workdir} holds a run, but no {name}, without which its checkpoints '
      'have no meaning. Put back a copy of it.'
    )
  with open(path, 'rb') as file:
    content = file.read()
  record = read_record(workdir)
  if record is None or name not in record.files:
    logging.info('%s has no checksum on record; it is taken as it is.', path)
  elif record.files[name] != sha256(content):
    raise ValueError(
      f'{path} is not the file that the run wrote. Put back a copy of it.'
    )
  try:
    return parse(content.decode())
  except Exception as error:  # tokenizers raises nothing narrower
    raise ValueError(
      f'{path} is damaged ({error}). Put back a copy of it.'
    ) from error


def _update_record(
  workdir: str, data: Mapping[str, str], steps: list[int]
) -> None:
  """Records what is not yet on record, as it is now."""
  record = read_record(workdir)
  if record is None:
    record = Record(known_data(workdir), {}, None)
    if is_run(workdir):
      logging.info(
        '%s has no record, like runs begun by an earlier version: checksums '
        'of its files and data are recorded from now on.',
        workdir,
      )
  paths = [pathlib.Path(workdir, name) for name in KEPT]
  kept = {x.name: sha256(x.read_bytes()) for x in paths if x.exists()}
  first = record.first_checkpoint
  if first is None and steps:
    first = steps[0]
  merged = Record({**data, **record.data}, {**kept, **record.files}, first)
  write_record(workdir, merged)


def _set_aside(workdir: str, name: str) -> None:
  """Renames a file of another run, if there is one with something in it."""
  path = os.path.join(workdir, name)
  if os.path.exists(path) and os.path.getsize(path):
    aside = files.free_name(f'{path}.old')
    os.rename(path, aside)
    logging.warning('%s is of another run, renamed to %s.', path, aside)
