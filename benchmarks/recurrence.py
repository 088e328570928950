"""How fast cells run over time, forward and backward.

  python -m benchmarks.recurrence --size=ptb --size=small --output=FILE.json

Times each of our cells under a plain scan (flax's nn.RNN, with one-hot inputs)
and under our recurrence (with symbols looked up), and flax's OptimizedLSTMCell.
If torch is installed, it also times torch.nn.LSTM, and the cells in
benchmarks.torch_cells with and without a compiled step, each in a process of
its own; their outputs of the first steps are compared with ours. The floor of a
cell is its matrix products alone, at the same shapes and in the order that the
recurrence allows: one after another through time, forward and backward, and
then the gradient of each weight at once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import linen as nn

from benchmarks import measure, torch_timed
from hyper.cells import HyperLSTMCell, LSTMCell
from hyper.recurrence import Recurrence
from hyper.runs import commands


class Size(NamedTuple):
  """Shapes of a measurement; `inputs` is the size of vocabulary or vectors."""

  batch: int
  steps: int
  units: int
  hyper_units: int
  embedding_size: int
  inputs: int
  is_symbols: bool = True


SIZES = {
  'ptb': Size(128, 100, 1000, 128, 4, 50),
  'small': Size(32, 50, 256, 64, 16, 50),
  'medium': Size(128, 100, 256, 64, 4, 50),
  'enwik8': Size(128, 250, 1800, 256, 64, 205),
  'handwriting': Size(32, 700, 900, 128, 4, 3, False),
}

COMPARED = 3  # steps, with outputs in torch


def main() -> None:
  """Measures each size and prints a table."""
  dtype, output = jnp.dtype(flags.FLAGS.dtype), flags.FLAGS.output
  commands.prepare_output(output, ('json',))
  results = {}
  for name in flags.FLAGS.size:
    makers = chosen(make_contenders(SIZES[name], dtype), flags.FLAGS.only)
    contenders = {key: make() for key, make in makers.items()}
    measure.run(contenders, flags.FLAGS.rounds)
    results[name] = print_table(name, SIZES[name], contenders)
    if output:
      content = {'dtype': flags.FLAGS.dtype, 'results': results}
      measure.write(output, 'recurrence', content)


def chosen(makers: Mapping[str, Any], parts: Sequence[str]) -> dict[str, Any]:
  """Returns those with one of the parts in their names.

  Raises:
    ValueError: there is none.
  """
  found = {k: x for k, x in makers.items() if any(part in k for part in parts)}
  if not found:
    names = '; '.join(makers)
    raise ValueError(f'--only: {parts} is part of no name: {names}.')
  return found


def print_table(
  name: str, size: Size, contenders: dict[str, measure.Contender]
) -> dict[str, dict[str, float]]:
  """Prints a table of one size, and returns its figures."""
  print(
    f'\n{name}: batch {size.batch} x {size.steps} steps, {size.units} units, '
    f'hyper {size.hyper_units}, N_z {size.embedding_size}'
  )
  print(
    f'{"":26}{"chars/s":>10}{"of floor":>10}{"memory MB":>11}{"compile s":>11}'
  )
  table = {}
  for key, contender in contenders.items():
    row = {
      'characters_per_second': size.batch * size.steps / contender.median,
      'compile_seconds': contender.compile_seconds,
    }
    floor = contenders.get(f'{key.split(",")[0]}, floor')
    if floor:
      row['of_floor'] = floor.over(contender)
    if contender.megabytes is not None:
      row['memory_megabytes'] = contender.megabytes
    table[key] = row
    print(
      f'{key:26}{row["characters_per_second"]:10,.0f}'
      f'{row.get("of_floor", float("nan")):10.2f}'
      f'{row.get("memory_megabytes", float("nan")):11,.0f}'
      f'{row["compile_seconds"]:11.1f}',
      flush=True,
    )
  return table


def make_contenders(
  size: Size, dtype: Any
) -> dict[str, Callable[[], measure.Contender]]:
  """Returns, by name, a function that makes each contender."""
  n, v = size.units, size.inputs
  cells = {
    'LSTM': LSTMCell(n, v, dtype=dtype),
    'LN LSTM': LSTMCell(n, v, dtype=dtype, layer_norm=True),
    'LN HyperLSTM': HyperLSTMCell(
      n,
      v,
      dtype=dtype,
      hyper_units=size.hyper_units,
      embedding_size=size.embedding_size,
    ),
  }
  makers: dict[str, Callable[[], measure.Contender]] = {}
  for name, cell in cells.items():
    makers[f'{name}, floor'] = lambda cell=cell: floor(cell, size)
    makers[f'{name}, scan'] = lambda cell=cell: scan(cell, size)
    makers[f'{name}, recurrence'] = lambda cell=cell: recurrence(cell, size)
  makers['LSTM, flax'] = lambda: scan(
    nn.OptimizedLSTMCell(n, dtype=dtype), size
  )
  if not torch_timed.is_installed():
    return makers
  makers['LSTM, nn.LSTM'] = lambda: torch_lstm(size, dtype)
  for name, cell in cells.items():
    for kind in ('torch', 'torch compiled'):
      makers[f'{name}, {kind}'] = lambda cell=cell, kind=kind: torch_cell(
        cell, size, kind == 'torch compiled'
      )
  return makers


def inputs_of(size: Size, is_one_hot: bool) -> jax.Array:
  """Returns symbols [b, t], or vectors [b, t, v]."""
  key, shape = jax.random.key(0), (size.batch, size.steps)
  if not size.is_symbols:
    return jax.random.normal(key, (*shape, size.inputs))
  symbols = jax.random.randint(key, shape, 0, size.inputs)
  return jax.nn.one_hot(symbols, size.inputs) if is_one_hot else symbols


def gradient(apply: Callable[..., Any]) -> Callable[..., Any]:
  """Returns forward and backward pass: the gradient of a weighted sum."""

  def loss(variables, inputs, weights):
    return (apply(variables, inputs) * weights).sum()

  return jax.grad(loss)


def scan(cell: Any, size: Size) -> measure.Contender:
  """Returns a cell under flax's nn.RNN."""
  inputs = inputs_of(size, is_one_hot=True)
  model = nn.RNN(cell)
  variables = model.init(jax.random.key(1), inputs[:1, :1])
  weights = jax.random.normal(
    jax.random.key(2), (size.batch, size.steps, size.units)
  )
  return measure.compiled(gradient(model.apply), variables, inputs, weights)


def recurrence(cell: Any, size: Size) -> measure.Contender:
  """Returns a cell under our recurrence."""
  inputs = inputs_of(size, is_one_hot=False)
  model = Recurrence(cell)
  variables = model.init(jax.random.key(1), inputs[:1, :1])
  weights = jax.random.normal(
    jax.random.key(2), (size.batch, size.steps, size.units)
  )
  return measure.compiled(gradient(model.apply), variables, inputs, weights)


def floor(cell: Any, size: Size) -> measure.Contender:
  """Returns the matrix products of a cell alone."""
  inputs = inputs_of(size, is_one_hot=False)
  variables = Recurrence(cell).init(jax.random.key(1), inputs[:1, :1])
  matrices, _ = cell.pack(variables['params']['cell'])
  if size.is_symbols:
    matrices = {k: w for k, w in matrices.items() if k != 'x'}
  shape = (size.steps, size.batch)
  lefts = {
    k: jax.random.normal(jax.random.key(3), (*shape, w.shape[0]), cell.dtype)
    for k, w in matrices.items()
  }
  rights = {
    k: jax.random.normal(jax.random.key(4), (*shape, w.shape[1]), cell.dtype)
    for k, w in matrices.items()
  }

  def products(matrices, lefts, rights):
    matrices = {k: w.astype(cell.dtype) for k, w in matrices.items()}
    through_time = {k: w for k, w in matrices.items() if k != 'x'}
    first = {k: lefts[k][0] for k in through_time}
    last = {k: rights[k][0] for k in through_time}

    def forward(left, _):
      values = {k: multiply(left[k], w) for k, w in through_time.items()}
      # Each value depends on the one before, so XLA can skip none.
      return fold(values, first), None

    def backward(right, _):
      values = {k: multiply(right[k], w.T) for k, w in through_time.items()}
      return fold(values, last), None

    ends = (
      jax.lax.scan(forward, first, None, size.steps)[0],
      jax.lax.scan(backward, last, None, size.steps)[0],
    )
    weights = {
      k: jnp.einsum(
        'tbk,tbl->kl', lefts[k], rights[k], preferred_element_type=jnp.float32
      )
      for k in matrices
    }
    if 'x' in matrices:  # dense inputs: one product over all steps
      ends += (multiply(lefts['x'], matrices['x']),)
    return ends, weights

  return measure.compiled(products, matrices, lefts, rights)


def multiply(left: jax.Array, right: jax.Array) -> jax.Array:
  """Returns a product with float32 sums."""
  return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def fold(
  values: dict[str, jax.Array], like: dict[str, jax.Array]
) -> dict[str, jax.Array]:
  """Returns `values`, made small, with the columns and the type of `like`."""

  def fit(x: jax.Array, to: jax.Array) -> jax.Array:
    width = to.shape[1]
    x = (x[:, :width] * 1e-3).astype(to.dtype)
    return jnp.pad(x, ((0, 0), (0, width - x.shape[1])))

  return {k: fit(x, like[k]) for k, x in values.items()}


def torch_lstm(size: Size, dtype: Any) -> measure.Contender:
  """Returns torch.nn.LSTM on the CPU, or on CUDA where torch has it."""
  given = {'inputs': np.array(inputs_of(size, True)), 'units': size.units}
  return measure.apart(torch_timed.lstm, given, jnp.dtype(dtype).name)


def torch_cell(cell: Any, size: Size, is_compiled: bool) -> measure.Contender:
  """Returns one of our cells, written in torch."""
  kind = jnp.dtype(cell.dtype).name
  return measure.apart(
    torch_timed.cell, given_of(cell, size), kind, is_compiled
  )


def given_of(cell: Any, size: Size) -> dict[str, Any]:
  """Returns what torch needs to compute the same as a cell.

  Weights are not the initial ones, which are 0 where a difference would hide.
  """
  inputs = inputs_of(size, is_one_hot=True)
  model = Recurrence(cell)
  variables = model.init(jax.random.key(1), inputs[:1, :1])
  rng = np.random.default_rng(0)
  weights = {
    name: np.array(x) + rng.normal(0, 0.02, x.shape).astype(x.dtype)
    for name, x in variables['params']['cell'].items()
  }
  first = model.apply({'params': {'cell': weights}}, inputs[:, :COMPARED])
  return {
    'inputs': np.array(inputs),
    'weights': weights,
    'first_outputs': np.array(first),
  }


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_enum('size', ['small'], list(SIZES), 'What is measured.')
  flags.DEFINE_enum('dtype', 'float32', ['float32', 'bfloat16'], 'Of products.')
  flags.DEFINE_integer('rounds', 5, 'Calls of each.', lower_bound=1)
  flags.DEFINE_multi_string('only', [''], 'Parts of names of contenders.')
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
