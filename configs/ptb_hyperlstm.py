"""Penn Treebank, characters: the HyperLSTM (section 4.3, A.3.3, Table 3).

  python train.py --config=configs/ptb_hyperlstm.py --workdir=runs/ptb_hyper

The layer-norm HyperLSTM with 1000 units, a hyper LSTM of 128 and embeddings of
size 4. Variants: `:no_layer_norm`; `:large_embedding` (16, more dropout);
`:two_layer` (with the large embedding, and still more dropout); `:hypergru`,
which the paper does not have (docs/adding_a_cell.md); `:open_questions`, small,
for a study of what the paper leaves open (docs/commands.md); `:embedded`, a
small model that needs no data; and `:text`, as small, on text of your own
(ptb_lstm.py has the command). The recipe differs from ptb_lstm.py only in the
cell.

Paper: 1.250 bpc on test, `:no_layer_norm` 1.265, `:large_embedding` 1.233.
Measured, stopped after 18,050 steps: 1.287 bpc (12 minutes on an H200). Of 256
units, hyper 64, after 2,000 steps: 1.681 and 1.680 bpc (two seeds, 28 minutes
on one CPU core), `:no_layer_norm` 1.793 (47 minutes), `:large_embedding` 1.748
(41 minutes).
"""

from ml_collections import ConfigDict

from configs import ptb_lstm
from configs.ptb_lstm import DROPOUT, EMBEDDED, TEXT
from configs.shared import (
  HYPERGRU,
  HYPERLSTM,
  NO_LAYER_NORM,
  Fields,
  Trial,
  configure,
  grid,
  suggest_dropout,
  suggest_one_of,
  suggest_rate,
)

RECIPE = ptb_lstm.RECIPE | {
  'model': ptb_lstm.RECIPE['model'] | {'cell': HYPERLSTM}
}
SMALL = {'model.cell.units': 192, 'model.cell.hyper_units': 48}
VARIANTS = {
  '': {},
  'no_layer_norm': NO_LAYER_NORM,
  'large_embedding': {
    'model.cell.embedding_size': 16,
    **dict.fromkeys(DROPOUT, 0.15),
  },
  'two_layer': {
    'model.layers': 2,
    'model.cell.embedding_size': 16,
    **dict.fromkeys(DROPOUT, 0.2),
  },
  'hypergru': {'model.cell': HYPERGRU},
  'open_questions': {
    'model.cell.units': 256,
    'model.cell.hyper_units': 64,
    'model.cell.embedding_size': 16,
    'train_steps': 1000,
    'eval_every_steps': 100,
    'save_every_steps': 100,
  },
  'embedded': EMBEDDED | SMALL,
  'text': TEXT | SMALL,
}

OPEN_QUESTIONS = (  # what the paper leaves open, one field at a time
  {},
  {'model.cell.hyper_state': 'old'},
  {'model.cell.forget_bias': 0.0},
  {'model.cell.orthogonal': 'gate'},
  {'model.cell.hyper_layer_norm': False},
  {'model.cell.scaling_noise': 0.1},
)


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('ptb_hyperlstm', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns a grid of sizes of the hypernetwork, dropout and learning rates.

  That of `:open_questions` changes one field at a time, with two seeds each.
  """
  if variant == 'open_questions':
    return [x | {'seed': seed} for x in OPEN_QUESTIONS for seed in (0, 1)]
  config = get_config(variant)
  units, rate = config.model.cell.hyper_units, config.schedule.learning_rate
  return grid(
    {
      'model.cell.hyper_units': (units // 2, units, 2 * units),
      'model.cell.embedding_size': (4, 16),
      DROPOUT: (0.1, 0.15),
      'schedule.learning_rate': (rate / 2, rate),
    }
  )


def suggest(trial: Trial) -> Fields:
  """Returns sizes of the hypernetwork and rates, chosen by Optuna's trial."""
  return {
    **suggest_one_of(
      trial,
      {
        'model.cell.hyper_units': (32, 64, 128),
        'model.cell.embedding_size': (4, 16),
      },
    ),
    **suggest_rate(trial, 0.0001, 0.01),
    **suggest_dropout(trial, DROPOUT),
  }
