"""IAM-OnDB handwriting: the HyperLSTM (section 4.5, A.3.5, Table 5).

  python train.py --config=configs/iam_hyperlstm.py --workdir=runs/iam_hyper

The HyperLSTM with 900 units, a hyper LSTM of 128 and embeddings of size 4,
without layer norm: the paper's best model of handwriting. Variants:
`:layer_norm`, which does worse there, and `:embedded`, a small model that needs
no data. The recipe differs from iam_lstm.py only in the cell.

Paper: -1,162 nats per line on validation, `:layer_norm` -1,067. Measured so
far: no variant at this size. Of 256 units, hyper 64, after 2,000 steps: -559
nats (73 minutes on one CPU core).
"""

from ml_collections import ConfigDict

from configs import iam_lstm
from configs.iam_lstm import DROPOUT, EMBEDDED
from configs.shared import (
  HYPERLSTM,
  Fields,
  Trial,
  configure,
  grid,
  suggest_dropout,
  suggest_one_of,
  suggest_rate,
)

CELL = HYPERLSTM | {
  'units': 900,
  'layer_norm': False,
  'hyper_layer_norm': False,
  'dropout_rate': 0.05,
}
RECIPE = iam_lstm.RECIPE | {'model': iam_lstm.RECIPE['model'] | {'cell': CELL}}
VARIANTS = {
  '': {},
  'layer_norm': {
    'model.cell.layer_norm': True,
    'model.cell.hyper_layer_norm': True,
  },
  'embedded': EMBEDDED | {'model.cell.units': 96, 'model.cell.hyper_units': 24},
}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('iam_hyperlstm', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns a grid of sizes of the hypernetwork and of learning rates."""
  config = get_config(variant)
  units, rate = config.model.cell.hyper_units, config.schedule.learning_rate
  return grid(
    {
      'model.cell.hyper_units': (units // 2, units, 2 * units),
      'model.cell.embedding_size': (4, 16),
      'schedule.learning_rate': (rate, 3 * rate),
    }
  )


def suggest(trial: Trial) -> Fields:
  """Returns sizes of the hypernetwork and rates, chosen by Optuna's trial."""
  return {
    **suggest_one_of(
      trial,
      {
        'model.cell.hyper_units': (32, 64, 128),
        'model.cell.embedding_size': (4, 16),
      },
    ),
    **suggest_rate(trial, 0.00003, 0.003),
    **suggest_dropout(trial, DROPOUT),
  }
