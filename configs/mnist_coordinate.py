"""MNIST: a perceptron whose weights are made from coordinates (appendix A.1).

  python train.py --config=configs/mnist_coordinate.py --workdir=runs/coordinate

Variant: `:embedded`, as in mnist_cnn.py. There is none for images of your own,
since `input_shape` is that of MNIST. The recipe differs from mnist_mlp.py only
in the section `hypernetwork`: 801 parameters generate the 200,704 of the hidden
layer.

Paper: test accuracy 93.5 %. Measured, unchanged: 93.30 % (8 minutes on one CPU
core).
"""

from ml_collections import ConfigDict

from configs import mnist_cnn, mnist_mlp
from configs.shared import Fields, Trial, configure, grid, suggest_rate

RECIPE = mnist_mlp.RECIPE | {
  'hypernetwork': {
    'name': 'coordinate',
    'generate': ('hidden/kernel',),
    'input_shape': (28, 28),
    'output_shape': (16, 16),
    'hidden_sizes': (25, 25),
  }
}
VARIANTS = {'': {}, 'embedded': mnist_cnn.EMBEDDED}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('mnist_coordinate', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns three generators with three seeds each."""
  del variant
  sizes = ((25, 25), (50, 50), (25, 25, 25))
  return grid({'hypernetwork.hidden_sizes': sizes, 'seed': (0, 1, 2)})


def suggest(trial: Trial) -> Fields:
  """Returns a learning rate, chosen by Optuna's trial."""
  return suggest_rate(trial, 0.0001, 0.01)
