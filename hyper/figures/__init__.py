"""Figures of runs; `python -m hyper.figures` draws them."""

import os
from collections.abc import Sequence

# Modules that moved say where they are now; see hyper/__init__.py.
__path__.append(os.path.join(os.path.dirname(__path__[0]), '_moved/figures'))


def run_names(workdirs: Sequence[str]) -> list[str]:
  """Returns the names of runs in a figure: the last parts of their paths.

  If two of these are equal, the names are the whole paths.
  """
  paths = [os.path.normpath(workdir) for workdir in workdirs]
  names = [os.path.basename(path) for path in paths]
  return names if len(set(names)) == len(names) else paths
