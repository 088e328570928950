"""A learning curve that the author has published as a picture.

It is in the author's repository supercell, as tensorboard_hyperlstm_ptb.png:
the validation loss in bits per character every 500 steps. The points here are
read off that plot.
"""

# By the config of a row, scores on validation by step.
CURVES: dict[str, dict[int, float]] = {
  'ptb_hyperlstm': {
    500: 1.81,
    1_000: 1.63,
    2_000: 1.50,
    5_000: 1.385,
    10_000: 1.328,
    20_000: 1.298,
    37_000: 1.282,
  }
}
