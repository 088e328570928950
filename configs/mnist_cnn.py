"""MNIST: the plain convnet (sections 4.1 and A.3.1, Table 7).

  python train.py --config=configs/mnist_cnn.py --workdir=runs/mnist_cnn

Variant: `:embedded`, on rendered digits, small and without data.

The learning rate and the crops are the paper's, the 50 epochs the author's
notebook's (the paper gives no number); 55 batches of 1000 make an epoch.
"""

from ml_collections import ConfigDict

from hyper.configuration import select

VARIANTS = {
  '': ({}, 'test error 0.72 %, 12,544 parameters in the second kernel (T. 7)'),
  'embedded': ({}, ''),
}
EMBEDDED = {
  'data.source': 'embedded',
  'data.batch_size': 100,
  'schedule.learning_rate': 0.002,
  'train_steps': 300,
  'eval_every_steps': 60,
  'save_every_steps': 60,
  'log_every_steps': 20,
}


def get_config(variant: str = '') -> ConfigDict:
  """The recipe, locked."""
  _, paper = select(VARIANTS, variant, 'mnist_cnn.py')
  return recipe({'name': 'none'}, paper, variant == 'embedded')


def recipe(hypernetwork: dict, paper: str, embedded: bool) -> ConfigDict:
  """What both MNIST networks share."""
  config = ConfigDict(
    {
      'task': 'classify',
      'paper': paper,
      'seed': 0,
      'data': {
        'source': 'mnist',
        'batch_size': 1000,
        'eval_batch_size': 1000,
        'mean': (0.0,),
        'deviation': (1.0,),
        'crop_padding': 1,
        'flip': False,
      },
      'model': {'name': 'mnist_convnet'},
      'hypernetwork': hypernetwork,
      'l2_rate': 0.0,
      'optimizer': {
        'name': 'adam',
        'clip_norm': 0.0,
        'beta1': 0.9,
        'beta2': 0.999,
        'epsilon': 1e-8,
      },
      'schedule': {'name': 'constant', 'learning_rate': 0.001},
      'train_steps': 2750,
      'eval_every_steps': 55,
      'save_every_steps': 55,
      'log_every_steps': 11,
    }
  )
  config.update_from_flattened_dict(EMBEDDED if embedded else {})
  return config.lock()
