"""Penn Treebank, characters: the HyperLSTM (section 4.3, A.3.3, Table 3).

  python train.py --config=configs/ptb_hyperlstm.py --workdir=runs/ptb_hyper

The layer-norm HyperLSTM with 1000 units, a hyper LSTM of 128 and embeddings of
size 4. Variants: `:no_layer_norm`, `:large_embedding` (16, more dropout),
`:two_layer` (of the large embedding, still more dropout), and `:embedded`,
small and without data.
All that is not the cell is in ptb_lstm.py.
"""

from ml_collections import ConfigDict

from configs.ptb_lstm import EMBEDDED, recipe
from hyper.configuration import select

HYPERLSTM = {
  'name': 'hyperlstm',
  'units': 1000,
  'hyper_units': 128,
  'embedding_size': 4,
  'layer_norm': True,
  'hyper_layer_norm': True,
  'dropout_rate': 0.1,
  'hyper_dropout_rate': 0.0,
  'forget_bias': 1.0,
  'hyper_state': 'new',
  'orthogonal': 'whole',
  'scaling_noise': 0.0,
  'dtype': 'float32',
}


def dropout(rate: float) -> dict[str, float]:
  """The same rate on input, output and in the main cell."""
  return {
    'model.input_dropout_rate': rate,
    'model.output_dropout_rate': rate,
    'model.cell.dropout_rate': rate,
  }


VARIANTS = {
  '': (
    {},
    'test 1.250, validation 1.281 bpc, 4.92M parameters '
    '(Table 3, LN HyperLSTM 1000)',
  ),
  'no_layer_norm': (
    {'model.cell.layer_norm': False, 'model.cell.hyper_layer_norm': False},
    'test 1.265, validation 1.296 bpc, 4.91M parameters '
    '(Table 3, HyperLSTM 1000)',
  ),
  'large_embedding': (
    {'model.cell.embedding_size': 16, **dropout(0.15)},
    'test 1.233, validation 1.263 bpc, 5.06M parameters (Table 3, LN '
    'HyperLSTM 1000, Large Embedding; the equations give 5.09M)',
  ),
  'two_layer': (
    {'model.layers': 2, 'model.cell.embedding_size': 16, **dropout(0.2)},
    'test 1.219, validation 1.245 bpc, 14.41M parameters '
    '(Table 3, 2-layer LN HyperLSTM 1000)',
  ),
  'embedded': (
    EMBEDDED | {'model.cell.units': 192, 'model.cell.hyper_units': 48},
    '',
  ),
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  fields, paper = select(VARIANTS, variant, 'ptb_hyperlstm.py')
  return recipe(HYPERLSTM, fields, paper)
