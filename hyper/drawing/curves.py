"""Learning curves of one or more runs."""

import matplotlib

from hyper.figures import run_names
from hyper.runs import metrics


def draw(workdirs: list[str], metric: str, path: str) -> None:
  """Draws a metric of training and validation over steps, as PNG or SVG.

  Args:
    workdirs: run folders, which name the curves.
    metric: such as 'bpc'.
    path: of the picture.

  Raises:
    FileNotFoundError: a run has no metrics.
    ValueError: a run has no such metric.
  """
  matplotlib.use('agg')
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(figsize=(7, 4.5), layout='constrained')
  for workdir, name in zip(workdirs, run_names(workdirs), strict=True):
    lines = metrics.read(workdir)
    if metric in metrics.RESERVED:
      raise ValueError(f'{metric} is no metric; there are: {names(lines)}.')
    color = None
    for split, style in (('validation', '-'), ('train', ':')):
      points = [
        (line['step'], line[metric])
        for line in lines
        if line['split'] == split and line.get(metric) is not None
      ]
      if not points:
        continue
      style += 'o' if len(points) == 1 else ''
      (curve,) = axes.plot(
        *zip(*points, strict=True), style, color=color, label=f'{name}, {split}'
      )
      color = curve.get_color()
    if color is None:
      raise ValueError(
        f'{workdir} has no metric {metric!r}; it has: {names(lines)}.'
      )
  axes.set(xlabel='steps', ylabel=metric)
  axes.grid(alpha=0.3)
  axes.legend()
  figure.savefig(path, dpi=120)
  pyplot.close(figure)


def names(lines: list[dict]) -> str:
  """The metrics that lines have, for people."""
  known = {name for line in lines for name in line}
  return ', '.join(sorted(known.difference(metrics.RESERVED))) or 'none yet'
