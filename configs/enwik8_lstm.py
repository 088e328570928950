"""enwik8 (Hutter prize): LSTM baselines (section 4.4, A.3.4, Table 4).

  python train.py --config=configs/enwik8_lstm.py --workdir=runs/enwik8_lstm

Variants: `:2000` (units), `:layer_norm` (with recurrent dropout, which the
plain LSTMs of Table 4 have not) and `:embedded`, small and without data.

A prefix of the file, with its own split, serves for runs that are to be short:
`--config.data.prefix_bytes=4154064`.

Not in the paper: the number of steps, that gradients are clipped by their
global norm, and that the state goes on from window to window.
"""

from ml_collections import ConfigDict

from configs import ptb_lstm
from configs.ptb_lstm import EMBEDDED, LSTM
from hyper.configuration import select

VARIANTS = {
  '': ({}, 'test 1.470 bpc, 14.81M parameters (Table 4, LSTM 1800)'),
  '2000': (
    {'model.cell.units': 2000},
    'test 1.461 bpc, 18.06M parameters (Table 4, LSTM 2000)',
  ),
  'layer_norm': (
    {'model.cell.layer_norm': True, 'model.cell.dropout_rate': 0.1},
    'test 1.402 bpc, 14.82M parameters (Table 4, LN LSTM 1800)',
  ),
  'embedded': (EMBEDDED | {'model.cell.units': 256}, ''),
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  fields, paper = select(VARIANTS, variant, 'enwik8_lstm.py')
  cell = LSTM | {'units': 1800, 'dropout_rate': 0.0}
  return recipe(cell, fields, paper)


def recipe(cell: dict, fields: dict, paper: str) -> ConfigDict:
  """What all models of enwik8 share, with some fields replaced."""
  shared = {
    'data.source': 'enwik8',
    'data.window_steps': 250,
    'data.eval_warmup_steps': 500,
    'model.input_dropout_rate': 0.0,
    'model.output_dropout_rate': 0.0,
    'train_steps': 100_000,
    'eval_every_steps': 1000,
    'save_every_steps': 1000,
  }
  return ptb_lstm.recipe(cell, shared | fields, paper)
