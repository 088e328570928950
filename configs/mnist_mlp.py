"""MNIST: the plain perceptron of appendix A.1.

  python train.py --config=configs/mnist_mlp.py --workdir=runs/mnist_mlp

Variant: `:embedded`, on rendered digits, small and without data.

The paper says nothing of its training; this is mnist_cnn.py's recipe without
the crops, and with pixels standardised by the training images' mean and
deviation. Weights made from coordinates vary little from pixel to pixel: on
pixels of one sign a few steps make all hidden units negative, for good.
"""

from ml_collections import ConfigDict

from configs import mnist_cnn
from hyper.configuration import select

VARIANTS = {
  '': 'test accuracy 98.5 %, 200,704 parameters in the hidden layer (A.1)',
  'embedded': '',
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  paper = select(VARIANTS, variant, 'mnist_mlp.py')
  return recipe({'name': 'none'}, paper, variant == 'embedded')


def recipe(hypernetwork: dict, paper: str, embedded: bool) -> ConfigDict:
  """What the plain and the generated perceptron share."""
  config = mnist_cnn.recipe(hypernetwork, paper, embedded).unlock()
  config.model = {'name': 'perceptron', 'hidden_units': 256}
  config.data.crop_padding = 0
  config.data.mean, config.data.deviation = (0.1307,), (0.3081,)
  return config.lock()
