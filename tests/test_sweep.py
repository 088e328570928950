"""Sweeps: what varies, how trials begin and end, and what each worker gets."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from hyper import paper
from hyper.compare import finished
from hyper.runs import folder, lock, loop, metrics
from hyper.sweeping import (
  analysis,
  journal,
  launchers,
  machine,
  parameters,
  progress,
  space,
  table,
)
from hyper.sweeping.journal import Study
from hyper.sweeping.search import Search, ends
from hyper.sweeping.space import Point
from hyper.sweeping.worker import LOG, Watch, Worker
from hyper.sweeping.workers import LOST, QUICK_LOSSES, Workers
from hyper.tasks import make_task

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = f'{ROOT}/configs/mnist_mlp.py:embedded'
SMALL = ('model.hidden_units=4', 'train_steps=2', 'eval_every_steps=1')
SUGGEST = """
from configs.mnist_mlp import get_config

def suggest(trial):
  return {'schedule.learning_rate': trial.suggest_float('rate', 0.001, 0.1)}
"""


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Where the embedded digits are rendered, once."""
  return str(tmp_path_factory.mktemp('data'))


def open_study(place, name='grid', config='', limit=0, prune=False):
  return Study(str(place), Search(name, config, {}, limit), 'min', prune)


def work(study, data_dir, make_task=make_task):
  return Worker(study, make_task, ('error', 'min'), data_dir).work()


def states(study):
  return {
    journal.folder_of(t): progress.STATES[t.state.name] for t in study.latest()
  }


def seeds(count):
  return space.points([CONFIG], ['seed=' + ','.join('01234'[:count])], SMALL, 0)


def test_a_grid_is_trained_in_run_folders_and_grows(tmp_path, data_dir):
  study = open_study(tmp_path)
  rates = ['schedule.learning_rate=0.01,0.02']
  points = space.points([CONFIG], rates, SMALL, 2)
  study.add(points[:3])
  assert work(study, data_dir) == 0
  assert states(study) == dict.fromkeys(('0000', '0001', '0002'), 'done')
  study = open_study(tmp_path)  # as the same command does, with more trials
  study.add(points)
  assert states(study)['0003'] == 'waiting'
  assert work(study, data_dir) == 0
  kept = loop.CompiledCache(2)
  for trial, point in zip(study.latest(), points, strict=True):
    workdir = study.workdir(trial)
    assert trial.state.name == 'COMPLETE'
    assert folder.load_config(workdir) == point.make()
    lines = [x for x in metrics.read(workdir) if x['split'] == 'validation']
    assert trial.value == min(line['error'] for line in lines)
    start = json.loads(pathlib.Path(workdir, 'starts.jsonl').read_text())
    assert start['command'] == point.line(workdir, data_dir)
    given = make_task, point.make(), workdir, data_dir
    assert loop.train(*given, kept=kept) == 0
  assert '4 done' in progress.describe(study.latest(), 1, ('error', 'min'))


def test_a_trial_that_fails_keeps_its_error_and_the_next_one_is_trained(
  tmp_path, data_dir
):
  def fails_once(config, data_dir, workdir):
    if not config.seed:
      raise ValueError('of this seed')
    return make_task(config, data_dir, workdir)

  study = open_study(tmp_path)
  study.add(seeds(2))
  assert work(study, data_dir, fails_once) == 0
  assert states(study) == {'0000': 'failed', '0001': 'done'}
  failed = study.latest()[0]
  assert failed.user_attrs['error'] == 'ValueError: of this seed'
  assert 'of this seed' in pathlib.Path(study.workdir(failed), LOG).read_text()


def test_a_trial_whose_worker_has_ended_is_taken_up_in_its_folder(
  tmp_path, data_dir
):
  study = open_study(tmp_path)
  study.add(seeds(1))
  with study.take() as trial:
    assert journal.folder_of(trial) == '0000'
    with study.take() as other:  # it is locked, so it is not taken up
      assert other is None
    assert states(study) == {'0000': 'running'}
  assert work(study, data_dir) == 0
  assert states(study) == {'0000': 'done'}
  assert len(study.latest()) == 1 and study.latest()[0].number == 1


def test_an_interrupted_trial_continues_from_its_checkpoint(tmp_path, data_dir):
  class Interrupted:
    def __init__(self, task):
      self._task = task

    def __getattr__(self, name):
      return getattr(self._task, name)

    def batches(self, split, seed, start, once=False):
      handler = signal.getsignal(signal.SIGTERM)
      if split == 'train' and handler is not signal.SIG_DFL:  # in the loop
        signal.raise_signal(signal.SIGTERM)
      return self._task.batches(split, seed, start, once)

  study = open_study(tmp_path)
  study.add(seeds(2))
  status = work(study, data_dir, lambda *given: Interrupted(make_task(*given)))
  assert status == 128 + signal.SIGTERM
  assert states(study) == {'0000': 'running', '0001': 'waiting'}
  assert work(study, data_dir) == 0
  assert states(study) == {'0000': 'done', '0001': 'done'}
  workdir = study.workdir(study.latest()[0])
  starts = pathlib.Path(workdir, 'starts.jsonl').read_text().splitlines()
  assert len(starts) == 2


def test_a_trial_that_ends_its_workers_is_given_up(tmp_path):
  study = open_study(tmp_path)
  study.add(seeds(1))
  for _ in range(journal.DEATHS):
    with study.take() as trial:
      assert trial
  with study.take() as trial:
    assert trial is None
  assert states(study) == {'0000': 'failed'}
  assert 'workers have ended' in study.latest()[0].user_attrs['error']


def test_a_search_suggests_until_its_limit_and_prunes(tmp_path):
  path = tmp_path / 'suggesting.py'
  path.write_text(SUGGEST)
  study = open_study(tmp_path, 'random', f'{path}:embedded', 5, prune=True)
  pruned = []
  for k in range(5):
    with study.take() as trial:
      rate = study.point(trial).fields['schedule.learning_rate']
      assert 0.001 <= rate <= 0.1
      watch = Watch(trial, 'error', 8)
      assert not watch(0, {'error': 5.0})
      pruned.append(watch(4, {'error': 9.0 if k == 4 else 1.0}))
      assert not watch(8, {'error': 9.0})
      study.complete(trial, 1.0)
  assert pruned == [False, False, False, False, True]
  with study.take() as trial:
    assert trial is None


def test_a_grid_has_its_values_as_parameters_of_optuna(tmp_path):
  baseline = f'{ROOT}/configs/mnist_cnn.py:embedded'
  study = open_study(tmp_path)
  grids = ['schedule.learning_rate=0.01,0.1', 'data.mean=(0.0,),(0.5,)']
  study.add(space.points([CONFIG, baseline], grids, ['l2_rate=1'], 0))
  first, *_, last = study.latest()
  assert first.params == {
    'config': CONFIG,
    'schedule.learning_rate': 0.01,
    'data.mean': '(0.0,)',
  }
  assert last.params['config'] == baseline
  assert last.distributions == first.distributions
  assert first.distributions['schedule.learning_rate'].log


def test_what_varies_has_one_name_and_the_value_of_the_config():
  fields = [{}, {'seed': 1}, {'model.hidden_units': 4, 'data.batch_size': 4}]
  assert parameters.vary([Point(CONFIG, x) for x in fields]) == [
    {'seed': 0, 'model.hidden_units': 256},
    {'seed': 1, 'model.hidden_units': 256},
    {'seed': 0, 'model.hidden_units': 4},
  ]


@pytest.mark.parametrize(
  'body, error',
  [
    ("{'model.hiden': trial.suggest_int('a', 1, 2)}", "no field 'model.hiden'"),
    ("{'seed': trial.suggest_int('a', 2, 1)}", 'from 2 to 1'),
    ("{'seed': trial.suggest_int('a', 0, 9, log=True)}", 'on a log scale'),
    ("{'seed': trial.suggest('a')}", 'no suggest; it has suggest_categorical'),
    ("trial.suggest_int('seed', 1, 2)", 'must return a dict'),
    ("{'seed': trial.suggest_int('a', 0, 2**32)}", 'config.seed is 4294967296'),
  ],
)
def test_what_is_suggested_is_tried_before_the_first_trial(
  tmp_path, data_dir, body, error
):
  path = tmp_path / 'suggesting.py'
  path.write_text(SUGGEST.partition('  return')[0] + f'  return {body}\n')
  search = Search('tpe', f'{path}:embedded', {}, 1)
  with pytest.raises(ValueError, match=error):
    space.check(ends(search), make_task, data_dir)


def test_a_suggested_trial_is_taken_up_with_its_values(tmp_path):
  path = tmp_path / 'suggesting.py'
  path.write_text(SUGGEST)
  study = open_study(tmp_path, 'tpe', f'{path}:embedded', 1)
  points = []
  for _ in range(2):
    with study.take() as trial:
      points.append(study.point(trial))
      rate = points[-1].fields['schedule.learning_rate']
      assert trial.params == {'rate': rate}
  assert points[0] == points[1]
  assert len(study.latest()) == 1


def test_a_run_stops_where_its_observer_says_so(tmp_path, data_dir):
  point = seeds(1)[0]
  with lock.hold(str(tmp_path)):
    status = loop.run(
      *(make_task, point.make(), str(tmp_path), data_dir, False),
      *(loop.CompiledCache(), lambda step, scores: step == 1),
    )
  assert status == 0
  assert max(line['step'] for line in metrics.read(str(tmp_path))) == 1


def test_points_of_several_configs():
  baseline = f'{ROOT}/configs/mnist_cnn.py:embedded'
  points = space.points([CONFIG, baseline], ['seed=0,1'], ['l2_rate=1'], 0)
  assert [(p.config, dict(p.fields)) for p in points] == [
    (config, {'seed': seed, 'l2_rate': 1.0})
    for config in (CONFIG, baseline)
    for seed in (0, 1)
  ]
  points = space.points([CONFIG], [], (), 2)  # in place of the grid's 3 seeds
  assert len(points) == 6
  assert {point.fields['seed'] for point in points} == {0, 1}


def test_a_point_is_the_same_after_it_was_written():
  point = Point(CONFIG, {'data.split': (0.8, 0.1, 0.1)})
  config, fields = json.loads(point.key)
  again = Point(config, fields)
  assert again.key == point.key and again.make() == point.make()


@pytest.mark.parametrize(
  'grids, assignments, error',
  [
    (['model.hiden_units=3'], [], "--grid=.*no field.*'model.hidden_units'"),
    (['model.hidden_units=3,x'], [], '--grid=.*must be of type int'),
    (['seed'], [], 'give FIELD=VALUE,VALUE'),
    (['seed=1'], ['seed=2'], 'both --grid and --set name seed'),
    ([], ['seeds=2'], "--set=.*no field 'seeds'"),
  ],
)
def test_what_cannot_vary_is_an_error(grids, assignments, error):
  with pytest.raises(ValueError, match=error):
    space.points([CONFIG], grids, assignments, 0)


@pytest.mark.parametrize(
  'fields, error',
  [
    ({'optimizer.name': 'foo'}, 'allowed: adam, sgd'),
    ({'model.name': 'foo'}, 'config.model.name'),
    ({'train_steps': 0}, 'config.train_steps is 0'),
    ({'model.units': 3}, "no field 'model.units'"),
  ],
)
def test_values_are_checked_before_the_first_trial(fields, error, data_dir):
  points = [Point(CONFIG, {}), Point(CONFIG, fields)]
  space.check(points[:1], make_task, data_dir)
  with pytest.raises(ValueError, match=error):
    space.check(points, make_task, data_dir)


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


def test_workers_share_the_cores(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.setattr(machine, 'cores', lambda: [0, 1, 2, 3])
  kind, names = machine.find()
  first, second = machine.shares(2, kind, names)
  assert (first.environment, second.environment) == ({}, {})
  assert (first.cores, second.cores) == ({0, 2}, {1, 3})
  with pytest.raises(ValueError, match='5, and there are 4 cores'):
    machine.shares(5, kind, names)


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
  """The processes under one that train trials."""
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
  for run in runs:  # a job that was cancelled saves on its own
    wait_until_free(run)
  with sweep(tmp_path, data_dir, *flags) as again:
    out, err = again.communicate(timeout=240)
  assert again.returncode == 0, err
  assert '2 done, 0 pruned, 0 failed, 0 waiting' in err
  assert 'mnist_mlp' in out
  for run in runs:
    starts = (run / 'starts.jsonl').read_text().splitlines()
    steps = [json.loads(line)['step'] for line in starts]
    assert steps[0] == 0 and steps[1] >= 20


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


def test_an_engine_that_is_missing_is_named(tmp_path, monkeypatch):
  engines = {'slurm': ('hyper.sweeping.nothing', 'submitit>=1.5,<2')}
  monkeypatch.setattr(launchers, 'ENGINES', engines)
  with pytest.raises(ValueError, match="run pip install 'submitit>=1.5,<2'"):
    launchers.on_engine('slurm', ['true'], str(tmp_path), [])


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
def test_another_process_joins_a_study(tmp_path, data_dir):
  with sweep(tmp_path, data_dir) as first, sweep(tmp_path, data_dir) as second:
    outputs = [x.communicate(timeout=240) for x in (first, second)]
  assert (first.returncode, second.returncode) == (0, 0), outputs
  assert states(open_study(tmp_path)) == {'0000': 'done', '0001': 'done'}
  for run in ('0000', '0001'):  # each was begun by one of them alone
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
  assert '2 done, 0 pruned, 0 failed, 0 waiting' in err
  starts = [(run / 'starts.jsonl').read_text().splitlines() for run in runs]
  assert sorted(map(len, starts)) == [1, 2]


class Fake:
  """A worker that ends with each status in turn."""

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


def test_a_trial_that_is_interrupted_again_and_again_is_not_given_up(
  tmp_path, data_dir
):
  def interrupted(*given):
    raise KeyboardInterrupt

  study = open_study(tmp_path)
  study.add(seeds(1))
  for _ in range(journal.DEATHS + 1):
    assert work(study, data_dir, interrupted) == 128 + signal.SIGINT
  assert states(study) == {'0000': 'running'}
  assert work(study, data_dir) == 0
  assert states(study) == {'0000': 'done'}


def test_a_trial_is_done_once_it_is_finished(tmp_path, data_dir):
  study, seen = open_study(tmp_path), []
  study.add(seeds(1))

  def finish(workdir):
    assert states(study) == {'0000': 'running'}
    seen.append(journal.last_step(workdir))

  worker = Worker(study, make_task, ('error', 'min'), data_dir, finish)
  assert worker.work() == 0
  assert seen == [2] and states(study) == {'0000': 'done'}


def make_study(place, count):
  """A study of which each trial scores its seed, and the last is pruned."""
  study = open_study(place)
  grids = [f'seed={",".join(map(str, range(count)))}', 'l2_rate=0.1,0.2']
  study.add(space.points([CONFIG], grids, (), 0))
  for _ in range(2 * count - 1):
    with study.take() as trial:
      seed = study.point(trial).fields['seed']
      trial.report(seed + 1.0, 1)
      study.complete(trial, float(seed))
  with study.take() as trial:
    trial.report(9.0, 1)
    study.prune(trial)
  return study


def test_an_analysis_has_a_trial_for_each_folder_and_all_parameters(tmp_path):
  study = make_study(tmp_path, 3)
  study.add(space.points([CONFIG], ['model.hidden_units=4'], (), 0))
  with study.take():
    pass  # its worker ends
  with study.take() as trial:
    assert journal.folder_of(trial) == '0006'
    found = analysis.read(str(tmp_path))
  assert [t.state.name for t in found.trials] == [
    *(['COMPLETE'] * 5),
    'PRUNED',
    'RUNNING',
  ]
  assert found.trials[0].params == {
    **{'seed': 0, 'l2_rate': 0.1, 'model.hidden_units': 256}
  }
  assert found.trials[6].params['model.hidden_units'] == 4
  best = analysis.completed(found)
  assert [t.value for t in best] == [0.0, 0.0, 1.0, 1.0, 2.0]


def test_the_importance_is_that_of_what_decides(tmp_path):
  make_study(tmp_path, 4)
  found = analysis.importances(analysis.read(str(tmp_path)))
  assert list(found) == ['seed', 'l2_rate']
  assert found['seed'] > 0.8


def test_a_field_that_changes_nothing_has_little_importance(tmp_path):
  study = open_study(tmp_path)
  fields = [{}, {'l2_rate': 0.1}, {'data.flip': True}]
  fields += [{'data.batch_size': 50}, {'data.crop_padding': 1}]
  study.add(
    [Point(CONFIG, x | {'seed': seed}) for x in fields for seed in (0, 1)]
  )
  for k in range(2 * len(fields)):
    with study.take() as trial:
      study.complete(trial, study.point(trial).fields['seed'] + 0.01 * k)
  found = analysis.importances(analysis.read(str(tmp_path)))
  assert len(found) == 5 and found['seed'] > 0.9


def test_few_trials_have_no_importance(tmp_path):
  make_study(tmp_path, 1)
  study = analysis.read(str(tmp_path))
  assert not analysis.importances(study)
  assert set(analysis.drawings(study)) == {
    *('optimization_history', 'intermediate_values', 'timeline')
  }


@pytest.mark.parametrize('name', table.DATA)
def test_a_table_is_every_network_of_it_that_can_be_trained(name):
  points = table.points(name, ['log_every_steps=7'], 2, 1.0)
  rows = [
    row.config
    for found in paper.TABLES
    if found.data == table.DATA[name]
    for row in found.rows
    if row.config
  ]
  assert len(points) == 2 * len(rows)
  for k, point in enumerate(points):
    config = point.make()
    assert (config.paper, config.seed) == (rows[k // 2], k % 2)
    assert config.log_every_steps == 7


def test_a_scale_multiplies_widths_and_steps_and_rounds_up():
  small = table.shrink(space.load(f'{ROOT}/configs/ptb_hyperlstm.py'), 0.3)
  assert small == {
    **{'model.cell.units': 300, 'model.cell.hyper_units': 39},
    **{'train_steps': 12_000, 'eval_every_steps': 150},
    **{'save_every_steps': 150, 'log_every_steps': 15},
  }
  images = table.shrink(space.load(f'{ROOT}/configs/cifar10_wrn.py'), 0.25)
  assert images['schedule.until_steps'] == (
    7_000,
    14_000,
    21_000,
    28_000,
    35_000,
  )
  assert not [name for name in images if name.startswith('model')]


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
