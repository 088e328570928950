"""Figures of runs; `python -m hyper.figures` draws them."""

import os


def run_name(workdir: str) -> str:
  """What a figure calls a run: the last part of its folder's path."""
  return os.path.basename(os.path.normpath(workdir))
