"""Times a training step of every config at full size, on random batches.

  python -m benchmarks.steps --config=ptb_hyperlstm --output=FILE.json

No data are needed. Handwriting has lines of the longest kind, translation its
longest sentences. Printed are the time of a step, its rate, the seconds that
compiling took, and the memory that XLA plans besides arguments.
"""

import tempfile
from typing import Any

import jax
from absl import flags

from benchmarks import measure, without_data
from benchmarks.training import Taken
from hyper.runs import commands
from hyper.runs.compiled import Compiled, step_numbers


def main() -> None:
  """Measures each config and prints a line for it."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))

  def figures(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as workdir:
      return measured(name, args, workdir)

  measure.measure_each('steps', args.config, figures, args.output)


def measured(name: str, args: Any, workdir: str) -> dict[str, Any]:
  """Times the steps of a config; prints and returns its figures."""
  config = measure.find_config(name).unlock()
  config.precision = args.precision
  task = without_data.make(config.lock(), workdir)
  compiled = Compiled(config, task)
  state, numbers = compiled.init(config.seed), step_numbers(config, task)
  batch = jax.device_put(without_data.batch(config))
  step, seconds, size = measure.compile_timed(
    compiled.train, state, batch, numbers
  )
  taken, batches = Taken(step, state, numbers), [batch] * args.steps
  contender = measure.Contender(lambda: taken.take(batches), seconds, size)
  measure.run({name: contender}, args.rounds)
  found = {
    'step_milliseconds': 1e3 * contender.median / args.steps,
    'shapes': {key: list(x.shape) for key, x in batch.items()},
    'compile_seconds': seconds,
    'temporary_megabytes': None if size is None else size / 1e6,
  }
  print(
    f'{name:20}{found["step_milliseconds"]:10,.1f} ms a step'
    f'{seconds:8.1f} s to compile{(size or 0) / 1e6:10,.0f} MB',
    flush=True,
  )
  return found


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string(
    'config',
    without_data.CONFIGS,
    'A file of configs/, with its variant after a colon.',
  )
  flags.DEFINE_enum(
    'precision', 'default', ['default', 'float32', 'bfloat16'], 'Of products.'
  )
  flags.DEFINE_integer('steps', 10, 'Steps of a round.', lower_bound=1)
  flags.DEFINE_integer('rounds', 3, 'Rounds of each.', lower_bound=1)
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
