"""CIFAR-10: wide residual networks with generated kernels (4.2, Table 2).

  python train.py --config=configs/cifar10_hyper_wrn.py \
    --workdir=runs/hyper_40_1

Variants: `:40_1` (the default), `:40_2`, and `:embedded`, on rendered digits,
small and without data.

All 36 kernels of the three groups are made from tiles of 16 channels. Differs
from cifar10_wrn.py in that and, as in the paper, in optimizer and schedule.
The initialisation is ours, see `StaticHyperNetwork` in hyper/static.py.

While the learning rate is high, a step changes all generated kernels together,
the running averages of batch norm lag behind, and the validation error is high
and noisy (results/README.md has figures): judge a young run by its training
error.
"""

from ml_collections import ConfigDict

from configs.cifar10_wrn import recipe
from hyper.configuration import select

VARIANTS = {
  '': (1, 'test error 8.02 %, 0.097M parameters (Table 2, Hyper 40-1)'),
  '40_1': (1, 'test error 8.02 %, 0.097M parameters (Table 2, Hyper 40-1)'),
  '40_2': (2, 'test error 7.23 %, 0.148M parameters (Table 2, Hyper 40-2)'),
  'embedded': (1, ''),
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  width, paper = select(VARIANTS, variant, 'cifar10_hyper_wrn.py')
  hypernetwork = {
    'name': 'static',
    'generate': ('conv[234]_*/kernel',),
    'tile': (3, 3, 16, 16),
    'embedding_size': 64,
    'hidden_size': 64,
    'initialisation': 'he',
  }
  training = {
    'optimizer': {
      'name': 'adam',
      'clip_norm': 0.0,
      'beta1': 0.9,
      'beta2': 0.999,
      'epsilon': 1e-8,
    },
    'schedule': {
      'name': 'piecewise',
      'learning_rates': (0.002, 0.001, 0.0002, 0.00005),
      'until_steps': (168_000, 336_000, 504_000, 672_000),
    },
    'train_steps': 672_000,
  }
  return recipe(hypernetwork, width, paper, training, variant == 'embedded')
