"""Times starts: of `--help`, and of training until its first step.

  python -m benchmarks.startup --data_dir=data --output=FILE.json

Each config is started twice, in a process that is killed after its first step.
The first start has neither prepared data nor a compilation cache, the second
has both. Printed are the seconds until the step begins to be compiled, the
seconds until it has been taken, and the most memory that the process has held.
"""

import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from benchmarks import measure
from hyper.paper import recipes
from hyper.runs import commands

COMMANDS = (
  *('train.py', 'evaluate.py', '-m hyper.generate', '-m hyper.figures'),
  *('-m hyper.compare', '-m hyper.sweep', '-m hyper.export'),
)
CONFIGS = (
  *('mnist_hyper', 'cifar10_hyper_wrn', 'ptb_hyperlstm', 'iam_hyperlstm'),
  'enwik8_hyperlstm --config.data.prefix_bytes=4154064',
  'nmt_hyperlstm:small',
)
ROOT = pathlib.Path(__file__).parents[1]
FIRST, SECOND = 'first start', 'second start'


def main() -> None:
  """Measures the commands and each config, and prints a table."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))
  for given in args.config:
    measure.find_config(given.partition(' ')[0])
  results: dict[str, Any] = {'help': help_seconds()}
  for name in args.config:
    results[name] = started(name, args.data_dir)
    if args.output:
      measure.write(args.output, 'startup', {'results': results})


def help_seconds() -> dict[str, float]:
  """Prints and returns the seconds of each command's --help."""
  found = {}
  for command in COMMANDS:
    began = time.perf_counter()
    subprocess.run(
      [sys.executable, *command.split(), '--help'],
      stdout=subprocess.DEVNULL,
      cwd=ROOT,
      check=False,  # absl exits with 1 after --help
    )
    found[command] = round(time.perf_counter() - began, 2)
    print(f'{command:18} --help {found[command]:6.2f} s', flush=True)
  return found


def started(name: str, data_dir: str) -> dict[str, dict[str, float]]:
  """Starts a config twice; prints and returns the figures of each start."""
  found = {}
  with tempfile.TemporaryDirectory() as place:
    data = pathlib.Path(place, 'data')
    link_raw(pathlib.Path(data_dir), data)
    environment = os.environ | {'XDG_CACHE_HOME': f'{place}/cache'}
    environment.pop('JAX_COMPILATION_CACHE_DIR', None)
    for start in (FIRST, SECOND):
      config, *fields = name.split()
      config = recipes.argument(config)
      command = [sys.executable, 'train.py', f'--config={config}', *fields]
      command += [f'--workdir={place}/{start}', f'--data_dir={data}']
      command += ['--config.log_every_steps=1']
      found[start] = first_step(command, environment)
      print(
        f'{name}, {start}: compiling after '
        f'{found[start]["seconds_until_compiling"]:.1f} s, first step after '
        f'{found[start]["seconds_until_first_step"]:.1f} s, '
        f'{found[start]["most_megabytes"]:,.0f} MB',
        flush=True,
      )
  return found


def link_raw(source: pathlib.Path, target: pathlib.Path) -> None:
  """Makes a folder with links to all data but those that were prepared."""
  target.mkdir()
  for path in source.resolve().iterdir():
    if path.name != 'prepared':
      (target / path.name).symlink_to(path)


def first_step(
  command: Sequence[str], environment: Mapping[str, str]
) -> dict[str, float]:
  """Runs a training command until its first step, and returns its figures.

  Raises:
    RuntimeError: it ended before.
  """
  began, lines, found = time.perf_counter(), [], {}
  marks = {
    'Compiling the training step.': 'seconds_until_compiling',
    ' step 1/': 'seconds_until_first_step',
  }
  process = subprocess.Popen(
    command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
  )
  assert process.stderr
  for line in process.stderr:
    lines.append(line)
    for mark, field in marks.items():
      if mark in line:
        found[field] = round(time.perf_counter() - began, 2)
    if marks[' step 1/'] in found:
      break
  os.kill(process.pid, signal.SIGKILL)
  process.stderr.close()
  used = ended(process)
  if len(found) < len(marks):
    raise RuntimeError(f'{command} took no step: {"".join(lines[-9:])}')
  return found | {'most_megabytes': round(used.ru_maxrss / 1e3)}


def ended(process: subprocess.Popen[Any]) -> resource.struct_rusage:
  """Waits for a process; returns the time and the memory that it used."""
  _, status, used = os.wait4(process.pid, 0)  # Popen's own does not tell them
  process.returncode = os.waitstatus_to_exitcode(status)
  return used


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string(
    *('config', CONFIGS),
    'A file of configs/ with its variant, and flags after blanks.',
  )
  flags.DEFINE(commands.PATH, 'data_dir', 'data', 'Folder of the data sets.')
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
