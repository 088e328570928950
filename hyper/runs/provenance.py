"""Describes this process and its code: command, commit, versions, hardware."""

import datetime
import hashlib
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def describe(root: str) -> dict[str, Any]:
  """Returns a description of this process and of the code that it runs.

  Args:
    root: folder of the code, whose commit is included.
  """
  import flax  # takes a second, which a command that only reads need not spend
  import jax
  import numpy
  import optax

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
  """Returns the devices of this run, such as '8 x NVIDIA H100 (gpu)'."""
  import jax

  first, count = jax.devices()[0], jax.device_count()
  times = f'{count} x ' if count > 1 else ''
  return f'{times}{first.device_kind} ({first.platform})'


def code(root: str) -> str:
  """Returns a hash of the source files of the package `hyper`."""
  digest = hashlib.sha256()
  for path in sorted(pathlib.Path(root, 'hyper').rglob('*.py')):
    digest.update(str(path.relative_to(root)).encode() + b'\0')
    digest.update(path.read_bytes())
  return digest.hexdigest()[:16]


def of_arrays(arrays: Mapping[str, Any]) -> str:
  """Returns a hash of arrays by name."""
  digest = hashlib.sha256()
  for name in sorted(arrays):
    digest.update(f'{name} {arrays[name].dtype} {arrays[name].shape}'.encode())
    digest.update(arrays[name].tobytes())
  return digest.hexdigest()[:16]


def cores() -> int | None:
  """Returns the number of CPU cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count()


def commit(root: str) -> str:
  """Returns the commit of a folder's code, ending in -dirty if files changed.

  The commit is empty if the folder is no git repository or git is not
  installed.
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
