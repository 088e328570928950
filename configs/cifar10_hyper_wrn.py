"""CIFAR-10: wide residual networks with generated kernels (4.2, Table 2).

  python train.py --config=configs/cifar10_hyper_wrn.py \
    --workdir=runs/hyper_40_1

Variants: `:40_1` (the default), `:40_2`; `:embedded`, a small network on
rendered digits, which needs no data; and `:images`, as small, on images of your
own (mnist_cnn.py has the command).

All 36 kernels of the three groups are made from tiles of 16 channels. The
recipe differs from cifar10_wrn.py in that and, as in the paper, in optimizer
and schedule. The initialisation is ours, see `Tiles` in hyper/tiles.py.

Paper: test error 8.02 %, `:40_2` 7.23 %. Measured so far: `:40_1` for 5 epochs
of its 1,900: 39.79 % (50 minutes, the first third on one CPU core, the rest on
two).

While the learning rate is high, a step changes all generated kernels together,
the running averages of batch norm lag, and the validation error is high and
noisy (results/README.md has figures): judge a young run by its training error.
"""

from ml_collections import ConfigDict

from configs import cifar10_wrn
from configs.cifar10_wrn import EMBEDDED, IMAGES
from configs.shared import ADAM, Fields, Trial, configure, grid, suggest_one_of

RECIPE = cifar10_wrn.RECIPE | {
  'hypernetwork': {
    'name': 'static',
    'generate': ('conv[234]_*/kernel',),
    'tile': (3, 3, 16, 16),
    'embedding_size': 64,
    'hidden_size': 64,
    'initialisation': 'he',
  },
  'optimizer': ADAM,
  'schedule': {
    'name': 'piecewise',
    'learning_rates': (0.002, 0.001, 0.0002, 0.00005),
    'until_steps': (168_000, 336_000, 504_000, 672_000),
  },
  'train_steps': 672_000,
}
VARIANTS = {
  '': {},
  '40_1': {'paper': 'cifar10_hyper_wrn'},
  '40_2': {'model.width': 2},
  'embedded': EMBEDDED,
  'images': IMAGES,
}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('cifar10_hyper_wrn', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns sizes of the generator, with both readings of the L2 rate."""
  del variant
  size = ('hypernetwork.embedding_size', 'hypernetwork.hidden_size')
  return grid({size: (32, 64, 128), 'l2_rate': (0.0005, 0.000005)})


def suggest(trial: Trial) -> Fields:
  """Returns an L2 rate and sizes of the generator, chosen by Optuna's trial."""
  return {
    'l2_rate': trial.suggest_float('l2_rate', 0.000005, 0.005, log=True),
    **suggest_one_of(
      trial,
      {
        'hypernetwork.embedding_size': (32, 64, 128),
        'hypernetwork.hidden_size': (32, 64, 128),
      },
    ),
  }
