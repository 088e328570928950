"""Times wide residual networks with generated kernels beside plain ones.

  python -m benchmarks.static --variant=40_1 --output=FILE.json

Times a training step of the shipped configs on random images (so no data are
needed), and an evaluation step of the plain network, the hypernetwork, and
the hypernetwork after `bake`. A ratio is the median, over rounds, of the
ratio to plain within the round. Memory is what XLA plans for a training step
besides its arguments.
"""

import json
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks import measure
from configs import cifar10_hyper_wrn, cifar10_wrn
from hyper.runs import commands
from hyper.runs.compiled import Compiled, step_numbers
from hyper.tasks.classify import Classify

CONFIGS = {'plain': cifar10_wrn, 'hyper': cifar10_hyper_wrn}


def make_batch(size: int) -> dict[str, np.ndarray]:
  """Returns random images and labels."""
  rng = np.random.default_rng(0)
  return {
    'image': rng.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8),
    'label': rng.integers(0, 10, size, dtype=np.int32),
    'mask': np.ones(size, bool),
  }


class Network:
  """Holds a config's task, its state, and its evaluation, on one batch."""

  def __init__(self, name: str, variant: str, batch_size: int):
    config = CONFIGS[name].get_config(variant)
    self.task = Classify(config, '', '')
    self.batch = jax.device_put(make_batch(batch_size))
    self._compiled = Compiled(config, self.task)
    self._numbers = step_numbers(config, self.task)
    self.state = self._compiled.init(config.seed)

  def train(self) -> measure.Contender:
    """Returns a training step, which continues from the one before."""
    step, seconds, size = measure.compile_timed(
      self._compiled.train, self.state, self.batch, self._numbers
    )

    def call() -> None:
      self.state, metrics = step(self.state, self.batch, self._numbers)
      jax.block_until_ready((self.state, metrics))

    return measure.Contender(call, seconds, size)

  def evaluate(self, params: Any) -> measure.Contender:
    """Returns an evaluation step with these parameters."""
    return measure.compiled(
      self._compiled.evaluate,
      *(params, self.state.model_state, self.batch),
    )


def figures(
  contenders: dict[str, measure.Contender], rounds: int, images: int
) -> dict[str, dict[str, float | int | None]]:
  """Runs the contenders, and returns the figures of each."""
  measure.run(contenders, rounds)
  return {
    name: {
      'images_per_second': round(images / x.median, 1),
      'time_over_plain': round(x.over(contenders['plain']), 3),
      'temporary_bytes': x.temporary_bytes,
      'compile_seconds': round(x.compile_seconds, 1),
    }
    for name, x in contenders.items()
  }


def main() -> None:
  """Measures and prints, and writes a file where one is named."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))
  size = args.batch_size
  networks = {name: Network(name, args.variant, size) for name in CONFIGS}
  training_steps = {name: x.train() for name, x in networks.items()}
  result = {'variant': args.variant, 'batch_size': size}
  result['train'] = figures(training_steps, args.rounds, size)
  plain, hyper = networks['plain'], networks['hyper']
  baked = hyper.task.main_params(hyper.state.params)
  evaluations = {
    'plain': plain.evaluate(plain.state.params),
    'hyper': hyper.evaluate(hyper.state.params),
    'baked': plain.evaluate(baked),
  }
  result['evaluate'] = figures(evaluations, args.rounds, size)
  print(json.dumps(result, indent=2))
  if args.output:
    measure.write(args.output, 'static', result)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_enum('variant', '40_1', ['40_1', '40_2'], 'Size of the network.')
  flags.DEFINE_integer('batch_size', 128, 'Images in a step.', lower_bound=1)
  flags.DEFINE_integer('rounds', 10, 'Calls of each.', lower_bound=1)
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
