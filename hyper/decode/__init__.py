"""Sampling, reading and beam search, a symbol at a time: pure functions."""

from hyper.decode.beam import beam_search
from hyper.decode.sampling import (
  Apply,
  check_finite,
  draw,
  draw_move,
  move_sampler,
  read_symbols,
  sample_moves,
  sample_symbols,
  symbol_sampler,
  weight_scalings,
)

draw_step, sample_steps = draw_move, sample_moves  # their older names

__all__ = [
  'Apply',
  'beam_search',
  'check_finite',
  'draw',
  'draw_move',
  'draw_step',
  'move_sampler',
  'read_symbols',
  'sample_moves',
  'sample_steps',
  'sample_symbols',
  'symbol_sampler',
  'weight_scalings',
]
