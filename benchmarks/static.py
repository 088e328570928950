"""What generated kernels cost: wide residual networks, hyper beside plain.

  PYTHONPATH=. python benchmarks/static.py --variant=40_1 --rounds=5 --steps=3

Times a training step of the shipped configs on random images (so no data are
needed), and an evaluation step of the plain network, the hypernetwork, and
the hypernetwork after `bake`. The contenders take turns, round by round, so
that other work on the machine meets all; speeds are those of the best round,
ratios the median over rounds of the ratio within a round.
Memory is what XLA plans for a training step, its arguments included. Prints
lines of JSON.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from configs import cifar10_hyper_wrn, cifar10_wrn
from hyper import training
from hyper.tasks.classify import Classify

CONFIGS = {'plain': cifar10_wrn, 'hyper': cifar10_hyper_wrn}


def make_batch(size: int) -> dict[str, np.ndarray]:
  """Random images and labels."""
  rng = np.random.default_rng(0)
  return {
    'image': rng.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8),
    'label': rng.integers(0, 10, size, dtype=np.int32),
    'mask': np.ones(size, bool),
  }


def prepare(name: str, variant: str, batch_size: int) -> dict[str, Any]:
  """Compiled steps of a config, and what they are called with."""
  config = CONFIGS[name].get_config(variant)
  task = Classify(config, '', '')
  schedule = training.make_schedule(config.schedule)
  optimizer = training.make_optimizer(config.optimizer, schedule)
  state = training.init_state(task.init, optimizer, config.seed)
  batch = jax.device_put(make_batch(batch_size))
  train_step = training.make_train_step(task.loss, optimizer, schedule)
  eval_step = training.make_eval_step(task.loss)
  return {
    'task': task,
    'state': state,
    'batch': batch,
    'train': train_step.lower(state, batch).compile(),
    'eval': eval_step.lower(state.params, state.model_state, batch).compile(),
  }


def bake(hyper: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
  """The plain network's evaluation, on the hypernetwork's kernels."""
  state = hyper['state']
  baked = hyper['task'].main_variables({'params': state.params})
  return {**plain, 'state': state.replace(params=baked['params'])}


def train(contender: dict[str, Any], steps: int) -> None:
  """Some training steps, to the end."""
  for _ in range(steps):
    contender['state'], report = contender['train'](
      contender['state'], contender['batch']
    )
  jax.block_until_ready((contender['state'], report))


def evaluate(contender: dict[str, Any], steps: int) -> None:
  """Some evaluation steps, to the end."""
  state = contender['state']
  for _ in range(steps):
    _, sums = contender['eval'](
      state.params, state.model_state, contender['batch']
    )
  jax.block_until_ready(sums)


def measure(
  run: Callable[[dict[str, Any], int], None],
  contenders: dict[str, dict[str, Any]],
  rounds: int,
  steps: int,
) -> dict[str, list[float]]:
  """Seconds of a step in each round, for each contender."""
  seconds: dict[str, list[float]] = {name: [] for name in contenders}
  for k in range(rounds + 1):
    for name, contender in contenders.items():
      began = time.perf_counter()
      run(contender, steps)
      if k:  # the first round warms up
        seconds[name].append((time.perf_counter() - began) / steps)
  return seconds


def megabytes(contender: dict[str, Any]) -> float:
  """Memory of a training step: arguments and temporaries."""
  planned = contender['train'].memory_analysis()
  size = planned.temp_size_in_bytes + planned.argument_size_in_bytes
  return round(size / 1e6, 1)


def report(
  what: str, seconds: dict[str, list[float]], images: int, **more: Any
) -> None:
  """Prints a line of JSON."""
  ratios = {
    name: [s / p for s, p in zip(times, seconds['plain'], strict=True)]
    for name, times in seconds.items()
  }
  line = {
    'what': what,
    'device': jax.devices()[0].device_kind,
    'images_per_s': {k: round(images / min(s), 1) for k, s in seconds.items()},
    'over_plain': {
      k: round(statistics.median(r), 3) for k, r in ratios.items()
    },
  }
  print(json.dumps(line | more), flush=True)


def main(argv: list[str]) -> None:
  """Measures and prints."""
  del argv
  args = flags.FLAGS
  contenders = {
    name: prepare(name, args.variant, args.batch_size) for name in CONFIGS
  }
  common = {'variant': args.variant, 'batch_size': args.batch_size}
  memory = {name: megabytes(x) for name, x in contenders.items()}
  seconds = measure(train, contenders, args.rounds, args.steps)
  report('train', seconds, args.batch_size, megabytes=memory, **common)
  contenders['baked'] = bake(contenders['hyper'], contenders['plain'])
  seconds = measure(evaluate, contenders, args.rounds, args.steps)
  report('evaluate', seconds, args.batch_size, **common)


if __name__ == '__main__':
  flags.DEFINE_enum('variant', '40_1', ['40_1', '40_2', 'embedded'], 'Size.')
  flags.DEFINE_integer('batch_size', 128, 'Images in a step.', lower_bound=1)
  flags.DEFINE_integer('rounds', 5, 'Turns of each contender.', lower_bound=1)
  flags.DEFINE_integer('steps', 3, 'Steps in a turn.', lower_bound=1)
  app.run(main)
