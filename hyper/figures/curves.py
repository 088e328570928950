"""Learning curves of runs, grouped by config, beside the paper's score."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from hyper import paper
from hyper.compare import finished, places, seeds
from hyper.compare.measures import label_of
from hyper.drawing import curves
from hyper.figures import run_names
from hyper.paper import recipes
from hyper.runs import folder, metrics

SPLITS = ('validation', 'train')


def draw(workdirs: Sequence[str], path: str, metric: str = '') -> None:
  """Draws a metric of training and validation over steps.

  Runs that differ only in their seed are one curve with its spread. If a run
  has a config of the paper, a level line is the paper's score.

  Args:
    workdirs: run folders.
    path: of the picture.
    metric: such as 'bpc'; by default the one that selects the best checkpoint.

  Raises:
    FileNotFoundError: a run has no config or no metrics.
    ValueError: a run has no such metric.
  """
  workdirs = places.once(workdirs)
  configs = [folder.load_config(workdir) for workdir in workdirs]
  metric = metric or finished.selection_in(workdirs[0], configs[0])[0]
  lines = [metrics.read(workdir) for workdir in workdirs]
  read = [
    curves_of(own, metric, workdir)
    for own, workdir in zip(lines, workdirs, strict=True)
  ]
  groups, references = {}, {}
  for name, numbers in group(workdirs, configs, lines).items():
    groups[name] = {
      split: [read[k][split] for k in numbers if split in read[k]]
      for split in SPLITS
      if any(split in read[k] for k in numbers)
    }
    first = workdirs[numbers[0]], configs[numbers[0]]
    if printed := figures(finished.row_in(*first), first[1], metric):
      references[name] = printed
  curves.draw(groups, label_of(metric), path, references)


def group(
  workdirs: Sequence[str],
  configs: Sequence[ConfigDict],
  lines: Sequence[Sequence[Mapping[str, Any]]],
) -> dict[str, list[int]]:
  """Groups runs that differ only in their seed; returns their places.

  Copies of a run are left out. The name of a group is that of its first run,
  with the number of its runs.

  Args:
    workdirs: run folders.
    configs: of the runs.
    lines: likewise, of metrics.jsonl.
  """
  names, origins = run_names(workdirs), map(finished.origin_of, workdirs)
  groups = seeds.group(
    [*map(seeds.key, configs, origins)],
    [finished.training_data(workdir) for workdir in workdirs],
  )
  distinct = [
    [same[0] for same in seeds.copies(places, configs, lines)]
    for places in groups.values()
  ]
  return {
    names[first] + (f' ({1 + len(more)} seeds)' if more else ''): [first, *more]
    for first, *more in distinct
  }


def figures(row: str, config: ConfigDict, metric: str) -> dict[str, float]:
  """Returns the paper's figures by their text, if a config is that of `row`.

  Args:
    row: the config of a row of the paper, such as 'ptb_lstm'; '' if none.
    config: of a run. If it differs in what may change the score, there are no
      figures.
    metric: such as 'bpc'.
  """
  found, recipe = paper.find(row), recipes.load(row) if row else None
  if found is None or recipe is None or recipes.changes(recipe, config):
    return {}
  table, printed = found
  return {
    f'paper, {printed.name}, {measure.split}: {text}': paper.number(text)
    for measure, text in zip(table.measures, printed.printed, strict=True)
    if measure.metric == metric and text
  }


def curves_of(
  lines: Sequence[Mapping[str, Any]], metric: str, workdir: str
) -> dict[str, curves.Curve]:
  """Returns steps and values of a metric, for each split that has it.

  Args:
    lines: of metrics.jsonl.
    metric: the name of the values.
    workdir: the run folder, for the message.

  Raises:
    ValueError: the run has no such metric.
  """
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
  """Returns the names of the metrics in `lines`, for a message."""
  known = {name for line in lines for name in line}
  return ', '.join(sorted(known.difference(metrics.RESERVED))) or 'none yet'
