"""Times image networks, plain and with generated kernels, beside PyTorch.

  python -m benchmarks.images --config=mnist_hyper --output=FILE.json

Times the gradient of the mean cross entropy of a batch of random images in
training: ours, and, if torch is installed, the same network in
benchmarks.torch_networks with and without torch.compile, each in a process of
its own. The losses of both are compared first. Optimizer, L2 and augmentation
are left out. Ratios are medians, over rounds, of the time over ours in the same
round.
"""

import functools
import math
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax.traverse_util import flatten_dict

from benchmarks import measure, torch_timed, without_data
from hyper.generators import grids
from hyper.losses import cross_entropy
from hyper.models.classify import MnistConvnet
from hyper.runs import commands

CONFIGS = ('mnist_cnn', 'mnist_hyper', 'cifar10_wrn', 'cifar10_hyper_wrn')


def main() -> None:
  """Measures each config and prints a table."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))
  for name in args.config:
    if name.partition(':')[0] not in CONFIGS:
      known = ', '.join(CONFIGS)
      raise ValueError(f'--config: {name!r} is none of {known}, or a variant.')
  measure.measure_each(
    'images',
    args.config,
    lambda name: measured(name, args.rounds),
    args.output,
  )


def measured(name: str, rounds: int) -> dict[str, Any]:
  """Times the networks of a config; prints and returns their figures."""
  with tempfile.TemporaryDirectory() as workdir:
    network = Network(name, workdir)
    contenders = {'here': network.here()}
    if torch_timed.is_installed():
      contenders['torch'] = network.torch(is_compiled=False)
      contenders['torch compiled'] = network.torch(is_compiled=True)
    measure.run(contenders, rounds)
  table: dict[str, Any] = {'parameters': network.parameters}
  for key, contender in contenders.items():
    table[key] = {
      'images_per_second': len(network.images) / contender.median,
      'time_over_ours': contender.over(contenders['here']),
      'compile_seconds': contender.compile_seconds,
      'memory_megabytes': contender.megabytes,
    }
    print(
      f'{name:20}{key:16}{table[key]["images_per_second"]:10,.0f} images/s'
      f'{table[key]["time_over_ours"]:8.2f} of our time'
      f'{contender.compile_seconds:8.1f} s to compile'
      f'{contender.megabytes or math.nan:8,.0f} MB',
      flush=True,
    )
  return table


class Network:
  """The network of a config with its first parameters, and a batch."""

  def __init__(self, name: str, workdir: str):
    config = measure.find_config(name)
    self.task: Any = without_data.make(config, workdir)
    self.module = self.task.hypernetwork or self.task.main
    side, channels = (28, 1) if config.data.source == 'mnist' else (32, 3)
    rng, rows = np.random.default_rng(0), config.data.batch_size
    shape = (rows, side, side, channels)
    self.images = jnp.asarray(rng.normal(size=shape), jnp.float32)
    self.labels = jnp.asarray(rng.integers(0, 10, rows), jnp.int32)
    self.variables = self.module.init(jax.random.key(0), self.images[:1], False)

  @property
  def parameters(self) -> int:
    """Returns the number of trained parameters."""
    leaves = jax.tree.leaves(self.variables['params'])
    return sum(math.prod(x.shape) for x in leaves)

  def loss(self, params: Any, images: Any, labels: Any) -> jax.Array:
    """Returns the mean cross entropy of a batch in training."""
    logits, _ = self.module.apply(
      self.variables | {'params': params}, images, True, mutable=['batch_stats']
    )
    return cross_entropy(logits, labels).mean()

  def here(self) -> measure.Contender:
    """Returns the gradient of our loss."""
    params = self.variables['params']
    return measure.compiled(
      jax.grad(self.loss), params, self.images, self.labels
    )

  def torch(self, is_compiled: bool) -> measure.Contender:
    """Returns the gradient of the same loss in torch."""
    return measure.apart(torch_timed.images, self._given, is_compiled)

  @functools.cached_property
  def _given(self) -> dict[str, Any]:
    params = self.variables['params']
    is_convnet = isinstance(self.task.main, MnistConvnet)
    return {
      'network': 'mnist_convnet' if is_convnet else 'wide_resnet',
      'weights': {
        name: with_torch_axes(name, np.array(x))
        for name, x in flatten_dict(params, sep='/').items()
      },
      'grids': self._grids(),
      'images': np.array(self.images.transpose(0, 3, 1, 2)),
      'labels': np.array(self.labels, np.int64),
      'loss': float(jax.jit(self.loss)(params, self.images, self.labels)),
    }

  def _grids(self) -> dict[str, tuple[int, ...]] | None:
    """Returns the number of tiles of each generated kernel; None without."""
    hyper = self.task.hypernetwork
    if hyper is None:
      return None
    shapes = hyper.shapes(self.images[:1], False)
    return {
      '/'.join(path): tuple(grids.grid(x.shape, hyper.tile)[2:])
      for path, x in shapes.items()
    }


def with_torch_axes(name: str, x: np.ndarray) -> np.ndarray:
  """Returns a parameter, of a kernel as [outputs, inputs, height, width]."""
  is_kernel = x.ndim == 4 and name.endswith('kernel')
  return np.ascontiguousarray(x.transpose(3, 2, 0, 1)) if is_kernel else x


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string('config', CONFIGS, 'A file of configs/.')
  flags.DEFINE_integer('rounds', 5, 'Rounds of each.', lower_bound=1)
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
