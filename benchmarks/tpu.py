"""Compiles training steps for TPUs, on a machine without one.

  pip install -e '.[tpu]'
  python -m benchmarks.tpu --output=results/tpu/steps.json

The compiler for TPUs (libtpu) runs on any x86-64 Linux machine. Each shipped
config is compiled at full size for the chips of a topology; no data are needed.
Recorded are the memory of a chip, the collectives of a step, the seconds that
compiling took, and the cycles that the compiler itself estimates for a step. An
estimate is not a measurement: it leaves out the time that chips wait.

A step that does not fit into the memory is compiled again with RESCUES.
Compiling all takes hours on a few cores. The command can be interrupted: run
again, it compiles what the file of results does not have yet.

  python -m benchmarks.tpu --recurrence --output=results/tpu/recurrence.json

compiles the forward and the backward pass of each cell alone, and adds up the
estimated cycles of a step of their loops by the kind of operation.
"""

import collections
import json
import os
import pathlib
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.experimental import topologies
from jax.sharding import (
  AxisType,
  Mesh,
  NamedSharding,
  PartitionSpec,
)
from ml_collections import ConfigDict

from benchmarks import measure, without_data
from hyper.cells import CELLS
from hyper.recurrence import Recurrence
from hyper.runs import commands
from hyper.runs.compiled import Compiled, step_numbers
from hyper.runs.parallel import AXES, Layout

ENVIRONMENT = {  # of libtpu, where there is no TPU
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-8',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}
TOPOLOGIES = {'v5e:2x2': (1, 4), 'v6e:2x2': (1, 4)}  # chips that are used
COLLECTIVES = (
  *('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all'),
  'collective-permute',
)
RESCUES: dict[str, tuple[dict[str, Any], ...]] = {  # tried until one fits
  'char_lm': tuple({'model.remat_steps': n} for n in (50, 25, 10)),
  'translate': ({'model.remat': True}, {'mesh.fsdp': True}),
}


def main() -> None:
  """Compiles what is asked for, prints a line for each, and writes JSON."""
  args = flags.FLAGS
  os.environ |= ENVIRONMENT
  jax.config.update('jax_platforms', 'cpu')
  commands.prepare_output(args.output, ('json',))
  results = [] if args.recurrence else standing(args.output)
  jobs = recurrence_jobs(args) if args.recurrence else step_jobs(args, results)
  for result in jobs:
    results.append(result)
    print(', '.join(f'{k} {v}' for k, v in result.items()), flush=True)
    if args.output:
      measure.write(args.output, 'tpu', {'results': results})


def standing(output: str) -> list[dict[str, Any]]:
  """Returns the results that a file has; none if there is no such file."""
  path = pathlib.Path(output)
  return json.loads(path.read_bytes())['results'] if path.is_file() else []


def step_jobs(
  args: Any, done: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
  """Yields the figures of each config on each topology that are not done."""
  for name in args.config or without_data.CONFIGS:
    config = measure.find_config(name)
    for topology in args.topology or TOPOLOGIES:
      for chips in TOPOLOGIES.get(topology, (1, 8)):
        about = {'config': name, 'topology': topology, 'chips': chips}
        if not any(about.items() <= result.items() for result in done):
          yield about | fitted(config, topology, chips)


def fitted(config: ConfigDict, topology: str, chips: int) -> dict[str, Any]:
  """Returns the figures of a step, with the first rescue that makes it fit."""
  changes: tuple[dict[str, Any], ...] = ({}, *RESCUES.get(config.task, ()))
  found: dict[str, Any] = {}
  for change in changes:
    changed = config.copy_and_resolve_references().unlock()
    changed.update_from_flattened_dict(change)
    try:
      found |= compiled_step(changed.lock(), topology, chips)
      return found | ({'fits with': change} if change else {})
    except jax.errors.JaxRuntimeError as error:
      found.setdefault('does not fit', reason(error))
  return found


def reason(error: Exception) -> str:
  """Returns what the compiler says of the memory that is missing.

  Raises:
    Exception: the error is about something else.
  """
  said = re.search(r'Used (\S+) of (\S+) hbm', str(error))
  if 'RESOURCE_EXHAUSTED' not in str(error):
    raise error
  return ' of '.join(said.groups()) if said else str(error).splitlines()[0]


def compiled_step(
  config: ConfigDict, topology: str, chips: int
) -> dict[str, Any]:
  """Compiles the training step of a config for some chips of a topology."""
  mesh = mesh_of(topology, chips)
  with tempfile.TemporaryDirectory() as workdir:
    task = without_data.make(config, workdir)
    layout = Layout(mesh, config.mesh.fsdp, task.has_streams, task.large)
    compiled = Compiled(config, task, layout)
    state = compiled.shapes()
    batch = without_data.shapes(config)
    batch = placed(batch, jax.tree.map(layout.along_rows, batch))
    began = time.monotonic()
    numbers = jax.tree.map(np.float32, step_numbers(config, task))
    traced = compiled.train.trace(state, batch, numbers)
    program = traced.lower(lowering_platforms=('tpu',)).compile()
  return figures(program, time.monotonic() - began)


def mesh_of(topology: str, chips: int) -> Mesh:
  """Returns a mesh of the first chips of a topology, along the batch."""
  found = topologies.get_topology_desc(
    topology_name=topology, platform='tpu'
  ).devices
  types = (AxisType.Auto,) * len(AXES)
  return Mesh(np.array(found[:chips]).reshape(-1, 1), AXES, types)


def placed(tree: Any, where: Any) -> Any:
  """Returns the shapes of a tree with their shardings."""
  return jax.tree.map(
    lambda x, w: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=w), tree, where
  )


def figures(program: Any, seconds: float) -> dict[str, Any]:
  """Returns the figures of a compiled program."""
  memory, text = program.memory_analysis(), program.as_text()
  size = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
    + memory.temp_size_in_bytes
  )
  names = '|'.join(COLLECTIVES)
  used = re.findall(rf'= \S+ ({names})(?:-start)?\(', text)
  used += re.findall(rf'= \(.*?\) ({names})(?:-start)?\(', text)
  return {
    'megabytes_a_chip': round(size / 1e6, 1),
    'temporary_megabytes': round(memory.temp_size_in_bytes / 1e6, 1),
    'collectives': dict(collections.Counter(used)),
    'estimated_megacycles': megacycles(text),
    'compile_seconds': round(seconds, 1),
  }


def megacycles(text: str) -> float | None:
  """Returns the estimate of a program; None where a loop has no known end."""
  try:
    return round(sum(estimate(text).values()) / 1e6, 2)
  except ValueError:
    return None


def computations(text: str) -> dict[str, list[str]]:
  """Returns the instructions of each computation of a program."""
  found: dict[str, list[str]] = {}
  name = ''
  for line in text.splitlines():
    head = re.match(r'^(ENTRY )?%?([\w.\-]+) .*\{$', line)
    if head:
      name = 'ENTRY' if head.group(1) else head.group(2)
      found[name] = []
    elif name:
      found[name].append(line)
  return found


def estimate(text: str, loops_alone: bool = False) -> Mapping[str, float]:
  """Returns the estimated cycles of a program by the kind of operation.

  Args:
    text: the compiled program.
    loops_alone: leaves out operations outside of loops.
  """
  parts = computations(text)

  def total(name: str) -> collections.Counter[str]:
    cycles: collections.Counter[str] = collections.Counter()
    for line in parts[name]:
      own = re.search(r'"estimated_cycles":"(\d+)"', line)
      if own and not (loops_alone and name == 'ENTRY'):
        cycles[kind(line)] += int(own.group(1))
      loop = re.search(
        r' while\(.*condition=%?([\w.\-]+), body=%?([\w.\-]+)', line
      )
      if loop:
        times = trips(parts[loop.group(1)])
        for key, value in total(loop.group(2)).items():
          cycles[key] += times * value
    return cycles

  return total('ENTRY')


def trips(condition: list[str]) -> int:
  """Returns how often a loop runs: the constant that ends its counter.

  Raises:
    ValueError: the condition compares with no constant.
  """
  limits = re.findall(r' = s32\[\]\S* constant\((\d+)\)', '\n'.join(condition))
  if len(limits) != 1:
    raise ValueError(f'the loop has {len(limits)} limits: {condition}')
  return int(limits[0])


def kind(line: str) -> str:
  """Returns the operation of JAX that an instruction comes from.

  An instruction that the compiler has added, such as a copy to another layout,
  keeps its own name.
  """
  source = re.search(r'op_name="[^"]*?([^"/]*)"', line)
  if source and source.group(1) != 'while':
    return source.group(1)
  added = re.search(r' ([\w\-]+)\(', line)
  return f'({added.group(1)})' if added else 'other'


def recurrence_jobs(args: Any) -> Iterator[dict[str, Any]]:
  """Yields the estimate for each cell of PTB's size, on one chip."""
  for topology in args.topology or TOPOLOGIES:
    here = NamedSharding(mesh_of(topology, 1), PartitionSpec())
    for name in sorted(CELLS):
      began = time.monotonic()
      program = compiled_recurrence(name, here)
      text = program.as_text()
      whole, loops = estimate(text), estimate(text, loops_alone=True)
      yield {
        'cell': name,
        'topology': topology,
        'estimated_megacycles': round(sum(whole.values()) / 1e6, 2),
        'of_loops': round(sum(loops.values()) / 1e6, 2),
        'by_kind_of_loops': largest(loops),
        'by_kind': largest(whole),
        'compile_seconds': round(time.monotonic() - began, 1),
      }


def largest(cycles: Mapping[str, float]) -> dict[str, float]:
  """Returns the eight kinds with the most cycles, in millions."""
  ordered = sorted(cycles.items(), key=lambda entry: -entry[1])
  return {name: round(count / 1e6, 2) for name, count in ordered[:8]}


def compiled_recurrence(name: str, here: NamedSharding) -> Any:
  """Compiles the loss and the gradient of a cell over a window of PTB."""
  cell = CELLS[name](1000, input_size=without_data.SYMBOLS['ptb'])
  run = Recurrence(cell, return_carry=True)
  symbols = jnp.zeros((128, 100), jnp.int32)

  def loss(variables: Any, carry: Any, symbols: Any) -> Any:
    carry, outputs = run.apply(variables, symbols, initial_carry=carry)
    return (outputs * outputs).mean(), carry

  def arguments() -> Any:
    carry = cell.zeros((128,))
    return run.init(jax.random.key(0), symbols), carry, symbols

  given = jax.eval_shape(arguments)
  given = placed(given, jax.tree.map(lambda x: here, given))
  step = jax.jit(jax.value_and_grad(loss, has_aux=True))
  return step.trace(*given).lower(lowering_platforms=('tpu',)).compile()


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string(
    'config', [], 'A file of configs/, with its variant; by default all files.'
  )
  flags.DEFINE_multi_string(
    'topology', [], 'Such as v5e:2x2 or v6e:2x4; by default two of 4 chips.'
  )
  flags.DEFINE_bool('recurrence', False, 'Compile cells alone.')
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
