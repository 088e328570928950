"""Which devices each worker gets, and when workers are restarted or stopped."""

import os
import signal
import sys

import pytest
from sweep_cases import open_study

from hyper.sweeping import launchers, local, machine, progress
from hyper.sweeping.workers import LOST, QUICK_LOSSES, Workers


def test_a_worker_gets_an_accelerator_of_its_own(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cuda')
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3,5')
  kind, names = machine.find()
  given = [s.environment for s in machine.shares(2, kind, names)]
  assert given == [{'CUDA_VISIBLE_DEVICES': '3'}, {'CUDA_VISIBLE_DEVICES': '5'}]
  with pytest.raises(ValueError, match='3, and there are 2 GPU devices: 3, 5'):
    machine.shares(3, kind, names)
  assert machine.find(['5']) == ('gpu', ['5'])
  monkeypatch.setenv('JAX_PLATFORMS', 'tpu')
  monkeypatch.setenv('TPU_VISIBLE_CHIPS', '0,1,2,3')
  kind, names = machine.find()
  assert machine.shares(4, kind, names)[2].environment == {
    'TPU_VISIBLE_CHIPS': '2',
    'TPU_CHIPS_PER_PROCESS_BOUNDS': '1,1,1',
    'TPU_PROCESS_BOUNDS': '1,1,1',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
  }


@pytest.mark.parametrize(
  ('visible', 'found'), [('-1', []), ('', []), ('2,-1,0', ['2'])]
)
def test_gpus_that_are_hidden_are_not_counted(monkeypatch, visible, found):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
  assert machine.find_gpus() == found


def test_workers_share_the_cores(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.setattr(machine, 'cores', lambda: [0, 1, 2, 3])
  kind, names = machine.find()
  first, second = machine.shares(2, kind, names)
  assert (first.environment, second.environment) == ({}, {})
  assert (first.cores, second.cores) == ({0, 2}, {1, 3})
  with pytest.raises(ValueError, match='5, and there are 4 cores'):
    machine.shares(5, kind, names)


CORES = """
import os, sys, time
time.sleep(0.5)  # a worker is limited while it starts
print(os.environ['NAME'], *os.sched_getaffinity(0), file=open(sys.argv[1], 'w'))
"""


@pytest.mark.skipif(
  not hasattr(os, 'sched_setaffinity'), reason='Linux alone limits processes'
)
def test_a_worker_is_limited_to_its_cores(tmp_path):
  core = max(os.sched_getaffinity(0))
  share = machine.Share({'NAME': 'worker'}, frozenset({core}))
  command = [sys.executable, '-c', CORES, str(tmp_path / 'cores')]
  assert local.start(command, share).wait(60) == 0
  assert (tmp_path / 'cores').read_text() == f'worker {core}\n'


class Fake:
  """Stands for a worker that ends with each status in turn."""

  def __init__(self, *statuses):
    self.statuses, self.calls = list(statuses), []

  def poll(self):
    return self.statuses[0]

  def terminate(self):
    self.calls.append('terminate')
    self.statuses[0] = 0


@pytest.mark.parametrize('status', [LOST, 128 + signal.SIGTERM])
def test_a_worker_that_is_lost_or_interrupted_is_started_again(status):
  made = []

  def start(k):
    made.append(Fake(None if made else status))
    return made[-1]

  both = Workers(start, 1)
  assert both.poll() and len(made) == 2
  made[1].statuses[0] = 0
  assert not both.poll() and len(made) == 2


def test_a_worker_with_an_error_ends_the_others():
  jobs = [Fake(None), Fake(1)]
  both = Workers(jobs.__getitem__, 2, 'in the log')
  with pytest.raises(ValueError, match='status 1; its error is in the log'):
    both.poll()
  assert jobs[0].calls == ['terminate']


def test_workers_that_are_killed_at_their_start_are_given_up():
  some = Workers(lambda k: Fake(LOST), 1)
  with pytest.raises(ValueError, match='in a row were killed at their start'):
    for _ in range(QUICK_LOSSES):
      some.poll()


def test_workers_stop_at_a_deadline(tmp_path, capsys):
  job, study = Fake(None), open_study(tmp_path)
  some = Workers(lambda k: job, 1)
  status = progress.supervise(study, some, 1, ('error', 'min'), 0.0)
  assert status == 128 + signal.SIGTERM
  assert job.calls == ['terminate']
  assert 'time limit' in capsys.readouterr().err


@pytest.mark.parametrize(
  'given, error',
  [
    (('slurm', ['timeout_min']), 'timeout_min; give NAME=VALUE'),
    (('slurm', []), '--launcher=slurm: Could not detect "srun"'),
    (('slurm', ['cluster=local', 'timeout=3']), '--launcher=slurm: .*timeout'),
  ],
)
def test_options_of_slurm_are_checked(tmp_path, given, error):
  pytest.importorskip('submitit')
  name, options = given
  with pytest.raises(ValueError, match=error):
    launchers.on_engine(name, ['true'], str(tmp_path), options)


@pytest.mark.slow
def test_options_of_ray_are_checked_before_it_starts(tmp_path):
  pytest.importorskip('ray')
  with pytest.raises(ValueError, match='--launcher=ray: Invalid option.* foo'):
    launchers.on_engine('ray', ['true'], str(tmp_path), ['foo=1'])


def test_an_engine_that_is_missing_is_named(tmp_path, monkeypatch):
  engines = {'slurm': ('hyper.sweeping.nothing', 'submitit>=1.5,<2')}
  monkeypatch.setattr(launchers, 'ENGINES', engines)
  with pytest.raises(ValueError, match="run pip install 'submitit>=1.5,<2'"):
    launchers.on_engine('slurm', ['true'], str(tmp_path), [])
