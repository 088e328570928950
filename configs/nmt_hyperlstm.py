"""WMT'14 English to French: the HyperLSTM (section 4.6, A.3.6, Table 6).

  python train.py --config=configs/nmt_hyperlstm.py --workdir=runs/nmt_hyper

GNMT with every LSTM replaced by a layer-norm HyperLSTM of equal size, with a
hyper LSTM of 128 units and embeddings of size 32, which starts as the paper's
other HyperLSTMs do. Variants: `:small` and `:embedded`, as in nmt_lstm.py.
The recipe differs from nmt_lstm.py only in the cell and its initial values. A
step of the longest batches takes 15.6 GiB by the analysis named there, or 12.5
GiB with `--config.model.remat=True`.

Paper: 40.03 BLEU on newstest2014, log perplexity 0.993. Measured so far:
`:small` for 3,000 steps on another corpus, 47.6 BLEU on Multi30k (120 minutes
on one CPU core), which cannot be compared with the paper's.
"""

from ml_collections import ConfigDict

from configs import nmt_lstm
from configs.nmt_lstm import EMBEDDED, SMALL
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

CELL = HYPERLSTM | {'units': 1024, 'embedding_size': 32, 'dropout_rate': 0.0}
RECIPE = nmt_lstm.RECIPE | {
  'model': nmt_lstm.RECIPE['model'] | {'cell': CELL, 'uniform_cells': False}
}
VARIANTS = {
  '': {},
  'small': SMALL,
  'embedded': EMBEDDED
  | {'model.cell.hyper_units': 24, 'model.cell.embedding_size': 8},
}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('nmt_hyperlstm', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns a grid of sizes of the hypernetwork and of learning rates."""
  config = get_config(variant)
  size, rate = config.model.cell.embedding_size, config.schedule.learning_rate
  return grid(
    {
      'model.cell.embedding_size': (size // 2, size, 2 * size),
      'schedule.learning_rate': (rate / 2, rate, 2 * rate),
    }
  )


def suggest(trial: Trial) -> Fields:
  """Returns sizes of the hypernetwork and rates, chosen by Optuna's trial."""
  return {
    **suggest_one_of(
      trial,
      {
        'model.cell.hyper_units': (32, 64, 128),
        'model.cell.embedding_size': (8, 16, 32),
      },
    ),
    **suggest_rate(trial, 0.00005, 0.005),
    **suggest_dropout(trial, ['model.dropout_rate']),
  }
