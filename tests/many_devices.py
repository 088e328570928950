"""Trains small runs on eight devices, in a process of its own.

python tests/many_devices.py DATA_DIR '[[CONFIG, WORKDIR, FIELDS], ...]'
"""

import importlib
import json
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = (  # of XLA: as in conftest.py, and eight devices
  '--xla_backend_optimization_level=0 '
  '--xla_llvm_disable_expensive_passes=true '
  '--xla_force_host_platform_device_count='
)
STEPS = {
  'train_steps': 20,
  'eval_every_steps': 10,
  'save_every_steps': 10,
  'log_every_steps': 1,
}
IMAGES = {'data.batch_size': 16, 'data.eval_batch_size': 200}
SMALL = {  # fields that shrink a config of each task
  'ptb_hyperlstm': {
    **{'data.batch_size': 16, 'data.window_steps': 8, 'data.eval_streams': 64},
    **{'model.cell.units': 8, 'model.cell.hyper_units': 4},
  },
  'mnist_hyper': IMAGES,
  # With the recipe's learning rate of 0.1, rounding errors grow tenfold in a
  # few steps.
  'cifar10_wrn': IMAGES | {'schedule.learning_rates': (0.001,) * 5},
  'iam_hyperlstm': {
    **{'data.batch_size': 16, 'data.eval_batch_size': 12, 'data.buckets': 2},
    **{'model.cell.units': 8, 'model.cell.hyper_units': 4},
  },
  'nmt_hyperlstm': {
    **{
      'data.batch_size': 16,
      'data.batch_tokens': 288,
    },  # of 16, 16 and 12 rows
    **{'model.cell.units': 8, 'model.cell.hyper_units': 4},
    'data.vocabulary_size': 64,
  },
}


def start(data_dir, jobs, devices=8, arguments=()):
  """Starts a process that trains `jobs`, as the module's docstring says."""
  return subprocess.Popen(
    [sys.executable, __file__, str(data_dir), json.dumps(jobs), *arguments],
    cwd=ROOT,
    env=os.environ
    | {'XLA_FLAGS': f'{FLAGS}{devices}', 'JAX_PLATFORMS': 'cpu'}
    | {'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def start_two(data_dir, *jobs):
  """Starts two processes of one run, with four devices each.

  Args:
    data_dir: of the data sets.
    *jobs: one list for both processes, or a list for each.
  """
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    coordinator = f'127.0.0.1:{free.getsockname()[1]}'
  return [
    start(data_dir, jobs[k % len(jobs)], 4, (coordinator, '2', str(k)))
    for k in range(2)
  ]


def train(data_dir, jobs):
  """Trains `jobs` and returns what was printed."""
  return printed_by(start(data_dir, jobs))


def printed_by(process):
  """Waits for a process that succeeds, and returns what it printed."""
  printed = process.communicate(timeout=1700)[0]
  assert process.returncode == 0, printed
  return printed


def small(name, fields):
  """Returns a config of embedded data, shrunk."""
  config = importlib.import_module(f'configs.{name}').get_config('embedded')
  config.unlock()
  config.update_from_flattened_dict(STEPS | SMALL[name] | fields)
  return config.lock()


def main(data_dir, jobs, coordinator='', count='0', number='-1'):
  from absl import logging

  from hyper.runs import loop, processes
  from hyper.tasks import make_task

  logging.set_verbosity(logging.INFO)
  processes.connect(coordinator, int(count), int(number))
  for name, workdir, fields in json.loads(jobs):
    print('JOB', workdir, flush=True)
    assert loop.train(make_task, small(name, fields), workdir, data_dir) == 0


if __name__ == '__main__':
  main(*sys.argv[1:])
