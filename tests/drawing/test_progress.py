"""Learning curves over steps and over time are readable."""

from hyper.drawing import progress
from hyper.drawing.progress import Curve


def test_axes_have_few_numbers_however_short_the_time(tmp_path, monkeypatch):
  figures, make = [], progress.make_figure
  monkeypatch.setattr(
    progress,
    'make_figure',
    lambda *size: figures.append(make(*size)) or figures[0],
  )
  hours = [k * 0.00008 for k in range(11)]
  curve = Curve('a', 'bpc', [*range(11)], hours, [3.0] * 11)
  progress.draw({'Text': [curve]}, str(tmp_path / 'x.png'))
  left, right = figures[0].axes
  for axes in (left, right):
    low, high = axes.get_xlim()
    assert 2 <= sum(low <= x <= high for x in axes.get_xticks()) <= 6
