"""Times several runs that one compiled step trains beside runs in turn.

  python -m benchmarks.vectorised --output=FILE.json

Times training steps of 1, 4 and 8 runs that differ in seed and learning rate,
on batches held in memory: by one compiled step (`together`), one run after
another (`in turn`), and, on a CPU of several cores, in turn by two processes,
each on its half of the cores (`two workers`). Figures are images or characters
a second, over all runs. The data are embedded ones, so no files are needed.
"""

import contextlib
import itertools
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import jax
from absl import flags

from benchmarks import measure
from configs import mnist_hyper, ptb_hyperlstm
from hyper.configuration import change
from hyper.runs import commands, vectorised
from hyper.runs.compiled import Compiled, step_numbers
from hyper.sweeping import local, machine
from hyper.tasks import make_task

UNITS = (16, 64, 256)
NETWORKS = ('convnet', *(f'hyperlstm_{n}' for n in UNITS))


def main() -> None:
  """Measures each network, and prints a table."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))
  measure.measure_each(
    'vectorised',
    args.network,
    lambda name: measured(name, args),
    args.output,
  )


def measured(name: str, args: Any) -> dict[str, dict[str, float]]:
  """Times the steps of one network; prints and returns its figures."""
  counts = [int(count) for count in args.runs]
  given = name, args.set, args.data_dir, args.steps
  with contextlib.ExitStack() as stack:
    runs = stack.enter_context(opened(*given, max(counts)))
    contenders = {}
    for count in counts:
      contenders[f'{count} together'] = runs.together(count)
      contenders[f'{count} in turn'] = runs.in_turn(range(count))
      if count > 1 and jax.default_backend() == 'cpu':
        call = stack.enter_context(two_workers(*given, count))
        contenders[f'{count} by two workers'] = measure.Contender(call)
    measure.run(contenders, args.rounds)
  print(f'\n{name}, {runs.unit} a second')
  table = {}
  for key, contender in contenders.items():
    count = int(key.partition(' ')[0])
    speed = count * args.steps * runs.examples / contender.median
    ratio = contenders[f'{count} in turn'].over(contender)
    table[key] = {f'{runs.unit}_per_second': speed, 'over_in_turn': ratio}
    print(f'{key:20}{speed:12,.0f}{ratio:8.2f} times in turn', flush=True)
  return table


class Runs:
  """Runs of one network, which differ in seed and learning rate.

  Attributes:
    unit: see `Task`.
    examples: the number of units in a batch.
  """

  def __init__(self, config: Any, steps: int, count: int, *where: str):
    task = self._task = make_task(config, *where)
    self.unit, self._steps = task.unit, steps
    self._compiled = Compiled(config, task)
    numbers = step_numbers(config, task)
    rate = numbers['schedule.learning_rate']
    self._numbers = jax.device_put(
      [
        numbers | {'schedule.learning_rate': rate * 0.9**k}
        for k in range(count)
      ]
    )
    draws = [task.batches('train', seed, 0) for seed in range(count)]
    self._batches = [list(itertools.islice(draw, steps)) for draw in draws]
    state, numbers = self._compiled.init(0), self._numbers[0]
    _, metrics = self._compiled.train(state, self._batches[0][0], numbers)
    self.examples = int(metrics['sums']['count'])

  def in_turn(self, chosen: range) -> measure.Contender:
    """Returns what takes the steps of some runs, one run after another."""
    states = {k: self._compiled.init(k) for k in chosen}

    def call() -> None:
      for k, state in states.items():
        for batch in self._batches[k]:
          state, _ = self._compiled.train(state, batch, self._numbers[k])
        states[k] = jax.block_until_ready(state)

    return measure.Contender(call)

  def together(self, count: int) -> measure.Contender:
    """Returns what takes the steps of the first runs by one compiled step."""
    states = [self._compiled.init(k) for k in range(count)]
    held = [vectorised.stacked(states)]
    numbers = vectorised.stacked(self._numbers[:count])
    drawn = zip(*self._batches[:count], strict=True)
    batches = [jax.tree.map(vectorised.join, *batch) for batch in drawn]

    def call() -> None:
      state = held.pop()
      for batch in batches:
        state, _ = self._compiled.train_many(state, batch, numbers)
      held.append(jax.block_until_ready(state))

    return measure.Contender(call)


@contextlib.contextmanager
def opened(
  name: str, changes: list[str], data_dir: str, steps: int, count: int
) -> Iterator[Runs]:
  """Yields runs of a network of NETWORKS."""
  config = change(config_of(name), changes)
  with tempfile.TemporaryDirectory() as workdir:
    yield Runs(config, steps, count, data_dir, workdir)


def config_of(name: str) -> Any:
  """Returns the config of a network of NETWORKS."""
  if name == 'convnet':
    return mnist_hyper.get_config('embedded')
  units = int(name.rpartition('_')[2])
  sizes = {'units': units, 'hyper_units': units // 4, 'embedding_size': 16}
  return change(
    ptb_hyperlstm.get_config('embedded'),
    [f'model.cell.{field}={size}' for field, size in sizes.items()],
  )


@contextlib.contextmanager
def two_workers(
  name: str, changes: list[str], data_dir: str, steps: int, count: int
) -> Iterator[Callable[[], None]]:
  """Yields what lets two processes take the steps of `count` runs."""
  context, pipes = multiprocessing.get_context('spawn'), []
  shares = machine.shares(2, *machine.find())
  for number, share in enumerate(shares):
    ours, theirs = context.Pipe()
    given = (name, changes, data_dir, steps, count), number, share.cores, theirs
    context.Process(target=work, args=given, daemon=True).start()
    pipes.append(ours)

  def call() -> None:
    for pipe in pipes:
      pipe.send(True)
    for pipe in pipes:
      pipe.recv()

  yield call
  for pipe in pipes:
    pipe.send(False)


def work(
  given: tuple[str, list[str], str, int, int],
  number: int,
  cores: frozenset[int],
  pipe: Connection,
) -> None:
  """Takes the steps of every second run whenever the pipe says True."""
  local.pin(0, cores)
  with opened(*given) as runs:
    contender = runs.in_turn(range(number, given[-1], 2))
    while pipe.recv():
      contender.call()
      pipe.send(None)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_enum(
    'network', NETWORKS, NETWORKS, 'What is trained; by default all.'
  )
  flags.DEFINE_list('runs', ['1', '4', '8'], 'How many are trained at once.')
  flags.DEFINE_multi_string('set', [], 'FIELD=VALUE of all configs.')
  flags.DEFINE(commands.PATH, 'data_dir', 'data', 'Folder of the data sets.')
  flags.DEFINE_integer('steps', 3, 'Steps of a round.', lower_bound=1)
  flags.DEFINE_integer('rounds', 5, 'Rounds of each.', lower_bound=1)
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
