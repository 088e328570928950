"""MNIST: the convnet whose second kernel is generated (section 4.1, Table 7).

  python train.py --config=configs/mnist_hyper.py --workdir=runs/mnist_hyper

Variants: `:paper`, `:notebook`, `:embedded` and `:images`, as in mnist_cnn.py.
The recipe differs from mnist_cnn.py only in the section `hypernetwork`: 4,244
parameters generate the 12,544 of the second kernel.

Paper: test error 0.76 %. Measured, unchanged: 0.81 +- 0.09 % (three seeds, 20
seconds each on an H200); `:paper` 1.06 +- 0.10 % (three seeds, 44 minutes each
on one CPU core; results/README.md says why).

Deviation: the author's notebook starts the generator from values of deviation
0.01, and so do `:paper` and `:notebook`. This recipe has He-scaled values, with
which the kernel does not collapse to rank one.
"""

from ml_collections import ConfigDict

from configs import mnist_cnn
from configs.shared import (
  Fields,
  Trial,
  configure,
  grid,
  suggest_one_of,
  suggest_rate,
)

RECIPE = mnist_cnn.RECIPE | {
  'hypernetwork': {
    'name': 'static',
    'generate': ('conv2/kernel',),
    'tile': (7, 7, 16, 16),
    'embedding_size': 4,
    'hidden_size': 4,
    'initialisation': 'he',
  }
}
NOTEBOOK = {
  'paper': 'mnist_hyper',
  'hypernetwork.initialisation': 'notebook',
}
PAPER = NOTEBOOK | {'schedule': mnist_cnn.CONSTANT}
VARIANTS = mnist_cnn.SMALL | {'paper': PAPER, 'notebook': NOTEBOOK}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('mnist_hyper', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns embedding sizes and initialisations with three seeds each."""
  del variant
  size = ('hypernetwork.embedding_size', 'hypernetwork.hidden_size')
  return grid(
    {
      size: (4, 8, 16),
      'hypernetwork.initialisation': ('notebook', 'he'),
      'seed': (0, 1, 2),
    }
  )


def suggest(trial: Trial) -> Fields:
  """Returns a learning rate and a generator, chosen by Optuna's trial."""
  return suggest_rate(trial, 0.0001, 0.01) | suggest_one_of(
    trial,
    {
      'hypernetwork.initialisation': ('notebook', 'he'),
      'hypernetwork.embedding_size': (4, 8, 16),
    },
  )
