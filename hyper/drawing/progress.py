"""Learning curves over steps and over time, side by side."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from hyper.drawing.canvas import make_figure

UNITS = {'hours': 1, 'minutes': 60, 'seconds': 3600}  # in an hour
LEAST = 2  # of a unit; a shorter time is in the next one


@dataclasses.dataclass(frozen=True)
class Curve:
  """A score while a network is trained.

  Attributes:
    name: of the run.
    metric: of the score.
    steps: at which it was taken, ascending.
    hours: of training before each step.
    values: of the score.
    is_line: whether the points are joined, if there are several.
  """

  name: str
  metric: str
  steps: list[int]
  hours: list[float]
  values: list[float]
  is_line: bool = True

  def times(self, unit: str) -> list[float]:
    """Returns the time of training before each step, in a unit of UNITS."""
    return [UNITS[unit] * x for x in self.hours]


def draw(panels: Mapping[str, Sequence[Curve]], path: str) -> None:
  """Draws two panels for each entry: its curves over steps and over time.

  Args:
    panels: curves by the title of their panels.
    path: the picture; its ending chooses the format.
  """
  from matplotlib.ticker import MaxNLocator, StrMethodFormatter

  figure = make_figure(12.0, 3.6 * len(panels))
  rows = figure.subplots(len(panels), 2, squeeze=False)
  for (left, right), (title, curves) in zip(rows, panels.items(), strict=True):
    unit = unit_of(curves)
    for curve in curves:
      style = '-' if curve.is_line and len(curve.steps) > 1 else 'o'
      left.plot(curve.steps, curve.values, style, label=curve.name)
      right.plot(curve.times(unit), curve.values, style, label=curve.name)
    for axes, name in ((left, 'steps'), (right, unit)):
      axes.set(xlabel=name, ylabel=f'{curves[0].metric}, validation')
      axes.xaxis.set_major_locator(MaxNLocator(5, integer=name == 'steps'))
      if min(itertools.chain(*(x.values for x in curves))) >= 0:
        axes.set_ylim(bottom=max(axes.get_ylim()[0], 0))
      axes.grid(alpha=0.3)
    left.xaxis.set_major_formatter(StrMethodFormatter('{x:,.0f}'))
    left.set_title(title, loc='left')
    right.legend(fontsize=8, bbox_to_anchor=(1, 1), loc='upper left')
  figure.savefig(path)


def unit_of(curves: Sequence[Curve]) -> str:
  """Returns the longest unit of which some curve has LEAST; else seconds.

  >>> unit_of([Curve('a', 'bpc', [1, 2], [0.1, 0.2], [2.0, 1.0])])
  'minutes'
  """
  known = [x for curve in curves for x in curve.hours if math.isfinite(x)]
  longest = max(known, default=0.0)
  long = (x for x, count in UNITS.items() if count * longest >= LEAST)
  return next(long, 'seconds')
