"""The figure that every picture begins with.

It is a `matplotlib.figure.Figure` outside pyplot: nothing is shown on a screen,
so no backend is chosen, and a figure that was saved is forgotten.
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
