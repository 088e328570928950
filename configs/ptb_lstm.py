"""Penn Treebank, characters: LSTM baselines (section 4.3, A.3.3, Table 3).

  python train.py --config=configs/ptb_lstm.py --workdir=runs/ptb_lstm

Variants: `:1250` (units), `:two_layer`, `:layer_norm`; `:embedded`, a small
model that needs no data; and `:text`, as small, on text of your own, as in

  python train.py --config=configs/ptb_lstm.py:text --workdir=runs/own \
    --config.data.files=book.txt --config.data.symbols=characters

where `book.txt` lies in `--data_dir`; see hyper/data/README.md.

Paper: 1.312 bpc on test, `:layer_norm` 1.267. Measured, stopped early: 1.430
bpc after 5,500 steps, `:layer_norm` 1.465 after 3,000 (a minute each on an
H200). Of 256 units after 2,000 steps: 2.268 and 2.283 bpc (two seeds, 21
minutes on one CPU core), `:layer_norm` 1.806 (24 minutes).

Not in the paper: the number of steps (the author's published curve has its
best point at 37,000), that gradients are clipped by their global norm, and that
the state is kept from window to window.
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
  'task': 'char_lm',
  'seed': 0,
  'data': {
    'source': 'ptb',
    'prefix_bytes': 0,
    'files': (),
    'split': (0.9, 0.05, 0.05),
    'symbols': 'bytes',
    'batch_size': 128,
    'window_steps': 100,
    'eval_streams': 128,
    'eval_warmup_steps': 200,
  },
  'model': {
    'cell': LSTM,
    'layers': 1,
    'input_dropout_rate': 0.1,
    'output_dropout_rate': 0.1,
    'remat_steps': 0,
  },
  'optimizer': ADAM | {'clip_norm': 1.0},
  'schedule': {'name': 'constant', 'learning_rate': 0.001},
  'train_steps': 40_000,
  'eval_every_steps': 500,
  'save_every_steps': 500,
  'log_every_steps': 50,
}
EMBEDDED = {
  'data.source': 'embedded',
  'data.batch_size': 32,
  'data.window_steps': 50,
  'data.eval_streams': 32,
  'data.eval_warmup_steps': 50,
  'schedule.learning_rate': 0.002,
  'train_steps': 1200,
  'eval_every_steps': 300,
  'save_every_steps': 300,
  'log_every_steps': 50,
}
SMALL = {'model.cell.units': 256}
TEXT = EMBEDDED | {'data.source': 'text'}
VARIANTS = {
  '': {},
  '1250': {'model.cell.units': 1250},
  'two_layer': {'model.layers': 2},
  'layer_norm': {'model.cell.layer_norm': True},
  'embedded': EMBEDDED | SMALL,
  'text': TEXT | SMALL,
}
DROPOUT = (
  'model.input_dropout_rate',
  'model.output_dropout_rate',
  'model.cell.dropout_rate',
)


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('ptb_lstm', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns a grid of learning and dropout rates.

  The paper chose by "a small grid search" on validation, and prints no grid.
  """
  rate = get_config(variant).schedule.learning_rate
  return grid(
    {
      'schedule.learning_rate': scaled(rate, 0.3, 1, 3),
      DROPOUT: (0.1, 0.15, 0.2),
    }
  )


def suggest(trial: Trial) -> Fields:
  """Returns learning and dropout rates, chosen by Optuna's trial."""
  return suggest_rate(trial, 0.0001, 0.01) | suggest_dropout(trial, DROPOUT)
