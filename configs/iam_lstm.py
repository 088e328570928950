"""IAM-OnDB handwriting: LSTM baselines (section 4.5, A.3.5, Table 5).

  python train.py --config=configs/iam_lstm.py --workdir=runs/iam_lstm

An LSTM with 900 units and a mixture of 20 Gaussians. Variants: `:units_1000`,
`:layers_2` (of 650 units), `:layers_3` (of 400), `:layer_norm`,
`:layer_norm_1000`; without dropout and scaling `:unregularised` and
`:layers_3_unregularised`; and `:embedded`, a small model that needs no data.
`--config.data.source=pen` trains on handwriting of your own.

Paper: -1,055 nats per line on validation, there being no test part;
`:layers_2` -1,135, `:layer_norm` -1,096. Measured so far: no variant at this
size. Of 256 units after 2,000 steps: -371 nats (55 minutes on one CPU core),
`:layer_norm` -676 (65 minutes).

Not in the paper: the number of steps, that gradients are clipped by their
global norm (those of the nats of a whole line are larger than 5.0 at nearly
every step, so that only their direction counts), the derivatives' limit, which
is that of Graves (2013) for the same data, and what hyper/data/iam.py says of
the preparation.
"""

from ml_collections import ConfigDict

from configs.shared import (
  ADAM,
  LSTM,
  Fields,
  Trial,
  configure,
  grid,
  scaled,
  suggest_dropout,
  suggest_rate,
)

RECIPE = {
  'task': 'handwriting',
  'seed': 0,
  'data': {
    'source': 'iam',
    'batch_size': 32,
    'eval_batch_size': 32,
    'buckets': 8,
    'scale_range': 0.1,
  },
  'model': {
    'cell': LSTM | {'units': 900, 'dropout_rate': 0.05},
    'layers': 1,
    'mixtures': 20,
    'output_dropout_rate': 0.05,
    'derivative_limit': 10.0,
  },
  'optimizer': ADAM | {'clip_norm': 5.0},
  'schedule': {'name': 'constant', 'learning_rate': 0.0001},
  'train_steps': 60_000,
  'eval_every_steps': 1_000,
  'save_every_steps': 1_000,
  'log_every_steps': 50,
}
UNREGULARISED = {
  'model.cell.dropout_rate': 0.0,
  'model.output_dropout_rate': 0.0,
  'data.scale_range': 0.0,
}
LAYERS_3 = {'model.layers': 3, 'model.cell.units': 400}
LAYER_NORM = {'model.cell.layer_norm': True}
EMBEDDED = {
  'data.source': 'embedded',
  'data.buckets': 3,
  'model.mixtures': 10,
  'schedule.learning_rate': 0.003,
  'train_steps': 600,
  'eval_every_steps': 150,
  'save_every_steps': 150,
  'log_every_steps': 25,
  'sample_every_steps': 150,
}
VARIANTS = {
  '': {},
  'units_1000': {'model.cell.units': 1000},
  'layers_2': {'model.layers': 2, 'model.cell.units': 650},
  'layers_3': LAYERS_3,
  'layer_norm': LAYER_NORM,
  'layer_norm_1000': LAYER_NORM | {'model.cell.units': 1000},
  'unregularised': UNREGULARISED,
  'layers_3_unregularised': LAYERS_3 | UNREGULARISED,
  'embedded': EMBEDDED | {'model.cell.units': 128},
}
DROPOUT = ('model.output_dropout_rate', 'model.cell.dropout_rate')


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('iam_lstm', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns a grid of learning and dropout rates."""
  rate = get_config(variant).schedule.learning_rate
  return grid(
    {'schedule.learning_rate': scaled(rate, 1, 3, 10), DROPOUT: (0.0, 0.05)}
  )


def suggest(trial: Trial) -> Fields:
  """Returns learning and dropout rates, chosen by Optuna's trial."""
  return suggest_rate(trial, 0.00003, 0.003) | suggest_dropout(trial, DROPOUT)
