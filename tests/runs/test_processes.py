"""Processes of one run: what they agree on, and what ends them."""

import json
import os
import time

import jax
import many_devices
import pytest
import toy

from hyper.runs import metrics, opening, origin, processes
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.compiled import Compiled

pytestmark = pytest.mark.timeout(900)  # compilations on a busy machine


@pytest.fixture
def two(monkeypatch):
  """Pretends that there is a second process; returns a list for its answers."""
  answers = []
  monkeypatch.setattr(processes, 'count', lambda: 2)
  monkeypatch.setattr(
    processes,
    'gather',
    lambda value: [json.loads(json.dumps(value)), answers.pop(0)],
  )
  return answers


def test_one_process_asks_no_backend(monkeypatch):
  for name in ('process_count', 'process_index'):
    monkeypatch.setattr(jax, name, lambda: pytest.fail('it would be started'))
  assert processes.count() == 1 and processes.is_first()


def test_an_error_of_one_process_is_that_of_all(two):
  def fails():
    raise FileNotFoundError('no data')

  two += [['far', ''], ['far', 'its disk is full'], ['far', '']]
  assert processes.together(lambda: 5) == 5
  with pytest.raises(ValueError, match='process 1 on far: its disk is full'):
    processes.together(lambda: 5)
  with pytest.raises(FileNotFoundError, match='no data'):
    processes.together(fails)


def test_each_field_of_a_config_is_a_fact_of_its_own():
  config = toy.config_of()
  facts = opening.facts(config, {'train': 'a'}, 'b')
  assert facts['config.optimizer.clip_norm'] == 1.0
  assert facts['the train data'] == 'a' and 'config.optimizer' not in facts


def test_processes_that_differ_are_named_with_the_fact(two):
  facts = {'config.seed': 1, 'the train data': 'a'}
  two += [['far', facts], ['far', facts | {'config.seed': 2}]]
  two += [['far', facts | {'config.units': 3}]]
  processes.check_alike(lambda: facts)
  with pytest.raises(ValueError, match='far has config.seed = 2, .* has 1'):
    processes.check_alike(lambda: facts)
  with pytest.raises(ValueError, match='far has config.units = 3, .* has None'):
    processes.check_alike(lambda: facts)


def test_processes_that_see_other_checkpoints_refuse_before_they_part(
  two, tmp_path
):
  config = toy.config_of()
  task = toy.Toy(config, '', '')
  two.append(['far', {'the steps of the checkpoints': [4]}])
  with (
    Checkpoints(tmp_path, toy.Toy.selection) as checkpoints,
    pytest.raises(
      ValueError, match=r'far has the steps .* = \[4\], .* has \[\]'
    ),
  ):
    origin.first_state(
      *(config, str(tmp_path), task, Compiled(config, task), checkpoints),
      begin_from=None,
    )


def test_the_first_process_says_whether_a_run_is_complete(
  tmp_path, monkeypatch
):
  toy.train(tmp_path)
  given = toy.Toy, toy.config_of(), str(tmp_path), '', toy.KEPT
  with opening.opened(*given) as opened:
    assert opened.is_complete
    monkeypatch.setattr(processes, 'gather', lambda value: [False, value])
    assert not opened.is_complete


def test_damaged_data_of_one_process_are_named_by_all(
  two, tmp_path, monkeypatch
):
  two += [['far', ''], ['far', ''], ['far', 'its data are damaged']]
  monkeypatch.setattr(processes, 'check_alike', lambda facts: None)
  given = toy.Toy, toy.config_of(), str(tmp_path), '', toy.KEPT
  with (
    pytest.raises(ValueError, match='process 1 on far: its data are damaged'),
    opening.opened(*given),
  ):
    pass


def test_a_folder_that_is_not_shared_is_refused(two, tmp_path, monkeypatch):
  monkeypatch.setattr(processes.secrets, 'token_hex', lambda size: 'token')
  two += ['other', ['far', 'token'], 'other', ['far', '']]
  processes.check_shared(str(tmp_path))
  with pytest.raises(ValueError, match='process 1 on far cannot see the files'):
    processes.check_shared(str(tmp_path))
  assert os.listdir(tmp_path) == []


def test_a_signal_to_one_process_reaches_all_every_few_steps(two):
  two += [15, 0]
  assert processes.signalled(0, processes.AGREE_STEPS) == 15
  assert processes.signalled(2, 1) == 0
  assert processes.signalled(2, 2 * processes.AGREE_STEPS) == 2


def test_a_single_process_gets_its_signals_at_once():
  assert processes.signalled(15, 1) == 15


@pytest.mark.parametrize(
  'arguments', [('', 2, 0), ('host:1', 0, 0), ('host:1', 2, -1), ('a:1', 2, 2)]
)
def test_incomplete_arguments_are_refused(arguments):
  with pytest.raises(ValueError, match='give all three'):
    processes.connect(*arguments)


def test_a_single_process_joins_none(monkeypatch):
  for name in ('SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'):
    monkeypatch.delenv(name, raising=False)
  processes.connect()
  processes.connect('host:1', 1, 0)
  assert processes.count() == 1 and processes.is_first()


def test_clusters_are_known_by_their_variables(monkeypatch):
  monkeypatch.setenv('SLURM_NTASKS', '4')
  assert not processes.is_cluster()  # sbatch without srun
  monkeypatch.setenv('SLURM_STEP_NODELIST', 'node[1-4]')
  assert processes.is_cluster()
  monkeypatch.setenv('SLURM_NTASKS', '1')
  assert not processes.is_cluster()
  monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '2')
  assert processes.is_cluster()


@pytest.mark.slow
def test_processes_with_different_configs_both_refuse(tmp_path):
  jobs = [['mnist_hyper', str(tmp_path / 'run'), {'seed': k}] for k in (0, 1)]
  both = many_devices.start_two(tmp_path, [jobs[0]], [jobs[1]])
  for process in both:
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 1
    assert 'has config.seed = 1, and process 0 on' in printed
  assert not os.path.exists(tmp_path / 'run' / 'config.json')


@pytest.mark.slow
@pytest.mark.parametrize('victim', [0, 1])
def test_a_process_that_is_killed_ends_the_other_and_loses_nothing(
  victim, tmp_path
):
  fields = {'train_steps': 5000, 'eval_every_steps': 0, 'save_every_steps': 5}
  workdir = tmp_path / 'run'
  both = many_devices.start_two(
    tmp_path / 'data', [['mnist_hyper', str(workdir), fields]]
  )
  saved = workdir / 'checkpoints' / '10'
  while not saved.is_dir():
    time.sleep(0.5)
    assert all(process.poll() is None for process in both)
  both[victim].kill()
  both[victim].communicate()
  both[1 - victim].communicate(timeout=3 * processes.HEARTBEAT_SECONDS)
  assert both[1 - victim].returncode
  left = max(int(name) for name in os.listdir(saved.parent) if name.isdigit())
  assert left >= 10
  fields['train_steps'] = left + 3
  many_devices.train(tmp_path / 'data', [['mnist_hyper', str(workdir), fields]])
  assert metrics.read(workdir)[-1]['step'] == left + 3
