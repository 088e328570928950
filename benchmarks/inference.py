"""Times what a trained model draws, one symbol or move after the other.

  python -m benchmarks.inference --output=FILE.json

Models have the size of their config and random weights; no data are needed. Of
text and handwriting the time of a step is printed, for one stream and for 32 at
once, beside its floor: the matrix products of the step alone, of the same
shapes, one step after another. Of a translation model it is sentences a second
of beam search, whose random hypotheses end at their limit.
"""

import collections
import functools
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from benchmarks import measure, without_data
from benchmarks.recurrence import fold, multiply
from hyper.runs import commands

CONFIGS = ('ptb_lstm', 'ptb_hyperlstm', 'iam_hyperlstm', 'nmt_hyperlstm:small')
PIECES = 12  # of a sentence


def main() -> None:
  """Measures each config and prints a table."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))
  print(f'{"":22}{"at once":>8}{"each takes":>13}{"floor":>12}{"compiled":>10}')

  def figures(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as workdir:
      return measured(name, args, workdir)

  measure.measure_each('inference', args.config, figures, args.output)


def measured(name: str, args: Any, workdir: str) -> dict[str, Any]:
  """Times a config's model; prints and returns its figures by rows."""
  config = measure.find_config(name)
  task = without_data.make(config, workdir)
  params = jax.jit(lambda key: task.init(key)[0])(jax.random.key(0))
  is_search = config.task == 'translate'
  steps = 1 if is_search else args.steps
  draw = DRAW[config.task]
  table = {}
  for rows in map(int, args.rows):
    contenders = {
      'drawn': measure.called(
        functools.partial(draw, task, params, rows, steps)
      )
    }
    if not is_search:
      contenders['floor'] = floor(task.model, params, rows, steps)
    measure.run(contenders, args.rounds)
    drawn = contenders['drawn']
    row = {
      'seconds': drawn.median / steps,
      'compile_seconds': drawn.compile_seconds,
    }
    shown = f'{"":>12}'
    if not is_search:
      row['floor_seconds'] = contenders['floor'].median / steps
      row['of_floor'] = drawn.over(contenders['floor'])
      shown = f'{row["of_floor"]:10.2f} x'
    print(
      f'{name:22}{rows:8}{1e3 * row["seconds"]:10.2f} ms{shown}'
      f'{drawn.compile_seconds:8.1f} s',
      flush=True,
    )
    table[str(rows)] = row
  return table


def draw_text(task: Any, params: Any, rows: int, steps: int) -> None:
  """Draws texts, as `hyper.generate text` does."""
  drawn = task.sample(params, '', steps, 1.0, 0, rows)
  collections.deque(drawn, maxlen=0)


def draw_lines(task: Any, params: Any, rows: int, steps: int) -> None:
  """Draws handwriting, as `hyper.generate strokes` does."""
  task.sample(params, rows, steps, 0.0, 0)


def translate(task: Any, params: Any, rows: int, steps: int) -> None:
  """Translates sentences, as `hyper.generate translate` does."""
  del steps
  sentence = ' '.join(map(str, range(100, 100 + PIECES)))
  task.search(params, [sentence] * rows)


DRAW = {
  'char_lm': draw_text,
  'handwriting': draw_lines,
  'translate': translate,
}


def floor(model: Any, params: Any, rows: int, steps: int) -> measure.Contender:
  """Returns the matrix products of steps alone, one step after another."""
  matrices = {}
  for k, cell in enumerate(model.cells):
    packed, _ = cell.pack(params[f'cells_{k}'])
    is_looked_up = k == 0 and cell.input_size and 'softmax' in params
    names = packed.keys() - ({'x'} if is_looked_up else set())
    matrices |= {f'{name}_{k}': packed[name] for name in names}
  output = params['softmax' if 'softmax' in params else 'mixture']
  matrices['output'] = output['kernel']
  lefts = {name: jnp.ones((rows, w.shape[0])) for name, w in matrices.items()}

  def products(matrices: Any, lefts: Any) -> Any:
    def step(left: Any, _: Any) -> Any:
      values = {name: multiply(left[name], w) for name, w in matrices.items()}
      # Each value depends on the one before, so XLA can skip none.
      return fold(values, lefts), None

    return jax.lax.scan(step, lefts, None, steps)[0]

  return measure.compiled(products, matrices, lefts)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string(
    'config', CONFIGS, 'A file of configs/, with its variant after a colon.'
  )
  flags.DEFINE_list('rows', ['1', '32'], 'Texts, lines or sentences at once.')
  flags.DEFINE_integer('steps', 160, 'Symbols or moves drawn.', lower_bound=1)
  flags.DEFINE_integer('rounds', 5, 'Rounds of each.', lower_bound=1)
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
