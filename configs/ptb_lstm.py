"""Penn Treebank, characters: LSTM baselines (section 4.3, A.3.3, Table 3).

  python train.py --config=configs/ptb_lstm.py --workdir=runs/ptb_lstm

Variants: `:1250` (units), `:two_layer`, `:layer_norm` and `:embedded`, small
and without data.

Not in the paper: the number of steps (the author's published curve has its
best point at 37,000), that gradients are clipped by their global norm, and that
the state goes on from window to window.
"""

from ml_collections import ConfigDict

from hyper.configuration import select

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
LSTM = {
  'name': 'lstm',
  'units': 1000,
  'layer_norm': False,
  'dropout_rate': 0.1,
  'forget_bias': 1.0,
  'orthogonal': 'whole',
  'dtype': 'float32',
}
VARIANTS = {
  '': (
    {},
    'test 1.312, validation 1.347 bpc, 4.25M parameters (Table 3, LSTM 1000)',
  ),
  '1250': (
    {'model.cell.units': 1250},
    'test 1.306, validation 1.340 bpc, 6.57M parameters (Table 3, LSTM 1250)',
  ),
  'two_layer': (
    {'model.layers': 2},
    'test 1.281, validation 1.312 bpc, 12.26M parameters '
    '(Table 3, 2-layer LSTM 1000)',
  ),
  'layer_norm': (
    {'model.cell.layer_norm': True},
    'test 1.267, validation 1.300 bpc, 4.26M parameters '
    '(Table 3, LN LSTM 1000)',
  ),
  'embedded': (EMBEDDED | {'model.cell.units': 256}, ''),
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  fields, paper = select(VARIANTS, variant, 'ptb_lstm.py')
  return recipe(LSTM, fields, paper)


def recipe(cell: dict, fields: dict, paper: str) -> ConfigDict:
  """What all models of Penn Treebank share, with some fields replaced."""
  config = ConfigDict(
    {
      'task': 'char_lm',
      'paper': paper,
      'seed': 0,
      'data': {
        'source': 'ptb',
        'prefix_bytes': 0,
        'batch_size': 128,
        'window_steps': 100,
        'eval_streams': 128,
        'eval_warmup_steps': 200,
      },
      'model': {
        'cell': cell,
        'layers': 1,
        'input_dropout_rate': 0.1,
        'output_dropout_rate': 0.1,
        'remat_steps': 0,
      },
      'optimizer': {
        'name': 'adam',
        'clip_norm': 1.0,
        'beta1': 0.9,
        'beta2': 0.999,
        'epsilon': 1e-8,
      },
      'schedule': {'name': 'constant', 'learning_rate': 0.001},
      'train_steps': 40_000,
      'eval_every_steps': 500,
      'save_every_steps': 500,
      'log_every_steps': 50,
    }
  )
  config.update_from_flattened_dict(fields)
  return config.lock()
