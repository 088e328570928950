"""Learning curves of runs, grouped by config."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hyper import configuration
from hyper.drawing import curves
from hyper.figures import run_names
from hyper.runs import metrics

SPLITS = ('validation', 'train')


def draw(workdirs: Sequence[str], metric: str, path: str) -> None:
  """Draws a metric of training and validation over steps.

  Runs whose configs differ in the seed alone are one curve with its spread.

  Args:
    workdirs: run folders.
    metric: such as 'bpc'.
    path: the picture.

  Raises:
    FileNotFoundError: a run has no config or no metrics.
    ValueError: a run has no such metric.
  """
  read = [read_curves(workdir, metric) for workdir in workdirs]
  groups = {}
  for name, numbers in group(workdirs).items():
    groups[name] = {
      split: [read[k][split] for k in numbers if split in read[k]]
      for split in SPLITS
      if any(split in read[k] for k in numbers)
    }
  curves.draw(groups, metric, path)


def group(workdirs: Sequence[str]) -> dict[str, list[int]]:
  """Returns the places of runs of one config, but for the seed, by its name.

  A group is called as its first run, with the number of its seeds.
  """
  same: dict[str, list[int]] = {}
  for k, workdir in enumerate(workdirs):
    config = configuration.load(workdir).copy_and_resolve_references()
    config = config.unlock()
    config.seed = 0
    same.setdefault(config.to_json(sort_keys=True), []).append(k)
  names = run_names(workdirs)
  return {
    names[first] + (f' ({1 + len(more)} seeds)' if more else ''): [first, *more]
    for first, *more in same.values()
  }


def read_curves(workdir: str, metric: str) -> dict[str, curves.Curve]:
  """Returns steps and values of a metric, for each split that has it.

  Raises:
    FileNotFoundError: the run has no metrics.
    ValueError: the run has no such metric.
  """
  lines = metrics.read(workdir)
  if metric in metrics.RESERVED:
    raise ValueError(f'{metric} is no metric; there are: {names(lines)}.')
  found = {}
  for split in SPLITS:
    points = [
      (line['step'], line[metric])
      for line in lines
      if line['split'] == split and line.get(metric) is not None
    ]
    if points:
      steps, values = zip(*points, strict=True)
      found[split] = np.array(steps), np.array(values)
  if not found:
    raise ValueError(
      f'{workdir} has no metric {metric!r}; it has: {names(lines)}.'
    )
  return found


def names(lines: Sequence[Mapping[str, Any]]) -> str:
  """Returns the metrics that lines have, as people read them."""
  known = {name for line in lines for name in line}
  return ', '.join(sorted(known.difference(metrics.RESERVED))) or 'none yet'
