"""Times a training step, and what the loop around it adds.

  python -m benchmarks.training --config=ptb_hyperlstm --data_dir=data

Takes the same steps on the same batches in three ways, in turn: the compiled
step alone, on batches held in memory; with the batches drawn as train.py does;
and with its metrics and progress too. Overhead is the time of a round over that
of the step alone in the same round, less one; the median of all rounds is
printed.
"""

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import jax
from absl import flags

from benchmarks import measure
from hyper.runs import commands
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.compiled import Compiled, step_numbers
from hyper.runs.log import Log
from hyper.tasks import make_task

EMBEDDED = (
  'mnist_hyper:embedded',
  'cifar10_hyper_wrn:embedded',
  'ptb_hyperlstm:embedded',
  'iam_hyperlstm:embedded',
  'nmt_hyperlstm:embedded',
)


def main() -> None:
  """Measures each config and prints a table."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))

  def figures(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as workdir:
      return measured(name, args, workdir)

  measure.measure_each('training', args.config, figures, args.output)


def measured(name: str, args: Any, workdir: str) -> dict[str, Any]:
  """Times a config's steps; prints and returns its figures."""
  config = measure.find_config(name)
  config.log_every_steps = args.steps  # metrics are written once in a round
  task = make_task(config, args.data_dir, workdir)
  compiled = Compiled(config, task)
  state, numbers = compiled.init(config.seed), step_numbers(config, task)

  def draw() -> Iterator[Any]:
    # Starts over each time, since other batches may have other lengths.
    return itertools.islice(task.batches('train', config.seed, 0), args.steps)

  held = list(draw())
  _, compile_seconds, size = measure.compile_timed(
    compiled.train, state, held[0], numbers
  )
  # Three contenders log their steps as one run, with a round to warm up.
  config.train_steps = 3 * args.steps * (args.rounds + 1)
  with (
    Checkpoints(f'{workdir}/checkpoints', task.selection) as checkpoints,
    Log(config, workdir, task, 0, checkpoints) as log,
  ):
    taken = Taken(compiled.train, state, numbers)
    contenders = {
      'step': measure.Contender(lambda: taken.take(held)),
      'data': measure.Contender(lambda: taken.take(draw())),
      'metrics': measure.Contender(lambda: taken.take(draw(), log)),
    }
    measure.run(contenders, args.rounds)
  alone = contenders['step']
  seconds = alone.median / args.steps
  overheads = {
    key: contenders[key].over(alone) - 1 for key in ('data', 'metrics')
  }
  print(
    f'{name}: {1e3 * seconds:,.1f} ms a step; with data '
    f'{overheads["data"]:+.1%}, with metrics too {overheads["metrics"]:+.1%}; '
    f'compiled in {compile_seconds:.1f} s',
    flush=True,
  )
  return {
    'step_seconds': seconds,
    'overhead_of_data': overheads['data'],
    'overhead_of_data_and_metrics': overheads['metrics'],
    'compile_seconds': compile_seconds,
    'memory_megabytes': None if size is None else size / 1e6,
  }


class Taken:
  """Continues training from the state of the call before."""

  def __init__(self, step: Any, state: Any, numbers: Any):
    self._step, self._state, self._taken = step, state, 0
    self._numbers = jax.device_put(numbers)

  def take(self, batches: Iterable[Any], log: Log | None = None) -> None:
    """Takes a step on each batch, and waits for the last."""
    for batch in batches:
      self._state, metrics = self._step(self._state, batch, self._numbers)
      self._taken += 1
      if log:
        log.step(self._taken, metrics)
    if log:
      log.flush()
    jax.block_until_ready(self._state)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string(
    'config',
    EMBEDDED,
    'A file of configs/, with its variant after a colon; those of the default '
    'need no data.',
  )
  flags.DEFINE(commands.PATH, 'data_dir', 'data', 'Folder of the data sets.')
  flags.DEFINE_integer('steps', 20, 'Steps of a round.', lower_bound=1)
  flags.DEFINE_integer('rounds', 5, 'Rounds of each.', lower_bound=1)
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
