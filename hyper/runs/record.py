"""The history of a run, and the record that a resumed run is checked against.

starts.jsonl has a line of JSON for each start: step, command, commit, versions,
hardware, parameters, data. evaluations.jsonl has one for each evaluation, and
`resumed_from` where a run went back to an earlier step than one evaluated. Both
are history; no run depends on them.

record.json holds the fingerprint of each split of the data, the SHA-256 of each
file that the run keeps of them, and the step of the first checkpoint. Folders
of format 1 have no record.json; for them the fingerprint of the training data
is read from starts.jsonl.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from absl import logging

from hyper import files

RECORD, STARTS = 'record.json', 'starts.jsonl'
EVALUATIONS, METRICS = 'evaluations.jsonl', 'metrics.jsonl'
RESUMED_FROM = 'resumed_from'  # in evaluations.jsonl
INIT_FROM = 'init_from'  # in the line of a start with parameters of another run


@dataclasses.dataclass(frozen=True)
class Record:
  """The content of record.json.

  Attributes:
    data: the fingerprint of each split that was fingerprinted.
    files: the SHA-256 of each file that the run keeps, by name.
    first_checkpoint: the step of the first checkpoint ever published, or None
      before that.
  """

  data: Mapping[str, str]
  files: Mapping[str, str]
  first_checkpoint: int | None

  def __post_init__(self) -> None:
    for name in ('data', 'files'):
      if not isinstance(getattr(self, name), Mapping):
        raise TypeError(f'{name} is {getattr(self, name)!r}, and no table')
    if not isinstance(self.first_checkpoint, int | None):
      raise TypeError(f'first_checkpoint is {self.first_checkpoint!r}')


def read_record(workdir: str) -> Record | None:
  """Returns the record of a run; None if there is no record.json (format 1).

  Raises:
    ValueError: record.json is damaged.
  """
  path = os.path.join(workdir, RECORD)
  try:
    with open(path, 'rb') as file:
      return Record(**json.loads(file.read()))
  except FileNotFoundError:
    return None
  except (ValueError, TypeError, RecursionError) as error:
    raise ValueError(
      f'{path} is damaged ({error}). Put back a copy of it; or remove it, and '
      'the next start records the files of the run as they are then.'
    ) from error


def write_record(workdir: str, record: Record) -> None:
  """Writes record.json, whole or not at all."""
  text = json.dumps(dataclasses.asdict(record), indent=2) + '\n'
  files.write(os.path.join(workdir, RECORD), text)


def sha256(content: bytes) -> str:
  """Returns the SHA-256 of some bytes in hexadecimal digits."""
  return hashlib.sha256(content).hexdigest()


def known_data(workdir: str) -> Mapping[str, str]:
  """Returns the fingerprints of the data that a run was begun with.

  A split that was not fingerprinted then has no entry.
  """
  record = read_record(workdir)
  if record is not None:
    return record.data
  fingerprints = [line.get('data') for line in read_lines(workdir, STARTS)]
  first = next((x for x in fingerprints if isinstance(x, str)), None)
  return {'train': first} if first else {}


def first_checkpoint(workdir: str) -> int | None:
  """Returns the step of the first checkpoint that a run published, if any.

  Of a run without a record it is the step of the first score in metrics.jsonl.
  Earlier versions saved a checkpoint for each score.
  """
  record = read_record(workdir)
  if record is not None:
    return record.first_checkpoint
  lines = read_lines(workdir, METRICS)
  scored = [x.get('step') for x in lines if x.get('split') == 'validation']
  return scored[0] if scored else None


def note_checkpoint(workdir: str, step: int) -> None:
  """Records the step of a published checkpoint, if it is the first one."""
  record = read_record(workdir)
  if record and record.first_checkpoint is None:
    write_record(workdir, dataclasses.replace(record, first_checkpoint=step))


def data_changes(workdir: str, data: Mapping[str, str]) -> str:
  """Describes the splits whose data have changed since the run began.

  Args:
    workdir: the run folder.
    data: the fingerprint of each split now.

  Returns:
    Words such as 'other training data (a) than there are now (b)'. Empty if the
    splits that were fingerprinted when the run began are unchanged.
  """
  known = known_data(workdir)
  changed = [x for x in data if x in known and known[x] != data[x]]
  names = ['training' if x == 'train' else x for x in changed]
  before, now = (', '.join(d[x] for x in changed) for d in (known, data))
  if not changed:
    return ''
  return f'other {", ".join(names)} data ({before}) than there are now ({now})'


def evaluations(workdir: str, step: int) -> list[dict[str, Any]]:
  """Returns what evaluate.py found at a checkpoint, in the order of time.

  Evaluations of a changed config, or of other data than the run was begun with,
  are left out, and those of a checkpoint that the run has since made again.
  """
  found: list[dict[str, Any]] = []
  for line in read_lines(workdir, EVALUATIONS):
    back = line.get(RESUMED_FROM)
    if isinstance(back, int) and back < step:
      found = []
    if (
      line.get('checkpoint') == step
      and isinstance(line.get('split'), str)
      and not line.get('set')
      and not line.get('other_data')
    ):
      found.append(line)
  return found


def note_resumption(workdir: str, step: int) -> None:
  """Notes that a run resumes from `step`, if it has scores of later steps.

  It makes the checkpoints of those steps again.
  """
  evaluated = [x.get('checkpoint') for x in read_lines(workdir, EVALUATIONS)]
  if any(isinstance(x, int) and x > step for x in evaluated):
    append(workdir, EVALUATIONS, {RESUMED_FROM: step})


def note_evaluation(workdir: str, scores: Mapping[str, Any]) -> None:
  """Appends `scores` to evaluations.jsonl; warns if it cannot be written."""
  try:
    append(workdir, EVALUATIONS, finite(scores))
  except OSError as error:
    logging.warning('the scores are not kept in %s: %s', workdir, error)


def append(workdir: str, name: str, entry: Mapping[str, Any]) -> None:
  """Appends a line to a file of JSON lines; warns of damaged lines in it."""
  read_lines(workdir, name)
  with open(os.path.join(workdir, name), 'a+b') as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    is_torn = file.read(1) not in (b'', b'\n')
    file.write(b'\n' * is_torn + json.dumps(entry).encode() + b'\n')


def finite(scores: Mapping[str, Any]) -> dict[str, Any]:
  """Returns scores as JSON can hold them: NaN and infinity are None."""
  return {
    name: None if isinstance(x, float) and not math.isfinite(x) else x
    for name, x in scores.items()
  }


def read_lines(workdir: str, name: str) -> list[dict[str, Any]]:
  """Returns the objects in a file of JSON lines; [] if the file is missing.

  Damaged lines are skipped with a warning.
  """
  path = os.path.join(workdir, name)
  entries, content = [], b''
  with contextlib.suppress(FileNotFoundError), open(path, 'rb') as file:
    content = file.read()
  for number, line in enumerate(content.splitlines(), 1):
    try:
      entry = json.loads(line)
    except (ValueError, RecursionError):
      entry = None
    if isinstance(entry, dict):
      entries.append(entry)
    else:
      logging.warning('%s, line %d is damaged and skipped.', path, number)
  return entries
