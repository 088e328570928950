"""Makes the most of a few minutes of an accelerator.

  python -m benchmarks.accelerator --minutes=10 --out=OUT --data_dir=data

Three stages, in this order; --stage picks some of them:

  check   the first losses of one small config of each task, on the accelerator
          and on the CPU beside it
  speed   benchmarks.recurrence at the size of Penn Treebank, in float32 and in
          bfloat16, beside torch where it is installed; then benchmarks.steps,
          images and inference
  train   ENTRIES, in order of value, until the minutes are over

A run that is cut short is saved, and the same command continues it. The
results of each run are in OUT/NAME: config, curves, command, versions, scores
and weights. Its run folder is OUT/runs/NAME.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from benchmarks import measure
from hyper.paper import recipes
from hyper.runs import commands, metrics
from hyper.runs.folder import CONFIG, KEPT, METRICS
from hyper.runs.record import EVALUATIONS, STARTS

STAGES = ('check', 'speed', 'train')
CHECKED = (
  'ptb_hyperlstm:embedded',
  'mnist_hyper:embedded',
  'iam_hyperlstm:embedded',
  'nmt_hyperlstm:embedded',
)
CHECKED_STEPS = 20
TIMED = ('recurrence', 'flax', 'nn.LSTM', 'torch')
GRACE_SECONDS = 45  # to save and exit
SCORING_SECONDS = 60  # kept for evaluating and exporting each run
LARGEST_MEGABYTES = 25


class Entry(NamedTuple):
  """A run to train.

  Attributes:
    name: of its folder.
    config: file of configs/ and variant.
    minutes: the most that it gets.
    fields: further arguments of train.py.
  """

  name: str
  config: str
  minutes: float
  fields: tuple[str, ...] = ()


def of_seeds(name: str, config: str, minutes: float) -> list[Entry]:
  """Returns an entry for each of three seeds."""
  return [
    Entry(f'{name}_seed{k}', config, minutes, (f'--config.seed={k}',))
    for k in range(3)
  ]


ENTRIES = (
  *of_seeds('mnist_hyper', 'mnist_hyper', 5),
  *of_seeds('mnist_cnn', 'mnist_cnn', 5),
  Entry('ptb_hyperlstm', 'ptb_hyperlstm', 60),
  Entry('ptb_ln_lstm', 'ptb_lstm:layer_norm', 30),
  Entry('ptb_hyperlstm_no_ln', 'ptb_hyperlstm:no_layer_norm', 60),
  Entry('ptb_lstm', 'ptb_lstm', 30),
  Entry('cifar10_hyper_40_1', 'cifar10_hyper_wrn:40_1', 120),
  Entry('cifar10_wrn_40_1', 'cifar10_wrn:40_1', 120),
  Entry('cifar10_hyper_40_2', 'cifar10_hyper_wrn:40_2', 240),
  Entry('cifar10_wrn_40_2', 'cifar10_wrn:40_2', 240),
  Entry('iam_hyperlstm', 'iam_hyperlstm', 240),
  Entry('iam_lstm', 'iam_lstm', 240),
  Entry('enwik8_hyperlstm', 'enwik8_hyperlstm', 240),
  Entry('nmt_hyperlstm', 'nmt_hyperlstm:small', 120),
  Entry('ptb_hyperlstm_large', 'ptb_hyperlstm:large_embedding', 60),
  Entry('ptb_hyperlstm_two_layer', 'ptb_hyperlstm:two_layer', 120),
)


def main() -> None:
  """Runs the stages that were asked for."""
  args = flags.FLAGS
  end = time.monotonic() + 60 * args.minutes
  out = pathlib.Path(args.out)
  out.mkdir(parents=True, exist_ok=True)
  entries = chosen(args.entry)
  # This process and those that it starts share the accelerator's memory.
  os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
  if 'check' in args.stage:
    check(out, args.data_dir)
  if 'speed' in args.stage:
    take_times(out, args.size)
  if 'train' in args.stage:
    train(entries, out, args.data_dir, args.field, args.together, end)


def chosen(names: Sequence[str]) -> list[Entry]:
  """Returns the entries of these names in their order, or all.

  Raises:
    ValueError: there is no entry of a name.
  """
  by_name = {entry.name: entry for entry in ENTRIES}
  for name in names:
    if name not in by_name:
      raise ValueError(f'--entry is {name}; there are {", ".join(by_name)}.')
  return [by_name[name] for name in names] or [*ENTRIES]


def check(out: pathlib.Path, data_dir: str) -> None:
  """Prints and writes how much the losses differ from those on the CPU."""
  with concurrent.futures.ThreadPoolExecutor() as pool:
    here = [pool.submit(losses, x, out, data_dir, '') for x in CHECKED]
    cpu = [pool.submit(losses, x, out, data_dir, 'cpu') for x in CHECKED]
    pairs = [(x.result(), y.result()) for x, y in zip(here, cpu, strict=True)]
  found = {}
  for config, (a, b) in zip(CHECKED, pairs, strict=True):
    found[config] = {'here': a, 'cpu': b, 'difference': difference(a, b)}
    print(
      f'{config}: {len(a)} losses, largest relative difference to the CPU '
      f'{found[config]["difference"]:.1e}',
      flush=True,
    )
  measure.write(str(out / 'check.json'), 'accelerator', {'results': found})


def losses(
  config: str, out: pathlib.Path, data_dir: str, platform: str
) -> list[float]:
  """Returns the first losses of a run, with full float32 products."""
  workdir = out / 'checks' / f'{config.replace(":", "_")}_{platform or "here"}'
  shutil.rmtree(workdir, ignore_errors=True)
  environment = {'JAX_DEFAULT_MATMUL_PRECISION': 'float32'}
  if platform:
    environment['JAX_PLATFORMS'] = platform
  steps = CHECKED_STEPS
  process = start(
    Entry('', config, 0, (f'--config.train_steps={steps}',)),
    workdir,
    data_dir,
    ('--config.log_every_steps=1', '--config.eval_every_steps=0'),
    environment,
  )
  if process.wait():
    raise ValueError(f'{config} failed; its log is {workdir}.log')
  lines = [x for x in metrics.read(workdir) if x['split'] == 'train']
  return [line['loss'] for line in lines]


def difference(a: Sequence[float], b: Sequence[float]) -> float:
  """Returns the largest difference of two series, relative to the second.

  >>> difference([1.0, 2.02], [1.0, 2.0])
  0.01
  """
  pairs = zip(a, b, strict=True)
  return round(max(abs(x - y) / abs(y) for x, y in pairs), 9)


def take_times(out: pathlib.Path, sizes: Sequence[str]) -> None:
  """Runs the other benchmarks, in order of value."""
  cells = [f'--size={x}' for x in sizes] + [f'--only={x}' for x in TIMED]
  benchmarks = {
    'recurrence_float32': ['recurrence', '--dtype=float32', *cells],
    'recurrence_bfloat16': ['recurrence', '--dtype=bfloat16', *cells],
    'steps': ['steps'],
    'images': ['images'],
    'inference': ['inference'],
  }
  for name, (module, *arguments) in benchmarks.items():
    command = [sys.executable, '-m', f'benchmarks.{module}', *arguments]
    command += [f'--output={out / f"{name}.json"}']
    if status := subprocess.run(command).returncode:
      print(f'{name} failed with status {status}', flush=True)


def train(
  entries: Sequence[Entry],
  out: pathlib.Path,
  data_dir: str,
  fields: Sequence[str],
  together: int,
  end: float,
) -> None:
  """Trains the entries in order, some at the same time, until `end`."""

  def run(entry: Entry) -> None:
    left = end - time.monotonic() - GRACE_SECONDS - SCORING_SECONDS
    if left <= 0:
      print(f'{entry.name}: no time left', flush=True)
      return
    workdir = out / 'runs' / entry.name
    process = start(entry, workdir, data_dir, fields, {})
    status = wait(process, min(left, 60 * entry.minutes))
    print(
      f'{entry.name}: {keep(entry, workdir, out, data_dir, end)}'
      f' (status {status})',
      flush=True,
    )

  with concurrent.futures.ThreadPoolExecutor(together) as pool:
    for done in [pool.submit(run, entry) for entry in entries]:
      done.result()


def start(
  entry: Entry,
  workdir: pathlib.Path,
  data_dir: str,
  fields: Sequence[str],
  environment: dict[str, str],
) -> 'subprocess.Popen[bytes]':
  """Starts train.py, with its output in a file beside the run folder."""
  workdir.parent.mkdir(parents=True, exist_ok=True)
  config = recipes.argument(entry.config)
  command = [sys.executable, 'train.py', f'--config={config}']
  command += [f'--workdir={workdir}', f'--data_dir={data_dir}']
  with open(f'{workdir}.log', 'ab') as log:
    return subprocess.Popen(
      [*command, *entry.fields, *fields],
      env={**os.environ, **environment},
      stdout=log,
      stderr=log,
    )


def wait(process: 'subprocess.Popen[bytes]', seconds: float) -> int:
  """Lets a process save and exit after some seconds; returns its status."""
  try:
    return process.wait(seconds)
  except subprocess.TimeoutExpired:
    process.send_signal(signal.SIGTERM)
  try:
    return process.wait(GRACE_SECONDS)
  except subprocess.TimeoutExpired:
    process.kill()
    return process.wait()


def keep(
  entry: Entry,
  workdir: pathlib.Path,
  out: pathlib.Path,
  data_dir: str,
  end: float,
) -> str:
  """Scores a run and copies its results to `out`; returns its last score."""
  if not (workdir / CONFIG).exists():
    return f'did not begin; its log is {workdir}.log'
  folder, python = out / entry.name, sys.executable
  folder.mkdir(exist_ok=True)
  seconds = max(end - time.monotonic(), SCORING_SECONDS)
  given = f'--workdir={workdir}'
  weights = folder / 'trained.safetensors'
  for command in (
    [python, 'evaluate.py', given, f'--data_dir={data_dir}'],
    [python, '-m', 'hyper.export', given, f'--output={weights}'],
  ):
    with open(f'{workdir}.log', 'ab') as log:
      try:
        subprocess.run(command, stdout=log, stderr=log, timeout=seconds)
      except subprocess.TimeoutExpired:
        print(f'{entry.name}: no time for {command[1:3]}', flush=True)
  for name in (CONFIG, METRICS, STARTS, EVALUATIONS, *KEPT):
    if (workdir / name).exists():
      shutil.copy(workdir / name, folder / name)
  if weights.exists() and weights.stat().st_size > 1e6 * LARGEST_MEGABYTES:
    weights.unlink()
  scored = [x for x in metrics.read(workdir) if x['split'] == 'validation']
  return json.dumps(scored[-1]) if scored else 'not scored yet'


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_float('minutes', 10, 'Minutes after which all has ended.', 0)
  flags.DEFINE(commands.PATH, 'out', None, 'Folder of the results.')
  flags.DEFINE(commands.PATH, 'data_dir', 'data', 'Folder of the data sets.')
  flags.DEFINE_multi_enum('stage', STAGES, STAGES, 'What is done.')
  flags.DEFINE_multi_string('entry', [], 'What is trained, of ENTRIES.')
  flags.DEFINE_multi_string('field', [], 'A further argument of train.py.')
  flags.DEFINE_multi_string('size', ['ptb'], 'See benchmarks.recurrence.')
  flags.DEFINE_integer('together', 1, 'How many runs train at a time.', 1)
  flags.mark_flag_as_required('out')


if __name__ == '__main__':
  commands.start(main, define_flags)
