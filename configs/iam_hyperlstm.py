"""IAM-OnDB handwriting: the HyperLSTM (section 4.5, A.3.5, Table 5).

  python train.py --config=configs/iam_hyperlstm.py --workdir=runs/iam_hyper

The HyperLSTM with 900 units, a hyper LSTM of 128 and embeddings of size 4,
without layer norm: the paper's best model of handwriting. Variants:
`:layer_norm`, which does worse there, and `:embedded`, small and without data.
All that is not the cell is in iam_lstm.py.
"""

from ml_collections import ConfigDict

from configs.iam_lstm import EMBEDDED, recipe
from configs.ptb_hyperlstm import HYPERLSTM
from hyper.configuration import select

VARIANTS = {
  '': ({}, '-1,162 nats, 3.94M parameters (Table 5, HyperLSTM 900)'),
  'layer_norm': (
    {'model.cell.layer_norm': True, 'model.cell.hyper_layer_norm': True},
    '-1,067 nats, 3.95M parameters (Table 5, LN HyperLSTM 900)',
  ),
  'embedded': (
    EMBEDDED | {'model.cell.units': 96, 'model.cell.hyper_units': 24},
    '',
  ),
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  fields, paper = select(VARIANTS, variant, 'iam_hyperlstm.py')
  cell = HYPERLSTM | {
    'units': 900,
    'layer_norm': False,
    'hyper_layer_norm': False,
    'dropout_rate': 0.05,
  }
  return recipe(cell, fields, paper)
