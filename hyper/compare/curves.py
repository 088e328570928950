"""Validation scores over steps and over time, as arrays."""

import math
from collections.abc import Sequence

from hyper.compare.entries import Entry
from hyper.compare.finished import Run
from hyper.compare.measures import label_of, selection_of
from hyper.compare.tables import by_title
from hyper.drawing import progress
from hyper.drawing.progress import Curve
from hyper.paper.published import CURVES


def draw(entries: Sequence[Entry], path: str) -> None:
  """Draws the curves of all entries, a row of two panels for each data set.

  Raises:
    ValueError: no run has been evaluated.
  """
  panels = collect(entries)
  if not panels:
    raise ValueError('no run has been evaluated yet; there are no curves.')
  progress.draw(panels, path)


def collect(entries: Sequence[Entry]) -> dict[str, list[Curve]]:
  """Returns the curves of each data set, by its title, with published ones."""
  panels = of_runs(entries)
  for title, group in by_title(entries).items():
    own = [entry.first for entry in group]
    rows = dict.fromkeys(x.row for x in own if x.has_the_papers_data)
    if found := panels.get(title):
      metric = found[0].metric
      found += [published(row, metric) for row in rows if row in CURVES]
  return panels


def of_runs(entries: Sequence[Entry]) -> dict[str, list[Curve]]:
  """Returns the curves of the runs of each data set, by its title."""
  panels = {}
  for title, group in by_title(entries).items():
    curves = [curve_of(run) for entry in group for run in entry.runs]
    if found := [curve for curve in curves if curve.steps]:
      panels[title] = found
  return panels


def published(row: str, metric: str) -> Curve:
  """Returns the author's curve of a row, whose time is unknown."""
  points = CURVES[row]
  steps, hours, scores = [*points], [math.nan] * len(points), points.values()
  name = 'author, read off a plot'
  return Curve(name, metric, steps, hours, [*scores], is_line=False)


def curve_of(run: Run) -> Curve:
  """Returns the score that selects checkpoints, over steps and hours.

  The hours are those in training steps, as in the tables.
  """
  metric, _ = selection_of(run.config.task)
  points = [
    (line['step'], seconds / 3600, line[metric])
    for line, seconds in zip(run.lines, run.seconds, strict=True)
    if line['split'] == 'validation' and metric in line
  ]
  columns = zip(*points, strict=True) if points else ((), (), ())
  steps, times, scores = map(list, columns)
  return Curve(run.name, label_of(metric), steps, times, scores)
