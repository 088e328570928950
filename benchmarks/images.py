"""Times image networks, plain and with generated kernels, beside PyTorch.

  python -m benchmarks.images --config=mnist_hyper --output=FILE.json

Times the gradient of the mean cross entropy of a batch of random images in
training: ours, and, if torch is installed, the same network in
benchmarks.torch_networks with and without torch.compile. The losses of both are
compared first. Optimizer, L2 and augmentation are left out. Ratios are medians,
over rounds, of the time over ours in the same round.
"""

import math
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax.traverse_util import flatten_dict

from benchmarks import measure, without_data
from benchmarks.recurrence import torch_kind
from hyper.generators import grids
from hyper.losses import cross_entropy
from hyper.models.classify import MnistConvnet
from hyper.runs import commands

CONFIGS = ('mnist_cnn', 'mnist_hyper', 'cifar10_wrn', 'cifar10_hyper_wrn')
LIMIT = 1e-4  # of the relative difference of losses


def main() -> None:
  """Measures each config and prints a table."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))
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
    try:
      import torch  # noqa: F401

      contenders['torch'] = network.torch(is_compiled=False)
      contenders['torch compiled'] = network.torch(is_compiled=True)
    except ImportError:
      pass
    measure.run(contenders, rounds)
  table: dict[str, Any] = {'parameters': network.parameters}
  for key, contender in contenders.items():
    table[key] = {
      'images_per_second': len(network.images) / contender.median,
      'time_over_ours': contender.over(contenders['here']),
      'compile_seconds': contender.compile_seconds,
    }
    print(
      f'{name:20}{key:16}{table[key]["images_per_second"]:10,.0f} images/s'
      f'{table[key]["time_over_ours"]:8.2f} of our time'
      f'{contender.compile_seconds:8.1f} s to compile',
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
    """Returns the gradient of the same loss in torch.

    Raises:
      ValueError: its value differs from ours.
    """
    import torch

    logits = self._torch_logits()
    w = self._torch_weights()
    device = next(iter(w.values())).device
    batch = np.array(self.images), np.array(self.labels)
    images, labels = (torch.tensor(x, device=device) for x in batch)
    images, labels = images.permute(0, 3, 1, 2), labels.long()
    leaves = [*w.values()]

    def loss(images: Any) -> Any:
      return torch.nn.functional.cross_entropy(logits(w, images), labels)

    given = self.variables['params'], self.images, self.labels
    ours, theirs = float(jax.jit(self.loss)(*given)), loss(images).item()
    if not math.isclose(ours, theirs, rel_tol=LIMIT):
      raise ValueError(f"torch's loss is {theirs}, ours {ours}.")
    run = torch.compile(loss) if is_compiled else loss

    def call() -> None:
      torch.autograd.grad(run(images), leaves)
      if device.type == 'cuda':
        torch.cuda.synchronize()

    return measure.called(call)

  def _torch_logits(self) -> Callable[..., Any]:
    from benchmarks import torch_networks

    is_convnet = isinstance(self.task.main, MnistConvnet)
    kinds = torch_networks.wide_resnet, torch_networks.mnist_convnet
    network = kinds[is_convnet]
    hyper = self.task.hypernetwork
    if hyper is None:
      return network
    shapes = hyper.shapes(self.images[:1], False)
    tiles = {
      '/'.join(path): grids.grid(x.shape, hyper.tile)[2:]
      for path, x in shapes.items()
    }

    def with_generated(w: Any, images: Any) -> Any:
      own = {k.removeprefix('network/'): x for k, x in w.items()}
      return network(own | torch_networks.generate(w, tiles), images)

    return with_generated

  def _torch_weights(self) -> dict[str, Any]:
    import torch

    kind, found = torch_kind(jnp.float32), {}
    for name, x in flatten_dict(self.variables['params'], sep='/').items():
      x = np.array(x)
      if x.ndim == 4 and name.endswith('kernel'):
        x = np.ascontiguousarray(x.transpose(3, 2, 0, 1))
      found[name] = torch.tensor(x, **kind).requires_grad_()
    return found


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string('config', CONFIGS, 'A file of configs/.')
  flags.DEFINE_integer('rounds', 5, 'Rounds of each.', lower_bound=1)
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
