"""Where the figures of a run come from: command, commit, versions, hardware."""

import datetime
import json
import os
import shlex
import subprocess
import sys
from typing import Any

import flax
import jax
import optax


def note_start(workdir: str, step: int, root: str) -> None:
  """Appends a line of JSON to `starts.jsonl` in a run folder.

  Args:
    workdir: the run folder.
    step: at which training begins or goes on.
    root: folder of the code, whose commit is noted.
  """
  path = os.path.join(workdir, 'starts.jsonl')
  with open(path, 'a', encoding='utf-8') as file:
    file.write(json.dumps({'step': step} | describe(root)) + '\n')


def describe(root: str) -> dict[str, Any]:
  """What is known of this process and of the code that it runs."""
  return {
    'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'command': shlex.join(['python', *sys.argv]),
    'commit': commit(root),
    'python': sys.version.split()[0],
    'versions': {x.__name__: x.__version__ for x in (jax, flax, optax)},
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
