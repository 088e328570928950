"""Trials of a study that are trained by one compiled step."""

import json
import pathlib
import signal
import types

import optuna
import pytest
from absl import logging
from sweep_cases import (
  CONFIG,
  SMALL,
  open_study,
  seeds,
  signalled,
  states,
  work,
)

from hyper import sweep
from hyper.runs import metrics
from hyper.sweeping import space
from hyper.sweeping.worker import LOG
from hyper.tasks import make_task


def scores(workdir):
  lines = [x for x in metrics.read(workdir) if x['split'] == 'validation']
  return [(line['step'], line['error']) for line in lines]


def starts(workdir):
  lines = pathlib.Path(workdir, 'starts.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


@pytest.fixture
def said(caplog):
  """Yields the log, as verbose as a command's."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.INFO)
  yield caplog
  logging.set_verbosity(verbosity)


@pytest.mark.slow
def test_trials_that_fit_train_together(tmp_path, data_dir, said):
  def fails_once(config, data_dir, workdir):
    if config.seed == 1:
      raise ValueError('of this seed')
    return make_task(config, data_dir, workdir)

  rates = space.points([CONFIG], ['schedule.learning_rate=0.01'], SMALL, 0)
  other = space.points([CONFIG], ['model.hidden_units=5'], SMALL[1:], 0)
  points = [*seeds(3), *rates, *other]
  study = open_study(tmp_path)
  study.add(points)
  assert work(study, data_dir, fails_once, together=5) == 0
  names = ['0000', '0001', '0002', '0003', '0004']
  assert states(study) == dict.fromkeys(names, 'done') | {'0001': 'failed'}
  assert '4 runs train in groups of 3 and 1: ' in said.text
  assert said.text.count('One of 3 runs that train together') == 3
  for trial, point in zip(study.latest(), points, strict=True):
    workdir = study.workdir(trial)
    if trial.state.name == 'FAIL':
      log = pathlib.Path(workdir, LOG).read_text()
      assert 'ValueError: of this seed' in log
      continue
    (start,) = starts(workdir)
    assert start['command'] == point.line(workdir, data_dir)
    assert trial.value == min(error for _, error in scores(workdir))


@pytest.mark.slow
def test_trials_that_were_interrupted_continue(tmp_path, data_dir):
  study = open_study(tmp_path)
  study.add(seeds(3))
  status = work(study, data_dir, signalled, together=2)
  assert status == 128 + signal.SIGTERM
  assert list(states(study).values()) == ['running', 'running', 'waiting']
  assert work(study, data_dir, together=3) == 0
  assert set(states(study).values()) == {'done'}
  trials = tmp_path / 'trials'
  assert [len(starts(trials / f'000{k}')) for k in range(3)] == [2, 2, 1]


@pytest.mark.slow
def test_a_trial_is_pruned_alone(tmp_path, data_dir, monkeypatch):
  monkeypatch.setattr(
    optuna.trial.Trial, 'should_prune', lambda trial: trial.number == 1
  )
  study = open_study(tmp_path)
  study.add(seeds(3))
  assert work(study, data_dir, together=3) == 0
  assert states(study) == {'0000': 'done', '0001': 'pruned', '0002': 'done'}
  assert [step for step, _ in scores(tmp_path / 'trials/0001')] == [1]


@pytest.mark.slow
@pytest.mark.parametrize('together', [1, 2])
def test_each_trial_is_tracked(tmp_path, data_dir, together):
  seen = []

  class Seen:
    def __init__(self, workdir, config):
      self._seed = config['seed']

    def write(self, step, split, values):
      seen.append((self._seed, step, split))

    def close(self):
      seen.append(self._seed)

  study = open_study(tmp_path)
  study.add(seeds(2))
  assert work(study, data_dir, together=together, trackers=[Seen]) == 0
  for seed in range(2):
    assert (seed, 2, 'validation') in seen and seen.count(seed) == 1


def test_an_interrupt_outside_of_the_loop_leaves_all(tmp_path, data_dir):
  def interrupted(config, data_dir, workdir):
    if config.seed:
      raise KeyboardInterrupt
    return make_task(config, data_dir, workdir)

  study = open_study(tmp_path)
  study.add(seeds(2))
  status = work(study, data_dir, interrupted, together=2)
  assert status == 128 + signal.SIGINT
  assert states(study) == {'0000': 'running', '0001': 'running'}
  steps = [trial.user_attrs['step'] for trial in study.latest()]
  assert steps == [None, None]  # no death of a worker


def test_a_command_for_each_trial_trains_none_together(monkeypatch):
  given = {'vectorize': 2, 'launcher': 'print', 'search': 'grid'}
  others = {'config': ['x'], 'table': None, 'dry_run': False}
  monkeypatch.setattr(sweep, 'FLAGS', types.SimpleNamespace(**given, **others))
  message = '--vectorize=2 .* --launcher=print .* --launcher=local, slurm, ray'
  with pytest.raises(ValueError, match=message):
    sweep.check_flags()
