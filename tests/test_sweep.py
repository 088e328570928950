"""The command `python -m hyper.sweep`, as a user calls it."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from sweep_cases import CONFIG, ROOT, open_study, states

from hyper.compare import finished
from hyper.runs import lock
from hyper.sweeping import journal, table


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Returns the folder where the embedded digits are rendered once."""
  return str(tmp_path_factory.mktemp('data'))


TWO_SEEDS = (
  *(f'--config={CONFIG}', '--set=model.hidden_units=4', '--grid=seed=0,1'),
  *('--set=save_every_steps=20', '--set=train_steps=1500'),
)


def sweep(place, data_dir, *flags, trials=TWO_SEEDS):
  where = f'--study={place}', f'--data_dir={data_dir}'
  return subprocess.Popen(
    [sys.executable, '-m', 'hyper.sweep', *where, *trials, *flags],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def workers(pid):
  """Returns the child processes of `pid` that train trials."""
  found = []
  children = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text()
  for child in map(int, children.split()):
    command = pathlib.Path(f'/proc/{child}/cmdline').read_text()
    is_worker = '\0hyper.sweep\0' in command and '--worker' in command
    found += [child] if is_worker else workers(child)
  return found


def wait_for_checkpoint(run):
  for _ in range(1200):
    if list((run / 'checkpoints').glob('*[0-9]')):
      return
    time.sleep(0.1)
  raise AssertionError(f'{run} has no checkpoint')


def wait_until_free(run):
  for _ in range(600):
    if not lock.is_held(str(run)):
      return
    time.sleep(0.1)
  raise AssertionError(f'{run} is still held')


@pytest.mark.slow
@pytest.mark.parametrize('launcher', ['local', 'slurm'])
def test_a_killed_worker_is_started_again_and_ctrl_c_leaves_all_resumable(
  tmp_path, data_dir, launcher
):
  if launcher == 'slurm':
    pytest.importorskip('submitit')
  flags = {'local': [], 'slurm': ['--launcher_option=cluster=local']}[launcher]
  flags = [f'--launcher={launcher}', *flags]
  runs = [tmp_path / 'trials' / number for number in ('0000', '0001')]
  with (
    sweep(tmp_path, data_dir, *flags) as first,
    contextlib.ExitStack() as stack,
  ):
    stack.callback(first.terminate)
    wait_for_checkpoint(runs[0])
    (worker,) = workers(first.pid)
    os.kill(worker, signal.SIGKILL)
    wait_for_checkpoint(runs[1])
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=120)
    assert first.returncode == 128 + signal.SIGINT, err
  for run in runs:  # a cancelled job saves by itself
    wait_until_free(run)
  with sweep(tmp_path, data_dir, *flags) as again:
    out, err = again.communicate(timeout=240)
  assert again.returncode == 0, err
  assert '2 done; best error' in err
  assert 'mnist_mlp' in out
  for run in runs:
    starts = (run / 'starts.jsonl').read_text().splitlines()
    steps = [json.loads(line)['step'] for line in starts]
    assert steps[0] == 0 and steps[1] >= 20


@pytest.mark.slow
def test_a_time_limit_saves_and_stops_in_time(tmp_path, data_dir):
  began = time.monotonic()
  flags = ['--time_limit=40', '--set=train_steps=10000000']
  with sweep(tmp_path, data_dir, *flags) as done:
    _, err = done.communicate(timeout=120)
  assert done.returncode == 128 + signal.SIGTERM, err
  assert time.monotonic() - began < 40
  assert 'time limit' in err
  assert journal.last_step(str(tmp_path / 'trials' / '0000')) > 0
  assert states(open_study(tmp_path))['0000'] == 'running'


@pytest.mark.slow
def test_a_trial_that_failed_is_seen_in_the_status(tmp_path, data_dir):
  flags = ['--set=schedule.learning_rate=1e30', '--set=train_steps=20']
  with sweep(tmp_path, data_dir, *flags) as done:
    _, err = done.communicate(timeout=240)
  assert done.returncode == 1, err
  assert '0000 failed: ' in err


@pytest.mark.slow
def test_another_process_joins_a_study(tmp_path, data_dir):
  with sweep(tmp_path, data_dir) as first, sweep(tmp_path, data_dir) as second:
    outputs = [x.communicate(timeout=240) for x in (first, second)]
  assert (first.returncode, second.returncode) == (0, 0), outputs
  assert states(open_study(tmp_path)) == {'0000': 'done', '0001': 'done'}
  for run in ('0000', '0001'):  # each was begun by only one process
    starts = (tmp_path / 'trials' / run / 'starts.jsonl').read_text()
    assert len(starts.splitlines()) == 1
  assert len(open_study(tmp_path).latest()) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_of_ray_is_lost(tmp_path, data_dir):
  pytest.importorskip('ray')
  from ray.cluster_utils import Cluster

  runs = [tmp_path / 'trials' / number for number in ('0000', '0001')]
  cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1})
  try:
    node = cluster.add_node(num_cpus=1)
    flags = ['--launcher=ray', '--workers=2', '--set=train_steps=3000']
    flags.append(f'--launcher_option=address={cluster.address}')
    with (
      sweep(tmp_path, data_dir, *flags) as done,
      contextlib.ExitStack() as stack,
    ):
      stack.callback(done.terminate)
      for run in runs:
        wait_for_checkpoint(run)
      cluster.remove_node(node)
      out, err = done.communicate(timeout=400)
    assert done.returncode == 0, err
  finally:
    cluster.shutdown()
  assert '2 done; best error' in err
  starts = [(run / 'starts.jsonl').read_text().splitlines() for run in runs]
  assert sorted(map(len, starts)) == [1, 2]


@pytest.mark.slow
def test_a_table_is_trained_scored_on_test_and_compared(tmp_path, data_dir):
  trials = (
    *('--table=mnist', '--scale=0.001', '--set=data.source=embedded'),
    '--set=data.batch_size=100',
  )
  with sweep(tmp_path, data_dir, trials=trials) as done:
    out, err = done.communicate(timeout=280)
  assert done.returncode == 0, err
  for k, config in enumerate(table.configs('mnist')):
    run = finished.read(str(tmp_path / 'trials' / f'{k:04}'))
    assert f'configs/{run.row}.py' == config
    assert ('test', 'error') in run.scores and run.steps == 3
  assert 'mnist_coordinate [4]' in out and 'train_steps 2750 -> 3' in out


@pytest.mark.slow
def test_a_dry_run_prints_commands_and_makes_nothing(tmp_path, data_dir):
  with sweep(tmp_path / 'study', data_dir, '--dry_run') as done:
    out, err = done.communicate(timeout=120)
  assert done.returncode == 0, err
  first, second = out.splitlines()
  assert first.startswith(f'python train.py --config={CONFIG} --config.seed=0')
  assert f'--workdir={tmp_path}/study/trials/0001' in second
  assert not (tmp_path / 'study').exists()
