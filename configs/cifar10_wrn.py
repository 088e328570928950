"""CIFAR-10: plain wide residual networks (sections 4.2, A.3.2, Table 9).

  python train.py --config=configs/cifar10_wrn.py --workdir=runs/wrn_40_1

Variants: `:40_1` (the default), `:40_2`; `:embedded`, a small network on
rendered digits, which needs no data; and `:images`, as small, on images of your
own (mnist_cnn.py has the command).

Paper: test error 6.73 %, `:40_2` 5.66 %. Measured so far: `:40_1` for 5 epochs
of its 400: 25.41 % (64 minutes on one CPU core).

Not in the paper: the momentum, and the standardisation of colours by mean and
deviation of the training images. Both are those of the original wide residual
networks. The paper's L2 rate is read as 0.0005, see `half_squares` in
hyper/tasks/classify.py. An epoch is 351 steps.
"""

from ml_collections import ConfigDict

from configs.shared import Fields, Trial, configure, grid

RECIPE = {
  'task': 'classify',
  'seed': 0,
  'data': {
    'source': 'cifar10',
    'path': '',
    'split': (0.9, 0.05, 0.05),
    'batch_size': 128,
    'eval_batch_size': 500,
    'mean': (0.4917, 0.4824, 0.4468),
    'deviation': (0.2470, 0.2435, 0.2616),
    'crop_padding': 2,
    'flip': True,
  },
  'model': {'name': 'wide_resnet', 'blocks': 6, 'width': 1},
  'hypernetwork': {'name': 'none'},
  'l2_rate': 0.0005,
  'optimizer': {
    'name': 'sgd',
    'clip_norm': 0.0,
    'momentum': 0.9,
    'nesterov': True,
  },
  'schedule': {
    'name': 'piecewise',
    'learning_rates': (0.1, 0.02, 0.004, 0.0008, 0.00016),
    'until_steps': (28_000, 56_000, 84_000, 112_000, 140_000),
  },
  'train_steps': 140_000,
  'eval_every_steps': 1000,
  'save_every_steps': 1000,
  'log_every_steps': 50,
}
EMBEDDED = {
  'data.source': 'embedded',
  'data.batch_size': 32,
  'data.eval_batch_size': 250,
  'data.mean': (0.0,),
  'data.deviation': (1.0,),
  'data.flip': False,
  'model.blocks': 1,
  'train_steps': 300,
  'eval_every_steps': 60,
  'save_every_steps': 60,
  'log_every_steps': 20,
  'sample_every_steps': 60,
}
IMAGES = EMBEDDED | {
  'data.source': 'images',
  'data.path': 'images',
  'data.mean': (),
  'data.deviation': (),
}
VARIANTS = {
  '': {},
  '40_1': {'paper': 'cifar10_wrn'},
  '40_2': {'model.width': 2},
  'embedded': EMBEDDED,
  'images': IMAGES,
}


def get_config(variant: str = '') -> ConfigDict:
  """Returns a variant of the recipe, locked."""
  return configure('cifar10_wrn', RECIPE, VARIANTS, variant)


def get_sweep(variant: str = '') -> list[Fields]:
  """Returns two readings of the L2 rate, and none, with three seeds each."""
  del variant
  return grid({'l2_rate': (0.0005, 0.000005, 0.0), 'seed': (0, 1, 2)})


def suggest(trial: Trial) -> Fields:
  """Returns an L2 rate, chosen by Optuna's trial."""
  return {'l2_rate': trial.suggest_float('l2_rate', 0.000005, 0.005, log=True)}
