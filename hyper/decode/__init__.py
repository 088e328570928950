"""Sampling, reading and beam search, a symbol at a time: pure functions."""

from hyper.decode.beam import beam_search
from hyper.decode.sampling import (
  Apply,
  check_finite,
  draw,
  draw_step,
  read_symbols,
  sample_steps,
  sample_symbols,
  weight_scalings,
)

__all__ = [
  'Apply',
  'beam_search',
  'check_finite',
  'draw',
  'draw_step',
  'read_symbols',
  'sample_steps',
  'sample_symbols',
  'weight_scalings',
]
