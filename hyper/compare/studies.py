"""What a study of `hyper.sweep` tells, as tables and pictures."""

import contextlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence

from absl import logging

from hyper import files
from hyper.compare import finished, places
from hyper.compare.labels import shown
from hyper.compare.measures import label_of
from hyper.compare.tables import Grid
from hyper.runs.folder import load_config
from hyper.sweeping import analysis
from hyper.sweeping.analysis import FrozenTrial, Study
from hyper.sweeping.journal import TRIALS, folder_of
from hyper.sweeping.progress import STATES

BEST = 10  # trials that are listed


def read(folders: Sequence[str]) -> dict[str, Study]:
  """Returns the studies among the folders and under them, by their folder.

  Without Optuna there are none, which is a warning.
  """
  found = [
    root
    for folder in folders
    for root, _ in places.walk(folder)
    if analysis.is_study(root)
  ]
  try:
    return {place: analysis.read(place) for place in places.once(found)}
  except ModuleNotFoundError as error:
    logging.warning(
      "studies are left out (%s); run pip install 'optuna>=4.7,<6'.", error
    )
    return {}


def tables(place: str, study: Study) -> list[Grid]:
  """Returns the best trials, and how much each parameter decides."""
  return [best(place, study), *importance(place, study)]


def best(place: str, study: Study) -> Grid:
  """Returns the best trials with their parameters, the deciding ones first."""
  counts = Counter(STATES[t.state.name] for t in study.get_trials(False))
  states = ', '.join(f'{count} {state}' for state, count in counts.items())
  done = analysis.completed(study)[:BEST]
  names = list(analysis.importances(study)) or list(
    dict.fromkeys(name for trial in done for name in trial.params)
  )
  rows = tuple(
    (
      folder_of(trial),
      f'{trial.value:.4g}',
      *(shown(trial.params[x]) if x in trial.params else '' for x in names),
    )
    for trial in done
  )
  title = f'{place}: the best of {len(study.get_trials(False))} trials'
  header = 'trial', score_name(place, done), *names
  return Grid(f'{title} ({states})', header, rows)


def score_name(place: str, trials: Sequence[FrozenTrial]) -> str:
  """Returns the score of a study's trials, from the first one's run folder."""
  for trial in trials[:1]:
    workdir = os.path.join(place, TRIALS, folder_of(trial))
    with contextlib.suppress(FileNotFoundError):
      metric, _ = finished.selection_in(workdir, load_config(workdir))
      return label_of(metric)
  return 'score'


def importance(place: str, study: Study) -> list[Grid]:
  """Returns how much each parameter decides; no table for few trials."""
  found = analysis.importances(study)
  if not found:
    return []
  share = analysis.share_of_best(study)
  rows = tuple((name, f'{value:.2f}') for name, value in found.items())
  note = (
    f'PED-ANOVA: shares in what makes a trial one of the best {share:.0%}, '
    f'from {len(analysis.completed(study))} trials; that of the seed is noise'
  )
  title = f'{place}: importance of each parameter'
  return [Grid(title, ('parameter', 'importance [1]'), rows, notes=(note,))]


def draw(known: Mapping[str, Study], folder: str) -> None:
  """Writes Optuna's plots of studies as PNG files.

  Args:
    known: the studies, by their folder.
    folder: of the files, units_slice.png of a study 'units'. Studies of several
      folders have folders in it, too: a/units_slice.png of 'studies/a/units'.
  """
  paths = {place: os.path.abspath(place) for place in known}
  common = os.path.commonpath([*map(os.path.dirname, paths.values())])
  for place, study in known.items():
    name = os.path.join(folder, os.path.relpath(paths[place], common))
    for plot, content in analysis.plots(study):
      files.write(f'{name}_{plot}.png', content)
