"""What varies over the trials of a study, as parameters for Optuna."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hyper import configuration
from hyper.sweeping.space import Point

if TYPE_CHECKING:
  from optuna.distributions import BaseDistribution
else:  # Optuna is imported where a study is opened
  BaseDistribution = Any

Parameters = Mapping[str, Any]  # by path in the config; also 'config'
LOG_SCALE = 10  # the least ratio of largest to smallest value for a log scale


def vary(points: Sequence[Point]) -> list[Parameters]:
  """Returns the fields that differ between the points, with their values.

  A field that a point leaves to its config has the config's value. Fields that
  change only together count as one, named by the first.
  """
  whole = [whole_config(point) for point in points]
  paths = dict.fromkeys(path for point in points for path in point.fields)
  first_of: dict[tuple[int, ...], str] = {}  # by which points share a value
  for path in itertools.chain(['config'], paths):
    column = [fields.get(path) for fields in whole]
    pattern = tuple(map(column.index, column))
    if any(pattern):
      first_of.setdefault(pattern, path)
  kept = set(first_of.values())
  return [
    {path: value for path, value in fields.items() if path in kept}
    for fields in whole
  ]


def whole_config(point: Point) -> dict[str, Any]:
  """Returns all fields of a point as Optuna takes them, and its config."""
  fields = configuration.flatten(point.make())
  plain = {
    path: value if isinstance(value, bool | int | float | str) else str(value)
    for path, value in fields.items()
  }
  return {'config': point.config, **plain}


def distributions(
  trials: Sequence[Parameters],
) -> dict[str, BaseDistribution]:
  """Returns the distribution of each parameter that covers all its values."""
  names = dict.fromkeys(name for trial in trials for name in trial)
  return {
    name: distribution([trial[name] for trial in trials if name in trial])
    for name in names
  }


def distribution(values: Sequence[Any]) -> BaseDistribution:
  """Returns a distribution of Optuna that covers the values."""
  from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
  )

  if any(isinstance(value, bool | str) for value in values):
    return CategoricalDistribution(tuple(dict.fromkeys(values)))
  low, high = min(values), max(values)
  log = low > 0 and high >= LOG_SCALE * low
  if all(isinstance(value, int) for value in values):
    return IntDistribution(low, high, log=log)
  return FloatDistribution(low, high, log=log)
