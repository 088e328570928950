"""enwik8 (Hutter prize): LSTM baselines (section 4.4, A.3.4, Table 4).

  python train.py --config=configs/enwik8_lstm.py --workdir=runs/enwik8_lstm

Variants: `:2000` (units); `:layer_norm` (with recurrent dropout, which the
plain LSTMs of Table 4 lack); `:embedded`, a small model that needs no data; and
`:text`, as small, on text of your own (ptb_lstm.py has the command). The recipe
differs from ptb_lstm.py in the fields below.

A prefix of the file, with its own split, serves for short runs:
`--config.data.prefix_bytes=4154064`.

Paper: 1.470 bpc on test, `:2000` 1.461, `:layer_norm` 1.402. Measured so far:
no variant at this size. `:layer_norm` of 256 units on that prefix after 2,000
steps of 128 x 100 symbols: 2.195 bpc (30 minutes on one CPU core).

Not in the paper: the number of steps, that gradients are clipped by their
global norm, and that the state is kept from window to window.
"""

from ml_collections import ConfigDict

from configs import ptb_lstm
from configs.ptb_lstm import EMBEDDED, SMALL, TEXT
from configs.shared import (
  LSTM,
  Fields,
  Trial,
  configure,
  grid,
  scaled,
  suggest_dropout,
  suggest_rate,
)

RECIPE = ptb_lstm.RECIPE | {
  'data': ptb_lstm.RECIPE['data']
  | {'source': 'enwik8', 'window_steps': 250, 'eval_warmup_steps': 500},
  'model': {
    'cell': LSTM | {'units': 1800, 'dropout_rate': 0.0},
    'layers': 1,
    'input_dropout_rate': 0.0,
    'output_dropout_rate': 0.0,
    'remat_steps': 0,
  },
  'train_steps': 100_000,
  'eval_every_steps': 1000,
  'save_every_steps': 1000,
}
VARIANTS = {
  '': {},
  '2000': {'model.cell.units': 2000},
  'layer_norm': {'model.cell.layer_norm': True, 'model.cell.dropout_rate': 0.1},
  'embedded': EMBEDDED | SMALL,
  'text': TEXT | SMALL,
}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('enwik8_lstm', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns a grid of learning rates and of recurrent dropout."""
  rate = get_config(variant).schedule.learning_rate
  return grid(
    {
      'schedule.learning_rate': scaled(rate, 0.3, 1, 3),
      'model.cell.dropout_rate': (0.0, 0.1),
    }
  )


def suggest(trial: Trial) -> Fields:
  """Returns learning and dropout rates, chosen by Optuna's trial."""
  return suggest_rate(trial, 0.0001, 0.01) | suggest_dropout(
    trial, ['model.cell.dropout_rate']
  )
