"""WMT'14 English to French: the LSTM of GNMT (section 4.6, A.3.6, Table 6).

  python train.py --config=configs/nmt_lstm.py --workdir=runs/nmt_lstm

GNMT with 1024 units, 8 encoder and 8 decoder layers and 32,000 word pieces,
trained by Adam alone. Variants: `:small`, 2 and 2 layers of 256 units, for
some 180,000 sentence pairs in plain text files; and `:embedded`, a small model
that needs no data, and translates all of its test sentences exactly after 1200
steps (2 minutes of CPU time).

A step of the longest batches, 80 pairs of 96 pieces, takes 13.3 GiB by the
analysis of the compiler for CPU, or 11.5 GiB with `--config.model.remat=True`,
both with the flag that benchmarks/translation_memory.py names. 2, 4 and 8
devices divide the rows of every batch of this recipe, not of its variants.

Paper, which quotes GNMT's: 38.95 BLEU on newstest2014, log perplexity 1.027.
Measured so far: `:small` for 3,000 steps on another corpus, 6.3 BLEU on
Multi30k (80 minutes on one CPU core), 31.7 with layer norm, which cannot be
compared with the paper's.

Not in the paper: the number of steps, the token budget and the buckets.
Dropout, clipping, the rate of Adam, the uniform initial values and the beam's
penalties are GNMT's, after descriptions of it; the beam's size is ours.
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
  'task': 'translate',
  'seed': 0,
  'data': {
    'source': 'wmt14',
    'train': (),
    'validation': (),
    'test': (),
    'vocabulary_size': 32_000,
    'vocabulary_pairs': 5_000_000,
    'character_coverage': 0.9995,
    'bucket_lengths': (8, 16, 24, 32, 48, 64, 96),
    'batch_size': 128,
    'batch_tokens': 7680,
  },
  'model': {
    'cell': LSTM | {'units': 1024, 'dropout_rate': 0.0},
    'layers': 8,
    'dropout_rate': 0.2,
    'start_limit': 0.04,
    'uniform_cells': True,
    'remat': False,
    'bottom_context': False,
  },
  'decoding': {
    'batch_size': 32,
    'beam_size': 8,
    'length_penalty': 0.2,
    'coverage_penalty': 0.2,
    'length_factor': 2,
    'length_more': 10,
  },
  'optimizer': ADAM | {'clip_norm': 5.0},
  'schedule': {'name': 'constant', 'learning_rate': 0.0002},
  'train_steps': 1_000_000,
  'eval_every_steps': 5000,
  'save_every_steps': 5000,
  'log_every_steps': 50,
}
SMALL = {
  'data.source': 'files',
  'data.train': ('mt/union/train.en', 'mt/union/train.fr'),
  'data.validation': ('mt/union/valid.en', 'mt/union/valid.fr'),
  'data.test': ('mt/union/test.en', 'mt/union/test.fr'),
  'data.vocabulary_size': 8000,
  'data.bucket_lengths': (10, 14, 20, 32),
  'data.batch_size': 128,
  'data.batch_tokens': 2048,
  'model.layers': 2,
  'model.cell.units': 256,
  'model.start_limit': 0.1,
  'decoding.beam_size': 4,
  'schedule.learning_rate': 0.001,
  'train_steps': 20_000,
  'eval_every_steps': 1000,
  'save_every_steps': 1000,
}
EMBEDDED = {
  'data.source': 'embedded',
  'data.vocabulary_size': 120,
  'data.bucket_lengths': (10, 14, 24),
  'data.batch_size': 64,
  'data.batch_tokens': 1024,
  'model.layers': 2,
  'model.cell.units': 96,
  'model.start_limit': 0.2,
  'decoding.beam_size': 4,
  'schedule.learning_rate': 0.003,
  'train_steps': 1200,
  'eval_every_steps': 200,
  'save_every_steps': 200,
}
VARIANTS = {'': {}, 'small': SMALL, 'embedded': EMBEDDED}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('nmt_lstm', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns a grid of learning and dropout rates."""
  rate = get_config(variant).schedule.learning_rate
  return grid(
    {
      'schedule.learning_rate': scaled(rate, 0.5, 1, 2),
      'model.dropout_rate': (0.1, 0.2, 0.3),
    }
  )


def suggest(trial: Trial) -> Fields:
  """Returns learning and dropout rates, chosen by Optuna's trial."""
  return suggest_rate(trial, 0.00005, 0.005) | suggest_dropout(
    trial, ['model.dropout_rate']
  )
