"""How trials are chosen, and a trial that tries what a config file suggests."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hyper.sweeping import space
from hyper.sweeping.space import Fields, Point

Number = float | int
SEARCHES = ('grid', 'random', 'tpe')


@dataclasses.dataclass(frozen=True)
class Search:
  """How trials are chosen.

  Attributes:
    name: one of SEARCHES; 'grid' trains the points that were added.
    config: FILE[:variant]; other searches call the file's `suggest`.
    fixed: fields of all trials.
    limit: the most trials of the study; a grid has only its points.
  """

  name: str
  config: str
  fixed: Fields
  limit: int

  def suggest(self, trial: Any) -> Point:
    """Returns the point that the config file suggests.

    Args:
      trial: of Optuna, or a `Probe`.

    Raises:
      ValueError: the function fails, or returns no fields and values.
    """
    path = self.config.partition(':')[0]
    try:
      fields = space.module(path).suggest(trial)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
      raise ValueError(f'suggest of {path} fails: {error}') from error
    if not isinstance(fields, Mapping):
      raise ValueError(
        f'suggest of {path} returns {fields!r}; it must return a dict of '
        'fields and values.'
      )
    return Point(self.config, {**fields, **self.fixed})


class Probe:
  """Stands for a trial of Optuna, and takes an end of each range.

  >>> Probe(-1).suggest_float('rate', 0.1, 0.5)
  0.5

  Args:
    end: 0 for the lower end or the first choice, -1 for the upper or the last.
  """

  def __init__(self, end: int):
    self._end = end

  def suggest_float(
    self,
    name: str,
    low: Number,
    high: Number,
    *,
    step: Number | None = None,
    log: bool = False,
  ) -> float:
    """Returns an end of the range."""
    del step
    return float(self._take(name, (low, high), log))

  def suggest_int(
    self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
  ) -> int:
    """Returns an end of the range."""
    del step
    return int(self._take(name, (low, high), log))

  def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
    """Returns the first or the last of the choices."""
    if not choices:
      raise ValueError(f'{name!r} has no choices.')
    return choices[self._end]

  def __getattr__(self, name: str) -> Any:
    known = ', '.join(x for x in dir(Probe) if x.startswith('suggest_'))
    raise AttributeError(f'the trial has no {name}; it has {known}.')

  def _take(self, name: str, ends: tuple[Number, Number], log: bool) -> Number:
    low, high = ends
    if low > high or (log and low <= 0):
      positive = ', and 0 has no place on a log scale' if log else ''
      raise ValueError(
        f'{name!r} ranges from {low} to {high}; the first must not be above '
        f'the second{positive}.'
      )
    return ends[self._end]


def ends(search: Search) -> list[Point]:
  """Returns the points at both ends of all ranges that are suggested.

  Raises:
    ValueError: see `Search.suggest`.
  """
  return [search.suggest(Probe(end)) for end in (0, -1)]
