"""A task whose steps take no time, and its runs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from hyper.runs import loop
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.compiled import Compiled, CompiledCache
from hyper.runs.numbers import NONE, numbers_of

CONFIG = {
  'task': 'toy',
  'paper': '',
  'seed': 0,
  'data': {'batch_size': 2},
  'model': {},
  'size': 3,
  'l2_rate': 0.01,
  'optimizer': {
    'name': 'adam',
    'clip_norm': 1.0,
    'beta1': 0.9,
    'beta2': 0.999,
    'epsilon': 1e-8,
  },
  'schedule': {'name': 'constant', 'learning_rate': 0.1},
  'mesh': {'data': 0, 'model': 1, 'fsdp': False},
  'accumulate_steps': 1,
  'precision': 'default',
  'train_steps': 8,
  'eval_every_steps': 4,
  'save_every_steps': 2,
  'log_every_steps': 1,
  'sample_every_steps': 0,
}


def config_of(**fields):
  config = ConfigDict(CONFIG)
  config.update_from_flattened_dict(fields)
  return config.lock()


class Toy:
  """Pulls a vector towards the mean of noisy vectors."""

  selection = ('distance', 'min')
  unit = 'vectors'
  reported_split = 'test'
  has_streams = False
  has_buckets = False
  mean_over = 'count'
  large = {}
  traces = 0  # counts how often the loss is traced
  at_batch = {}  # by step: called while its batch is drawn

  def __init__(self, config, data_dir, workdir):
    self.data = np.ones(int(config.size), np.float32)
    self.l2_rate = config.l2_rate
    self.numbers = numbers_of(config, ('l2_rate',))

  @staticmethod
  def sections():
    return {}

  def init(self, key):
    w = jax.random.normal(key, self.data.shape)
    return {'w': w}, {'sum': jnp.zeros(())}

  def batches(self, split, seed, start, once=False):
    if once or split != 'train':
      return iter([{'x': self.data}] * 2)
    return map(self._batch, itertools.count(start))

  def _batch(self, step):
    self.at_batch.get(step, lambda: None)()
    return {'x': self.data + np.float32(step % 3)}

  def loss(self, params, model_state, batch, key, train, numbers=NONE):
    type(self).traces += 1
    w = params['w']
    noise = jax.random.normal(key, w.shape) if train else jnp.zeros(w.shape)
    distance = ((w - batch['x'] - noise) ** 2).sum()
    loss = distance
    if self.l2_rate:
      loss += numbers.get('l2_rate', self.l2_rate) * (w**2).sum()
    sums = {'distance': distance, 'count': jnp.ones(())}
    return loss, ({'sum': model_state['sum'] + w.sum()}, sums)

  def eval_state(self, model_state):
    return model_state

  def summarize(self, sums):
    return {'distance': sums['distance'] / sums['count']}

  def describe(self):
    return []

  def fingerprint(self, split):
    return f'{split}{len(self.data)}'

  def samples(self, state):
    return {}

  def report(self, state, split):
    return {}


KEPT = CompiledCache(limit=8)


def train(workdir, config=None, task=Toy, kept=KEPT):
  return loop.train(task, config or config_of(), str(workdir), '', kept=kept)


def saved(workdir):
  return Checkpoints(workdir / 'checkpoints', Toy.selection)


def last_state(workdir, config=None):
  config = config or config_of()
  task = Toy(config, '', '')
  like = Compiled(config, task).init(0)
  return saved(workdir).restore(like)


def assert_same(one, two):
  jax.tree.map(np.testing.assert_array_equal, last_state(one), last_state(two))
