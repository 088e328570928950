"""MNIST: the plain perceptron of appendix A.1.

  python train.py --config=configs/mnist_mlp.py --workdir=runs/mnist_mlp

Variants: `:embedded` and `:images`, as in mnist_cnn.py.

Paper: test accuracy 98.5 %. Measured, unchanged: 98.13 % (one minute on one
CPU core).

The paper does not describe its training. This is mnist_cnn.py's `:paper`
without the crops, and with pixels standardised by mean and deviation of the
training images. Weights made from coordinates vary little from pixel to pixel:
on pixels of one sign, a few steps turn all hidden units negative for good.
"""

from ml_collections import ConfigDict

from configs import mnist_cnn
from configs.shared import Fields, Trial, configure, grid, scaled, suggest_rate

RECIPE = mnist_cnn.RECIPE | {
  'schedule': mnist_cnn.CONSTANT,
  'data': mnist_cnn.RECIPE['data']
  | {'mean': (0.1307,), 'deviation': (0.3081,), 'crop_padding': 0},
  'model': {'name': 'perceptron', 'hidden_units': 256},
}
VARIANTS = mnist_cnn.SMALL


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('mnist_mlp', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns three learning rates with three seeds each."""
  rate = get_config(variant).schedule.learning_rate
  return grid(
    {'schedule.learning_rate': scaled(rate, 0.5, 1, 2), 'seed': (0, 1, 2)}
  )


def suggest(trial: Trial) -> Fields:
  """Returns a learning rate, chosen by Optuna's trial."""
  return suggest_rate(trial, 0.0001, 0.01)
