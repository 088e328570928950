"""Where the figures of a run come from: command, commit, versions, hardware."""

import contextlib
import datetime
import json
import os
import shlex
import subprocess
import sys
from typing import Any

import flax
import jax
import numpy
import optax

STARTS = 'starts.jsonl'


def note_start(workdir: str, step: int, root: str, data: str) -> None:
  """Appends a line of JSON to `starts.jsonl` in a run folder.

  Args:
    workdir: the run folder.
    step: at which training begins or goes on.
    root: folder of the code, whose commit is noted.
    data: the fingerprint of the training data.
  """
  line = json.dumps({'step': step} | describe(root) | {'data': data})
  with open(os.path.join(workdir, STARTS), 'a', encoding='utf-8') as file:
    file.write(line + '\n')


def forget_starts(workdir: str) -> None:
  """Removes what starts that failed have left in a folder of no run."""
  with contextlib.suppress(FileNotFoundError):
    os.remove(os.path.join(workdir, STARTS))


def check_data(workdir: str, data: str) -> None:
  """Raises a ValueError unless a run goes on with the data it was begun with.

  Args:
    workdir: the run folder.
    data: the fingerprint of the training data now.
  """
  path = os.path.join(workdir, STARTS)
  if not os.path.exists(path):
    return
  with open(path, encoding='utf-8') as file:
    starts = [json.loads(line) for line in file if line.endswith('}\n')]
  for start in starts:
    if start.get('data', data) != data:
      raise ValueError(
        f'{workdir} was begun with other training data ({start["data"]}) than '
        f'there are now ({data}). Put them back, or give a new --workdir.'
      )


def describe(root: str) -> dict[str, Any]:
  """What is known of this process and of the code that it runs."""
  return {
    'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'command': shlex.join(['python', *sys.argv]),
    'commit': commit(root),
    'python': sys.version.split()[0],
    'versions': {x.__name__: x.__version__ for x in (jax, flax, optax, numpy)},
    'devices': devices(),
    'cores': cores(),
  }


def devices() -> str:
  """What computes, such as 'NVIDIA H100 (gpu), one of 8'."""
  used, count = jax.devices()[0], jax.device_count()
  others = f', one of {count}' if count > 1 else ''
  return f'{used.device_kind} ({used.platform}){others}'


def cores() -> int | None:
  """The CPU cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count()


def commit(root: str) -> str:
  """The commit of a folder's code, ending in -dirty where files are changed.

  Empty where the folder is no git repository or git is not installed.
  """
  if not os.path.exists(os.path.join(root, '.git')):
    return ''
  options = ('--always', '--dirty', '--abbrev=40', '--exclude=*')
  try:
    done = subprocess.run(
      ['git', 'describe', *options],
      cwd=root,
      capture_output=True,
      text=True,
      timeout=10,
    )
  except (OSError, subprocess.TimeoutExpired):
    return ''
  return done.stdout.strip()
