"""How trials are chosen, and a trial that tries what a config file suggests."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hyper.sweeping import space
from hyper.sweeping.space import Fields, Point

Number = float | int
SEARCHES = ('grid', 'random', 'tpe')
MOST_TRIED = 100


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
    with space.blamed('suggest', path):
      fields = space.fields_of(space.module(path).suggest(trial))
    return Point(self.config, {**fields, **self.fixed})


class Probe:
  """Stands for trials of Optuna, and takes ends of ranges and choices in turn.

  >>> probe = Probe()
  >>> probe.suggest_float('rate', 0.1, 0.5), probe.suggest_int('units', 8, 64)
  (0.1, 8)
  >>> probe.again(), probe.suggest_float('rate', 0.1, 0.5)
  (True, 0.5)
  """

  def __init__(self) -> None:
    self._taken: Counter[str] = Counter()  # in how many trials
    self._counts: dict[str, int] = {}  # of the ends or choices
    self._own: dict[str, Any] = {}  # values of this trial

  def again(self) -> bool:
    """Begins another trial; returns whether a value has not been taken yet."""
    self._own = {}
    return any(self._taken[x] < count for x, count in self._counts.items())

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
    return float(self._end(name, (low, high), log))

  def suggest_int(
    self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
  ) -> int:
    """Returns an end of the range."""
    del step
    return int(self._end(name, (low, high), log))

  def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
    """Returns one of the choices."""
    if not choices:
      raise ValueError(f'{name!r} has no choices.')
    return self._take(name, choices)

  def __getattr__(self, name: str) -> Any:
    known = ', '.join(x for x in dir(Probe) if x.startswith('suggest_'))
    raise AttributeError(f'the trial has no {name}; it has {known}.')

  def _end(self, name: str, ends: tuple[Number, Number], log: bool) -> Number:
    low, high = ends
    if low > high or (log and low <= 0):
      positive = ', and 0 has no place on a log scale' if log else ''
      raise ValueError(
        f'{name!r} ranges from {low} to {high}; the first must not be above '
        f'the second{positive}.'
      )
    return self._take(name, ends)

  def _take(self, name: str, values: Sequence[Any]) -> Any:
    if name not in self._own:  # a trial has one value of a name
      self._own[name] = values[self._taken[name] % len(values)]
      self._taken[name] += 1
      self._counts[name] = len(values)
    return self._own[name]


def ends(search: Search) -> list[Point]:
  """Returns points with both ends of all ranges and with each choice.

  There are no more than MOST_TRIED.

  Raises:
    ValueError: see `Search.suggest`.
  """
  probe = Probe()
  points = [search.suggest(probe)]
  while probe.again() and len(points) < MOST_TRIED:
    points.append(search.suggest(probe))
  return points
