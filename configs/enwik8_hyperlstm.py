"""enwik8 (Hutter prize): the HyperLSTM (section 4.4, A.3.4, Table 4).

  python train.py --config=configs/enwik8_hyperlstm.py --workdir=runs/enwik8

The layer-norm HyperLSTM with 1800 units, a hyper LSTM of 256 and embeddings of
size 64. Variants: `:no_layer_norm`; `:2048` (units, with a hyper LSTM of 512,
more dropout and longer windows); `:embedded`, a small model that needs no data;
and `:text`, as small, on text of your own. The recipe differs from
enwik8_lstm.py only in the cell. That file says how to use a prefix.

Paper: 1.353 bpc on test, `:no_layer_norm` 1.391, `:2048` 1.340. Measured so
far: no variant at this size. Of 256 units, hyper 64, N_z 4, on a prefix of 4 MB
after 2,000 steps of 128 x 100 symbols: 2.045 bpc (29 minutes on one CPU core).
"""

from ml_collections import ConfigDict

from configs import enwik8_lstm
from configs.ptb_lstm import EMBEDDED, TEXT
from configs.shared import (
  HYPERLSTM,
  NO_LAYER_NORM,
  Fields,
  Trial,
  configure,
  grid,
  suggest_dropout,
  suggest_one_of,
  suggest_rate,
)

CELL = HYPERLSTM | {'units': 1800, 'hyper_units': 256, 'embedding_size': 64}
RECIPE = enwik8_lstm.RECIPE | {
  'model': enwik8_lstm.RECIPE['model'] | {'cell': CELL}
}
SMALL = {
  'model.cell.units': 192,
  'model.cell.hyper_units': 48,
  'model.cell.embedding_size': 16,
}
VARIANTS = {
  '': {},
  'no_layer_norm': NO_LAYER_NORM,
  '2048': {
    'data.window_steps': 300,
    'model.cell.units': 2048,
    'model.cell.hyper_units': 512,
    'model.cell.dropout_rate': 0.15,
    'model.cell.hyper_dropout_rate': 0.15,
  },
  'embedded': EMBEDDED | SMALL,
  'text': TEXT | SMALL,
}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('enwik8_hyperlstm', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns a grid of sizes of the hypernetwork and of recurrent dropout."""
  units = get_config(variant).model.cell.hyper_units
  return grid(
    {
      'model.cell.hyper_units': (units // 2, units, 2 * units),
      'model.cell.embedding_size': (4, 16, 64),
      'model.cell.dropout_rate': (0.1, 0.15),
    }
  )


def suggest(trial: Trial) -> Fields:
  """Returns sizes of the hypernetwork and rates, chosen by Optuna's trial."""
  return {
    **suggest_one_of(
      trial,
      {
        'model.cell.hyper_units': (64, 128, 256),
        'model.cell.embedding_size': (4, 16, 64),
      },
    ),
    **suggest_rate(trial, 0.0001, 0.01),
    **suggest_dropout(trial, ['model.cell.dropout_rate']),
  }
