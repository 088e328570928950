"""Where workers run: on this machine, or on an engine that is chosen."""

import ast
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from hyper.sweeping import local, machine
from hyper.sweeping.workers import Job

ENGINES = {  # a module with a function `launcher`, and what it needs
  'slurm': ('hyper.sweeping.slurm', 'submitit>=1.5,<2'),
  'ray': ('hyper.sweeping.ray_cluster', 'ray>=2.40,<3'),
}


def on_this_machine(
  command: Sequence[str], workers: int, devices: Sequence[str]
) -> Callable[[int], Job]:
  """Returns a function that starts a worker on its share of this machine.

  Args:
    command: of a worker.
    workers: the number of workers.
    devices: names of the accelerators to use; empty for all.

  Raises:
    ValueError: there are more workers than devices.
  """
  shares = machine.shares(workers, *machine.find(devices))
  return lambda number: local.start(command, shares[number])


def on_engine(
  name: str, command: Sequence[str], folder: str, options: Sequence[str]
) -> Callable[[int], Job]:
  """Returns a function that starts a worker on an engine, and imports that.

  Args:
    name: one of ENGINES.
    command: of a worker.
    folder: for logs.
    options: of the engine, each NAME=VALUE.

  Raises:
    ValueError: the engine is not installed or not available, or has no such
      option.
  """
  module, package = ENGINES[name]
  try:
    engine = importlib.import_module(module)
  except ModuleNotFoundError as error:
    raise ValueError(
      f'--launcher={name} needs a package that is not installed ({error}); '
      f"run pip install '{package}'."
    ) from error
  given = dict(map(option, options))
  return engine.launcher(command, os.path.abspath(folder), given)


def option(text: str) -> tuple[str, Any]:
  """Returns name and value of NAME=VALUE; a value that is no literal is text.

  >>> option('num_gpus=1'), option('slurm_partition=gpu')
  (('num_gpus', 1), ('slurm_partition', 'gpu'))

  Raises:
    ValueError: there is no equals sign.
  """
  name, equals, value = text.partition('=')
  if not equals:
    raise ValueError(f'--launcher_option={text}; give NAME=VALUE.')
  try:
    return name, ast.literal_eval(value)
  except (ValueError, SyntaxError):
    return name, value
