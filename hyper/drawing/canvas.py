"""Makes the figure of every picture.

It is a `matplotlib.figure.Figure` outside pyplot: no backend is chosen, since
nothing is shown on a screen, and a figure is freed once it has been saved.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from matplotlib.figure import Figure

RESOLUTION = 120  # pixels per inch of a PNG


def make_figure(width: float, height: float) -> 'Figure':
  """Returns an empty figure.

  Args:
    width: in inches.
    height: in inches.
  """
  from matplotlib.figure import Figure  # slow, and only drawing needs it

  return Figure((width, height), dpi=RESOLUTION, layout='constrained')
