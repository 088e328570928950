"""How trials of a study begin, end, fail, and are resumed."""

import json
import pathlib
import signal

import pytest
from sweep_cases import (
  CONFIG,
  SMALL,
  SUGGEST,
  open_study,
  seeds,
  signalled,
  signalled_at_the_end,
  states,
  work,
)

from hyper.runs import folder, lock, loop, metrics
from hyper.sweeping import journal, progress, space
from hyper.sweeping.worker import LOG, Watch, Worker
from hyper.tasks import make_task


@pytest.mark.slow
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
  report = progress.describe(study.latest(), 0, 1, ('error', 'min'))
  assert report.counts == '4 done' and not report.left


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
  study = open_study(tmp_path)
  study.add(seeds(2))
  status = work(study, data_dir, signalled)
  assert status == 128 + signal.SIGTERM
  assert states(study) == {'0000': 'running', '0001': 'waiting'}
  assert work(study, data_dir) == 0
  assert states(study) == {'0000': 'done', '0001': 'done'}
  workdir = study.workdir(study.latest()[0])
  starts = pathlib.Path(workdir, 'starts.jsonl').read_text().splitlines()
  assert len(starts) == 2


def test_a_signal_in_the_last_step_of_a_trial_ends_the_worker(
  tmp_path, data_dir
):
  study = open_study(tmp_path)
  study.add(seeds(3))
  status = work(study, data_dir, signalled_at_the_end)
  assert status == 128 + signal.SIGTERM
  assert [*states(study).values()] == ['done', 'waiting', 'waiting']
  status = work(study, data_dir, signalled_at_the_end, together=2)
  assert status == 128 + signal.SIGTERM
  assert [*states(study).values()] == ['done'] * 3


def test_a_trial_that_is_interrupted_repeatedly_is_not_given_up(
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


def test_a_trial_is_done_once_it_is_finished(tmp_path, data_dir):
  study, seen = open_study(tmp_path), []
  study.add(seeds(1))

  def finish(workdir):
    assert states(study) == {'0000': 'running'}
    seen.append(journal.last_step(workdir))

  worker = Worker(study, make_task, ('error', 'min'), data_dir, finish)
  assert worker.work() == 0
  assert seen == [2] and states(study) == {'0000': 'done'}


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
