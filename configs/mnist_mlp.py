"""MNIST: the plain perceptron of appendix A.1.

  python train.py --config=configs/mnist_mlp.py --workdir=runs/mnist_mlp

Variant: `:embedded`, on rendered digits, small and without data.

The paper says nothing of its training; this is mnist_cnn.py's recipe without
the crops.
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
  return config.lock()
