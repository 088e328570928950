"""A run folder: the names of its files, its config, and checks on a resume.

- config.json: the config; a folder that has this file is a run folder.
- record.json: what the run is checked against, see `hyper.runs.record`.
- starts.jsonl: a line for each start: command, commit, versions, data.
- evaluations.jsonl: a line for each evaluation by evaluate.py.
- metrics.jsonl: the numbers, see `hyper.runs.metrics`.
- tensorboard/: the same numbers, and samples, for TensorBoard.
- wandb/: what `train.py --tracker=wandb` keeps.
- checkpoints/: see `hyper.runs.checkpoint`.
- vocabulary.json, normalisation.json, word_pieces.json, images.json: files in
  which a task keeps what it takes from its training data.
- profile/: a trace of a few steps, if asked for.
- .lock: locked while a process trains, see `hyper.runs.lock`.
"""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from absl import logging
from ml_collections import ConfigDict

from hyper import configuration, files
from hyper.files import write
from hyper.runs import checkpoint_files, processes, provenance
from hyper.runs.record import (
  EVALUATIONS,
  METRICS,
  RECORD,
  STARTS,
  Record,
  append,
  data_changes,
  first_checkpoint,
  known_data,
  note_resumption,
  read_record,
  sha256,
  write_record,
)

CONFIG = 'config.json'
CHECKPOINTS, TENSORBOARD, PROFILE = 'checkpoints', 'tensorboard', 'profile'
VOCABULARY = 'vocabulary.json'
NORMALISATION = 'normalisation.json'
WORD_PIECES = 'word_pieces.json'
IMAGE_KIND = 'images.json'
EXPORT = '.safetensors'
KEPT = (VOCABULARY, NORMALISATION, WORD_PIECES, IMAGE_KIND)
ROOT = str(pathlib.Path(__file__).parents[2])  # the folder of the code
T = TypeVar('T')


@runtime_checkable  # annotations are checked in the tests
class Saved(Protocol):
  """The part of `Checkpoints` that `claim` uses."""

  @property
  def saved_steps(self) -> list[int]:
    """Returns the steps that have a checkpoint."""

  def wait(self) -> None:
    """Waits until all saves are complete."""


def is_run(workdir: str) -> bool:
  """Returns whether `workdir` holds a run, which has a config.json."""
  return os.path.exists(os.path.join(workdir, CONFIG))


def is_export(path: str) -> bool:
  """Returns whether `path` names a file of `hyper.export`, no run folder.

  >>> is_export('results/trained.safetensors'), is_export('runs/enwik8')
  (True, False)
  """
  return path.endswith(EXPORT) and not os.path.isdir(path)


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
  except ValueError as error:
    raise ValueError(f'{path} cannot be used: {error}') from error
  return config


@contextlib.contextmanager
def naming_config(workdir: str) -> Iterator[None]:
  """Names the config.json of a run in a ValueError of the block.

  Only its task knows the fields that a config must have. So a field that is
  missing in the file is found when the task is made.
  """
  try:
    yield
  except ValueError as error:
    if not is_run(workdir):
      raise
    path = os.path.join(workdir, CONFIG)
    raise ValueError(f'the task of {path} cannot be made: {error}') from error


def save_config(workdir: str, config: ConfigDict) -> None:
  """Writes config.json, whole or not at all."""
  write(os.path.join(workdir, CONFIG), configuration.to_json(config))


def check_run(workdir: str, config: ConfigDict) -> None:
  """Checks that `config` can be saved, and that `workdir` has no other run.

  Raises:
    ValueError: the config is incomplete or cannot be saved exactly; or
      `workdir` cannot be used, holds a run of another config, or lacks the
      config or the checkpoints of its run.
  """
  files.check_workdir(workdir)
  configuration.check(config)
  saved = checkpoint_files.saved_steps(pathlib.Path(workdir, CHECKPOINTS))
  if not is_run(workdir):
    if saved:
      raise ValueError(
        f'{workdir} has checkpoints, but no {CONFIG} to say of which config. '
        'Put back a copy of it, or give a new --workdir.'
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
      + 'Give a new --workdir, or the old values to resume that run. Only '
      f'{", ".join(configuration.CHANGEABLE)} may change.'
    )
  first = first_checkpoint(workdir)
  if first is not None and not saved:
    raise ValueError(
      f'{workdir} had checkpoints, the first of step {first}, and has none '
      f'now. Put back a copy of {CHECKPOINTS}, or give a new --workdir to '
      'begin again.'
    )


@contextlib.contextmanager
def claim(
  workdir: str,
  config: ConfigDict,
  data_dir: str,
  data: Mapping[str, str],
  checkpoints: Saved,
  start: Mapping[str, Any],
) -> Iterator[None]:
  """Marks `workdir` as this run: writes config.json and appends a start.

  Undone if a new run fails before its first checkpoint, since the config may
  be the cause. Files of an earlier run whose config is gone are renamed.

  Args:
    workdir: the run folder, locked by this process.
    config: of the run.
    data_dir: of the data sets.
    data: the fingerprint of each split.
    checkpoints: of the run, after `resume` if there are any.
    start: further entries of the start's line, such as the number of
      parameters.

  Raises:
    ValueError: the run was begun with other data.
  """
  is_new = not is_run(workdir)
  if is_new:
    for name in (RECORD, STARTS, METRICS, EVALUATIONS, TENSORBOARD):
      _set_aside(workdir, name)
  elif changes := data_changes(workdir, data):
    raise ValueError(
      f'{workdir} was begun with {changes}. Put them back, or give a new '
      f'--workdir. Their names: {_named(config.data)}; --data_dir={data_dir}.'
    )
  saved = checkpoints.saved_steps
  step = saved[-1] if saved else 0
  where = {'data_dir': os.path.abspath(data_dir), 'data': dict(data)}
  line = {'step': step, **start} | where
  try:
    _update_record(workdir, data, saved)
    save_config(workdir, config)
    append(workdir, STARTS, line | provenance.describe(ROOT))
    note_resumption(workdir, step)
    yield
  except Exception:
    try:
      checkpoints.wait()
    except (OSError, MemoryError) as failure:
      logging.error('%s', failure)  # the error that ended the block is raised
    if is_new and not checkpoints.saved_steps:
      for name in (CONFIG, RECORD, STARTS):
        pathlib.Path(workdir, name).unlink(missing_ok=True)
      metrics = pathlib.Path(workdir, METRICS)
      if metrics.exists() and not metrics.stat().st_size:
        metrics.unlink()
    raise


def _named(fields: ConfigDict) -> str:
  """Returns the fields of config.data that are names, such as of files."""
  named = {}
  for field, value in fields.items():
    names = value if isinstance(value, tuple) else (value,)
    if all(isinstance(x, str) and x for x in names) and names:
      named[field] = ' '.join(names)
  return ', '.join(f'config.data.{k}={x}' for k, x in named.items())


def save(workdir: str, name: str, text: str) -> None:
  """Writes a file of the run's data, whole or not at all; `name` is of KEPT.

  Of several processes of a run the first one writes.
  """
  if processes.is_first():
    write(os.path.join(workdir, name), text)


def read(workdir: str, name: str, parse: Callable[[str], T]) -> T | None:
  """Returns the content of a file in KEPT, verified and parsed.

  Returns None if `workdir` holds no run; a file that a failed start left there
  is ignored.

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
    logging.info('%s has no checksum on record and is not verified.', path)
  elif record.files[name] != sha256(content):
    raise ValueError(
      f'{path} is not the file that the run wrote. Put back a copy of it.'
    )
  try:
    return parse(content.decode())
  except MemoryError:
    raise
  except Exception as error:  # tokenizers raises nothing narrower
    raise ValueError(
      f'{path} is damaged ({error}). Put back a copy of it.'
    ) from error


def kept(workdir: str) -> dict[str, str]:
  """Returns the files in KEPT that a run has, by name, not verified."""
  paths = [pathlib.Path(workdir, name) for name in KEPT]
  return {x.name: x.read_text('utf-8') for x in paths if x.exists()}


def rebuild(workdir: str, config: ConfigDict, texts: Mapping[str, str]) -> None:
  """Makes a run folder without checkpoints.

  Args:
    workdir: an empty folder.
    config: of the run.
    texts: its files in KEPT by name; other names are left out.
  """
  for name in {*KEPT} & {*texts}:
    save(workdir, name, texts[name])
  _update_record(workdir, {}, [])
  save_config(workdir, config)


def _update_record(
  workdir: str, data: Mapping[str, str], saved: list[int]
) -> None:
  """Adds to the record what it lacks: data, kept files, first checkpoint."""
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
  if first is None and saved:
    first = saved[0]
  merged = Record({**data, **record.data}, {**kept, **record.files}, first)
  write_record(workdir, merged)


def _set_aside(workdir: str, name: str) -> None:
  """Renames `name` of another run, unless it is missing or an empty file."""
  path = os.path.join(workdir, name)
  if os.path.exists(path) and os.path.getsize(path):
    aside = files.free_name(f'{path}.old')
    os.rename(path, aside)
    logging.warning('%s is of another run; it is renamed to %s.', path, aside)
