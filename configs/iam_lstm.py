"""IAM-OnDB handwriting: LSTM baselines (section 4.5, A.3.5, Table 5).

  python train.py --config=configs/iam_lstm.py --workdir=runs/iam_lstm

An LSTM with 900 units and a mixture of 20 Gaussians. Variants: `:units_1000`,
`:layers_2` (of 650 units), `:layers_3` (of 400), `:layer_norm`,
`:layer_norm_1000`; without dropout and scaling `:unregularised` and
`:layers_3_unregularised`; and `:embedded`, small and without data.
Handwriting of your own instead: `--config.data.source=pen`.

The score is nats per line on the validation part; there is no test part. Not
in the paper: the number of steps, that gradients are clipped by their global
norm (those of the nats of a whole line are larger than 5.0 at nearly every
step, so that it is their direction that counts), the derivatives' limit, which
is that of Graves (2013) for the same data, and what hyper/data/iam.py says of
the preparation.
"""

from ml_collections import ConfigDict

from configs.ptb_lstm import LSTM
from hyper.configuration import select

UNREGULARISED = {
  'model.cell.dropout_rate': 0.0,
  'model.output_dropout_rate': 0.0,
  'data.scale_range': 0.0,
}
LAYERS_3 = {'model.layers': 3, 'model.cell.units': 400}
EMBEDDED = {
  'data.source': 'embedded',
  'data.buckets': 3,
  'model.mixtures': 10,
  'schedule.learning_rate': 0.003,
  'train_steps': 600,
  'eval_every_steps': 150,
  'save_every_steps': 150,
  'log_every_steps': 25,
}
VARIANTS = {
  '': ({}, '-1,055 nats, 3.36M parameters (Table 5, LSTM 900)'),
  'units_1000': (
    {'model.cell.units': 1000},
    '-1,048 nats, 4.14M parameters (Table 5, LSTM 1000)',
  ),
  'layers_2': (
    {'model.layers': 2, 'model.cell.units': 650},
    '-1,135 nats, 5.16M parameters (Table 5, 2-layer LSTM 650)',
  ),
  'layers_3': (
    LAYERS_3,
    '-1,068 nats, 3.26M parameters (Table 5, 3-layer LSTM 400)',
  ),
  'layer_norm': (
    {'model.cell.layer_norm': True},
    '-1,096 nats, 3.37M parameters (Table 5, LN LSTM 900)',
  ),
  'layer_norm_1000': (
    {'model.cell.layer_norm': True, 'model.cell.units': 1000},
    '-1,106 nats, 4.14M parameters (Table 5, LN LSTM 1000)',
  ),
  'unregularised': (
    UNREGULARISED,
    '-1,026 nats, 3.36M parameters (Table 5, LSTM 900 without dropout and '
    'augmentation)',
  ),
  'layers_3_unregularised': (
    LAYERS_3 | UNREGULARISED,
    '-1,039 nats, 3.26M parameters (Table 5, 3-layer LSTM 400 without dropout '
    'and augmentation)',
  ),
  'embedded': (EMBEDDED | {'model.cell.units': 128}, ''),
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  fields, paper = select(VARIANTS, variant, 'iam_lstm.py')
  cell = LSTM | {'units': 900, 'dropout_rate': 0.05}
  return recipe(cell, fields, paper)


def recipe(cell: dict, fields: dict, paper: str) -> ConfigDict:
  """What all models of handwriting share, with some fields replaced."""
  config = ConfigDict(
    {
      'task': 'handwriting',
      'paper': paper,
      'seed': 0,
      'data': {
        'source': 'iam',
        'batch_size': 32,
        'eval_batch_size': 32,
        'buckets': 8,
        'scale_range': 0.1,
      },
      'model': {
        'cell': cell,
        'layers': 1,
        'mixtures': 20,
        'output_dropout_rate': 0.05,
        'derivative_limit': 10.0,
      },
      'optimizer': {
        'name': 'adam',
        'clip_norm': 5.0,
        'beta1': 0.9,
        'beta2': 0.999,
        'epsilon': 1e-8,
      },
      'schedule': {'name': 'constant', 'learning_rate': 0.0001},
      'train_steps': 60_000,
      'eval_every_steps': 1_000,
      'save_every_steps': 1_000,
      'log_every_steps': 50,
    }
  )
  config.update_from_flattened_dict(fields)
  return config.lock()
