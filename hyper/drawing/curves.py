"""Learning curves: a metric over steps, with its spread over seeds."""

import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from hyper.drawing.canvas import make_figure

if TYPE_CHECKING:
  from matplotlib.axes import Axes

Curve = tuple[np.ndarray, np.ndarray]  # steps, ascending, and values
STYLES = {'validation': '-', 'train': ':'}
WIDE = 10  # the scale is log if largest over smallest value exceeds this
FEW = 10  # the number of matplotlib's own colours
COLUMNS, LINE = 2, 0.2  # of the legend, and the inches of each of its lines


def draw(
  groups: Mapping[str, Mapping[str, Sequence[Curve]]],
  metric: str,
  path: str,
  references: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> None:
  """Draws the mean of each group of runs, and the range of its runs around it.

  Args:
    groups: by name, the curves of runs that differ in their seed only, for
      each split ('validation' is a line, 'train' a dotted one).
    metric: the name of the values.
    path: the picture; its ending chooses the format.
    references: for a group, values by their text in the legend that are drawn
      as level lines in its colour, such as the paper's scores.
  """
  splits = sorted(set(itertools.chain(*groups.values())))
  names = [*groups, *itertools.chain(*references.values()), *splits]
  figure = make_figure(9.0, 4.5 + LINE * math.ceil(len(names) / COLUMNS))
  axes = figure.add_subplot()
  colors = _colors(len(groups))
  for (name, own), color in zip(groups.items(), colors, strict=True):
    axes.plot([], [], color=color, label=name)
    for label, value in references.get(name, {}).items():
      axes.axhline(value, color=color, linestyle='--', lw=1, label=label)
    for split, curves in own.items():
      for mean, low, high in spread(curves):
        _draw_line(axes, mean, color, STYLES[split])
        axes.fill_between(mean[0], low, high, color=color, alpha=0.2, lw=0)
  for split in splits:
    axes.plot([], [], STYLES[split], color='0.4', label=split)
  levels = itertools.chain(*(x.values() for x in references.values()))
  axes.set(xlabel='steps', ylabel=metric, **scale(groups, [*levels]))
  _number(axes)
  axes.grid(alpha=0.3)
  legend = figure.legend(loc='outside lower center', fontsize=9, ncols=COLUMNS)
  for text in legend.get_texts():
    text.set_parse_math(False)
  figure.savefig(path)


def spread(
  curves: Sequence[Curve],
) -> list[tuple[Curve, np.ndarray, np.ndarray]]:
  """Returns the mean curve of some runs, with their lowest and highest values.

  If the runs have different steps, values between them are interpolated. The
  mean covers the steps that all runs cover; if there are none, each run is a
  curve of its own.

  >>> short = np.array([0, 2]), np.array([4.0, 2.0])
  >>> long = np.array([0, 1, 4]), np.array([2.0, 1.0, 1.0])
  >>> ((steps, mean), low, high), = spread([short, long])
  >>> steps.tolist(), mean.tolist()
  ([0, 1, 2], [3.0, 2.0, 1.5])
  >>> low.tolist(), high.tolist()
  ([2.0, 1.0, 1.0], [4.0, 3.0, 2.0])
  """
  first = max(steps[0] for steps, _ in curves)
  last = min(steps[-1] for steps, _ in curves)
  if first > last:
    return [part for curve in curves for part in spread([curve])]
  steps = np.unique(np.concatenate([steps for steps, _ in curves]))
  steps = steps[(first <= steps) & (steps <= last)]
  values = np.stack([np.interp(steps, *curve) for curve in curves])
  return [((steps, values.mean(0)), values.min(0), values.max(0))]


def scale(
  groups: Mapping[str, Mapping[str, Sequence[Curve]]],
  levels: Sequence[float],
) -> dict[str, Any]:
  """Returns `yscale` and `ylim` of axes that show all of validation.

  Training begins far above later values, so the range may cut its first part;
  not if validation and levels are all one value. A wide range of positive
  values has a logarithmic scale. Without validation the result is empty, which
  lets matplotlib choose.

  Args:
    groups: as for `draw`.
    levels: further values to show.
  """
  splits = [item for group in groups.values() for item in group.items()]
  values = {
    split: [x for name, runs in splits if name == split for _, x in runs]
    for split in STYLES
  }
  if not values['validation']:
    return {}
  validation = np.concatenate(values['validation'])
  low = min([float(np.nanmin(validation)), *levels])
  high = max([float(np.nanmax(validation)), *levels])
  if low == high:
    high = max([high, *(float(np.nanmax(x)) for x in values['train'])])
  if low > 0 and high > WIDE * low:
    return {'yscale': 'log', 'ylim': (low / 1.2, high * 1.2)}
  low = min([low, *(float(np.nanmin(x)) for x in values['train'])])
  margin = 0.05 * (high - low) or 0.05
  bottom = low - margin if low < 0 else max(low - margin, 0.0)
  return {'yscale': 'linear', 'ylim': (bottom, high + margin)}


def _colors(count: int) -> list[Any]:
  """Returns `count` colours, matplotlib's own if there are enough of them."""
  if count <= FEW:
    return [f'C{k}' for k in range(count)]
  from matplotlib import colormaps

  return list(colormaps['turbo'](np.linspace(0, 1, count)))


def _number(axes: 'Axes') -> None:
  """Numbers the axes: whole steps, and few values if their scale is log."""
  from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullLocator,
    StrMethodFormatter,
  )

  axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
  axes.xaxis.set_major_formatter(StrMethodFormatter('{x:,.0f}'))
  if axes.get_yscale() == 'log':
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
    axes.yaxis.set_minor_locator(NullLocator())


def _draw_line(axes: 'Axes', curve: Curve, color: Any, style: str) -> None:
  """Draws a curve; a single point gets a marker."""
  marker = 'o' if len(curve[0]) == 1 else ''
  axes.plot(*curve, style + marker, color=color)
