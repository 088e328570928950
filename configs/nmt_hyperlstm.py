"""WMT'14 English to French: the HyperLSTM (section 4.6, A.3.6, Table 6).

  python train.py --config=configs/nmt_hyperlstm.py --workdir=runs/nmt_hyper

GNMT with every LSTM replaced by a layer-norm HyperLSTM of equal size, with a
hyper LSTM of 128 units and embeddings of size 32, which starts as the paper's
other HyperLSTMs do. Variants: `:small` and `:embedded`, as in nmt_lstm.py,
which has all that is not the cell. A step of the longest batches takes 16.3 GiB
by the analysis named there, or 13.1 GiB with `--config.model.remat=True`.
"""

from ml_collections import ConfigDict

from configs.nmt_lstm import EMBEDDED, SMALL, recipe
from configs.ptb_hyperlstm import HYPERLSTM
from hyper.configuration import select

VARIANTS = {
  '': (
    {},
    'newstest2014 40.03 BLEU, log perplexity 0.993 (Table 6, GNMT WPM-32K, '
    'HyperLSTM)',
  ),
  'small': (SMALL, ''),
  'embedded': (
    EMBEDDED | {'model.cell.hyper_units': 24, 'model.cell.embedding_size': 8},
    '',
  ),
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  fields, paper = select(VARIANTS, variant, 'nmt_hyperlstm.py')
  cell = HYPERLSTM | {
    'units': 1024,
    'embedding_size': 32,
    'dropout_rate': 0.0,
  }
  return recipe(cell, fields, paper)
