"""enwik8 (Hutter prize): the HyperLSTM (section 4.4, A.3.4, Table 4).

  python train.py --config=configs/enwik8_hyperlstm.py --workdir=runs/enwik8

The layer-norm HyperLSTM with 1800 units, a hyper LSTM of 256 and embeddings of
size 64. Variants: `:no_layer_norm`, `:2048` (units, with a hyper LSTM of 512,
more dropout and longer windows) and `:embedded`, small and without data.
All that is not the cell is in enwik8_lstm.py, and how to use a prefix.
"""

from ml_collections import ConfigDict

from configs.enwik8_lstm import recipe
from configs.ptb_hyperlstm import HYPERLSTM
from configs.ptb_lstm import EMBEDDED
from hyper.configuration import select

VARIANTS = {
  '': (
    {},
    'test 1.353 bpc, 18.78M parameters (Table 4, LN HyperLSTM 1800; the '
    'equations give 18.73M)',
  ),
  'no_layer_norm': (
    {'model.cell.layer_norm': False, 'model.cell.hyper_layer_norm': False},
    'test 1.391 bpc, 18.71M parameters (Table 4, HyperLSTM 1800)',
  ),
  '2048': (
    {
      'data.window_steps': 300,
      'model.cell.units': 2048,
      'model.cell.hyper_units': 512,
      'model.cell.dropout_rate': 0.15,
      'model.cell.hyper_dropout_rate': 0.15,
    },
    'test 1.340 bpc, 26.54M parameters (Table 4, LN HyperLSTM 2048)',
  ),
  'embedded': (
    EMBEDDED
    | {
      'model.cell.units': 192,
      'model.cell.hyper_units': 48,
      'model.cell.embedding_size': 16,
    },
    '',
  ),
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  fields, paper = select(VARIANTS, variant, 'enwik8_hyperlstm.py')
  cell = HYPERLSTM | {
    'units': 1800,
    'hyper_units': 256,
    'embedding_size': 64,
  }
  return recipe(cell, fields, paper)
