"""Learning curves over steps and over time, side by side."""

import dataclasses
from collections.abc import Mapping, Sequence

from hyper.drawing.canvas import make_figure


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


def draw(panels: Mapping[str, Sequence[Curve]], path: str) -> None:
  """Draws two panels for each entry: its curves over steps and over hours.

  Args:
    panels: curves by the title of their panels.
    path: the picture; its ending chooses the format.
  """
  figure = make_figure(12.0, 3.6 * len(panels))
  rows = figure.subplots(len(panels), 2, squeeze=False)
  for (left, right), (title, curves) in zip(rows, panels.items(), strict=True):
    for axes, name in ((left, 'steps'), (right, 'hours')):
      for curve in curves:
        is_line = curve.is_line and len(curve.steps) > 1
        axes.plot(
          getattr(curve, name),
          curve.values,
          '-' if is_line else 'o',
          label=curve.name,
        )
      axes.set(xlabel=name, ylabel=f'{curves[0].metric}, validation')
      axes.locator_params(axis='x', nbins=5)
      axes.grid(alpha=0.3)
    left.set_title(title, loc='left')
    right.legend(fontsize=8, bbox_to_anchor=(1, 1), loc='upper left')
  figure.savefig(path)
