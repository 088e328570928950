"""What the trials of a study tell: the best, what matters, Optuna's plots."""

import io
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hyper.sweeping import journal, parameters

if TYPE_CHECKING:
  from optuna import Study
  from optuna.trial import FrozenTrial
else:  # Optuna is imported where a study is opened
  FrozenTrial = Study = Any

Size = tuple[float, float]
SHOWN = 3  # parameters in plots that show pairs of them
DPI = 80
LEVELS = 8  # values of a number that are taken for choices


def is_study(place: str) -> bool:
  """Returns whether a folder is that of a study."""
  return os.path.isfile(os.path.join(place, journal.JOURNAL))


def read(place: str) -> Study:
  """Returns a copy in memory, with a trial for each run folder.

  The parameters of a trial are all that varies in the study, see
  `parameters.vary`; its number is that of its folder.
  """
  import optuna

  optuna.logging.set_verbosity(optuna.logging.WARNING)
  stored = journal.load(place)
  trials = journal.latest(stored)
  points = [journal.point_of(t) for t in trials if journal.has_point(t)]
  values = iter(parameters.vary(points))
  given = [next(values) if journal.has_point(t) else {} for t in trials]
  ranges = parameters.distributions(given)
  study = optuna.create_study(direction=stored.direction)
  for trial, own in zip(trials, given, strict=True):
    copy = optuna.create_trial(
      state=trial.state,
      params=dict(own),
      distributions={name: ranges[name] for name in own},
      value=trial.value,
      intermediate_values=trial.intermediate_values,
      user_attrs=trial.user_attrs,
    )
    copy.datetime_start = trial.datetime_start
    copy.datetime_complete = trial.datetime_complete
    study.add_trial(copy)
  return study


def completed(study: Study) -> list[FrozenTrial]:
  """Returns the trials that have all their steps, the best first."""
  done = [t for t in study.get_trials(False) if t.state.name == 'COMPLETE']
  sign = 1 if study.direction.name == 'MINIMIZE' else -1
  return sorted(done, key=lambda trial: sign * (trial.value or 0.0))


def share_of_best(study: Study) -> float:
  """Returns a tenth of all trials, or five of them, but no more than half."""
  return min(max(0.1, 5 / len(completed(study))), 0.5)


def evaluator(study: Study) -> Any:
  """Returns PED-ANOVA, which asks what the best trials have in common."""
  from optuna.importance import PedAnovaImportanceEvaluator

  return PedAnovaImportanceEvaluator(target_quantile=share_of_best(study))


def importances(study: Study) -> dict[str, float]:
  """Returns the importance of each parameter for the score, the largest first.

  It is empty for a study of fewer than four trials, or without parameters.
  """
  from optuna.importance import get_param_importances

  done = completed(study)
  if len(done) < 4 or not any(trial.params for trial in done):
    return {}
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # few trials
    return get_param_importances(with_levels(study), evaluator=evaluator(study))


def with_levels(study: Study) -> Study:
  """Returns the completed trials; numbers with few values become choices.

  PED-ANOVA smooths over numbers. Between the two or three values of a grid, it
  would see differences that do not exist.
  """
  import optuna

  done = completed(study)
  values = {
    name: dict.fromkeys(t.params[name] for t in done if name in t.params)
    for name in dict.fromkeys(name for trial in done for name in trial.params)
  }
  choices = {
    name: optuna.distributions.CategoricalDistribution(tuple(found))
    for name, found in values.items()
    if len(found) <= LEVELS
  }
  copy = optuna.create_study(direction=study.direction)
  for trial in done:
    ranges = {x: choices.get(x, trial.distributions[x]) for x in trial.params}
    copy.add_trial(
      optuna.create_trial(
        params=trial.params, distributions=ranges, value=trial.value
      )
    )
  return copy


def plots(study: Study) -> Iterator[tuple[str, bytes]]:
  """Yields name and PNG of each of Optuna's plots that the study allows."""
  import matplotlib

  matplotlib.use('agg')  # Optuna draws by pyplot
  from matplotlib import pyplot

  for name, (draw, size) in drawings(study).items():
    with warnings.catch_warnings(), pyplot.rc_context():
      warnings.simplefilter('ignore')  # these functions are experimental
      draw()
      figure, file = pyplot.gcf(), io.BytesIO()
      figure.set_size_inches(*size)
      figure.savefig(file, format='png', dpi=DPI, bbox_inches='tight')
      pyplot.close('all')
    yield name, file.getvalue()


def drawings(study: Study) -> dict[str, tuple[Callable[[], Any], Size]]:
  """Returns by name the function that draws a plot, and its size in inches."""
  from optuna.visualization import matplotlib as draw

  if not completed(study):
    return {}
  found: dict[str, tuple[Callable[[], Any], Size]] = {
    'optimization_history': (
      lambda: draw.plot_optimization_history(study),
      (8.0, 4.0),
    ),
    'intermediate_values': (
      lambda: draw.plot_intermediate_values(study),
      (8.0, 4.0),
    ),
    'timeline': (lambda: draw.plot_timeline(study), (8.0, 4.0)),
  }
  names = list(importances(study))
  return found | (of_parameters(study, names) if names else {})


def of_parameters(
  study: Study, names: list[str]
) -> dict[str, tuple[Callable[[], Any], Size]]:
  """Returns the plots of the parameters, see `drawings`."""
  from optuna.visualization import matplotlib as draw

  first = names[:SHOWN]
  width = 4.0 * len(names)
  found: dict[str, tuple[Callable[[], Any], Size]] = {
    'param_importances': (
      lambda: draw.plot_param_importances(with_levels(study), evaluator(study)),
      (8.0, 1 + len(names) / 2),
    ),
    'slice': (lambda: draw.plot_slice(study, names), (width, 4.0)),
    'parallel_coordinate': (
      lambda: draw.plot_parallel_coordinate(study, names),
      (4 + width / 2, 5.0),
    ),
  }
  if len(first) > 1:
    side = 5.0 * len(first)
    found['contour'] = lambda: draw.plot_contour(study, first), (side, side)
  return found
