"""The networks of a table of the paper as trials, at its sizes or smaller."""

import math
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from hyper import configuration, paper
from hyper.paper import recipes
from hyper.sweeping import space
from hyper.sweeping.space import Fields, Point

DATA = {  # of the tables, by the names of configs
  **{'mnist': 'mnist', 'cifar10': 'cifar10', 'ptb': 'ptb'},
  **{'enwik8': 'enwik8', 'iam': 'iam', 'nmt': 'wmt14'},
}
SCALED = (  # what `shrink` multiplies: widths, and numbers of steps
  *('model.cell.units', 'model.cell.hyper_units', 'train_steps'),
  *('eval_every_steps', 'save_every_steps', 'log_every_steps'),
  'schedule.until_steps',
)


def configs(table: str) -> list[str]:
  """Returns FILE[:variant] of each network of a table that can be trained.

  >>> configs('cifar10')[:2]
  ['configs/cifar10_wrn.py', 'configs/cifar10_hyper_wrn.py']

  Args:
    table: one of DATA; MNIST has two tables.
  """
  return [
    recipes.argument(row.config)
    for found in paper.TABLES
    if found.data == DATA[table]
    for row in found.rows
    if row.config
  ]


def points(
  table: str, assignments: Sequence[str], seeds: int, scale: float
) -> list[Point]:
  """Returns the trials of a table, in its order.

  Args:
    table: one of DATA.
    assignments: each FIELD=VALUE, for all trials.
    seeds: each network is trained with the seeds from 0 on; 0 leaves the seed
      to the config.
    scale: of widths and steps, see `shrink`.

  Raises:
    ValueError: a config has no such field, or a value of another type.
  """
  found = []
  for config in configs(table):
    fixed = space.fixed_fields(config, assignments)
    fields = {**shrink(space.load(config), scale), **fixed}
    for seed in space.repeats(seeds, fixed):
      found.append(Point(config, {**fields, **seed}))
  return found


def shrink(config: ConfigDict, scale: float) -> Fields:
  """Returns the fields that a scale changes, with their new values.

  The units of recurrent cells and of their hypernetworks, the numbers of steps
  (of training; between evaluations, saves and lines of the log), and the
  boundaries of the learning rate's schedule are multiplied by `scale` and
  rounded up. All other fields keep their values, so networks for images train
  for fewer steps and keep their widths.

  >>> shrink(ConfigDict({'train_steps': 10, 'seed': 3}), 0.25)
  {'train_steps': 3}
  """
  flat = configuration.flatten(config)
  return {
    path: multiplied(flat[path], scale)
    for path in SCALED
    if path in flat and scale != 1
  }


def multiplied(value: Any, scale: float) -> Any:
  """Returns a number, or each of a tuple, times `scale` and rounded up."""
  if isinstance(value, tuple):
    return tuple(multiplied(entry, scale) for entry in value)
  return math.ceil(value * scale)
