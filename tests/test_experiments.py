"""The shipped configs, shrunk, through train.train and evaluate.evaluate."""

import importlib
import itertools
import math
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

import evaluate
import train
from hyper import configuration, trained
from hyper.data import prepared
from hyper.runs import metrics, training
from hyper.runs.checkpoint import Checkpoints
from hyper.tasks.char_lm import CharLM

# The loss of each of 8 steps. A change of the code that changes these resumes
# older runs to another end.
LOSSES = {
  'ptb_lstm': (
    4.67006,
    4.67373,
    4.67056,
    4.66197,
    4.65449,
    4.66,
    4.6541,
    4.64915,
  ),
  'ptb_hyperlstm': (
    4.66351,
    4.70881,
    4.67451,
    4.68989,
    4.62678,
    4.61331,
    4.6132,
    4.57811,
  ),
  'mnist_cnn': (
    2.30099,
    2.3017,
    2.29682,
    2.33216,
    2.30912,
    2.30802,
    2.27591,
    2.29896,
  ),
  'mnist_hyper': (
    2.3026,
    2.30332,
    2.30068,
    2.31772,
    2.31238,
    2.30616,
    2.29937,
    2.3041,
  ),
  'mnist_mlp': (
    2.8219,
    2.64194,
    2.81328,
    2.87582,
    2.42915,
    1.86831,
    1.49065,
    1.782,
  ),
  'mnist_coordinate': (
    5.92051,
    3.94616,
    2.85792,
    2.62447,
    3.23442,
    2.28119,
    2.30443,
    2.60513,
  ),
  'cifar10_wrn': (
    2.56126,
    2.48225,
    2.48309,
    2.4494,
    2.46375,
    2.40752,
    2.33907,
    2.39433,
  ),
  'cifar10_hyper_wrn': (
    2.50522,
    2.42579,
    2.34062,
    2.45024,
    2.43177,
    2.37377,
    2.13244,
    2.2146,
  ),
}
TEXT = {
  'data.batch_size': 4,
  'data.window_steps': 8,
  'data.eval_streams': 64,
  'model.cell.units': 8,
}
IMAGES = {'data.batch_size': 16}


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('data'))


def shrunk(name, **fields):
  module = importlib.import_module(f'configs.{name}')
  config = module.get_config('embedded').unlock()
  config.update_from_flattened_dict(TEXT if 'ptb' in name else IMAGES)
  if name == 'ptb_hyperlstm':
    config.model.cell.hyper_units = 4
  config.train_steps = 8
  config.eval_every_steps = 4
  config.save_every_steps = 2
  config.log_every_steps = 1
  config.update_from_flattened_dict(fields)
  return config.lock()


def final_state(config, workdir, data_dir):
  _, step, state = trained.load(config, str(workdir), data_dir, 'latest')
  return step, jax.device_get(state)


def assert_equal_bits(one, two):
  assert jax.tree.structure(one) == jax.tree.structure(two)
  for (path, x), y in zip(
    jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(two), strict=True
  ):
    assert x.tobytes() == y.tobytes(), jax.tree_util.keystr(path)


def raise_at(monkeypatch, task_class, step, number):
  """Sends this process a signal while it draws the batch of a step."""
  batches = task_class.batches

  def interrupting(self, split, seed, start):
    for k, batch in enumerate(batches(self, split, seed, start), start):
      if split == 'train' and k == step:
        signal.raise_signal(number)
      yield batch

  monkeypatch.setattr(task_class, 'batches', interrupting)


@pytest.mark.parametrize('name', LOSSES)
def test_an_experiment_from_training_to_its_score(name, tmp_path, data_dir):
  config, workdir = shrunk(name), str(tmp_path / 'run')
  assert train.train(config, workdir, data_dir) == 0
  lines = metrics.read(workdir)
  assert [x['step'] for x in lines if x['split'] == 'train'] == [*range(1, 9)]
  assert [x['step'] for x in lines if x['split'] == 'validation'] == [4, 8]
  losses = [x['loss'] for x in lines if x['split'] == 'train']
  np.testing.assert_allclose(losses, LOSSES[name], rtol=2e-5)
  saved = configuration.load(workdir)
  assert saved == config
  metric = 'bpc' if 'ptb' in name else 'error'
  scores = evaluate.evaluate(saved, workdir, data_dir, 'validation', 'best')
  best = min(
    (x for x in lines if x['split'] == 'validation'), key=lambda x: x[metric]
  )
  assert scores['checkpoint'] == best['step']
  np.testing.assert_allclose(scores[metric], best[metric], rtol=1e-6)
  test = evaluate.evaluate(saved, workdir, data_dir, 'test', 'latest')
  assert test['checkpoint'] == 8


@pytest.mark.parametrize('name', ('ptb_hyperlstm', 'mnist_hyper'))
@pytest.mark.parametrize('number', (signal.SIGTERM, signal.SIGINT))
def test_an_interrupted_run_ends_bit_for_bit_as_one_that_was_not(
  name, number, tmp_path, data_dir, monkeypatch
):
  config = shrunk(name)
  train.train(config, str(tmp_path / 'whole'), data_dir)
  task_class = type(trained.load(config, tmp_path / 'whole', data_dir, 8)[0])
  with monkeypatch.context() as patched:
    raise_at(patched, task_class, 4, number)
    status = train.train(config, str(tmp_path / 'parts'), data_dir)
  assert status == 128 + number
  step, middle = final_state(config, tmp_path / 'parts', data_dir)
  assert step == 5 and middle.step == 5
  assert train.train(config, str(tmp_path / 'parts'), data_dir) == 0
  whole = final_state(config, tmp_path / 'whole', data_dir)
  parts = final_state(config, tmp_path / 'parts', data_dir)
  assert whole[0] == parts[0] == 8
  assert_equal_bits(whole[1], parts[1])
  assert [
    (line['step'], line['split']) for line in metrics.read(tmp_path / 'whole')
  ] == [
    (line['step'], line['split']) for line in metrics.read(tmp_path / 'parts')
  ]


def test_best_and_latest_are_both_kept(tmp_path, data_dir):
  config = shrunk('ptb_lstm', **{'schedule.learning_rate': 0.0})
  train.train(config, str(tmp_path), data_dir)
  checkpoints = Checkpoints(tmp_path / 'checkpoints', CharLM.selection)
  assert checkpoints.best_step == 4  # equal scores: the earlier one
  assert checkpoints.steps == [4, 6, 8]


def test_a_used_folder_refuses_another_config(tmp_path, data_dir):
  train.train(shrunk('ptb_lstm', train_steps=2), str(tmp_path), data_dir)
  with pytest.raises(ValueError, match=r'model\.cell\.units: 8 -> 9'):
    other = shrunk('ptb_lstm', **{'train_steps': 2, 'model.cell.units': 9})
    train.train(other, str(tmp_path), data_dir)


@pytest.mark.parametrize('name', ['ptb_lstm', 'mnist_cnn'])
def test_a_run_goes_on_with_the_same_data(
  name, tmp_path, data_dir, monkeypatch
):
  workdir = str(tmp_path)
  train.train(shrunk(name, train_steps=2), workdir, data_dir)
  train.train(shrunk(name, train_steps=3), workdir, data_dir)
  load = prepared.load

  def load_reversed(source, data_dir, split):
    return {k: x[::-1] for k, x in load(source, data_dir, split).items()}

  monkeypatch.setattr(prepared, 'load', load_reversed)
  with pytest.raises(ValueError, match='begun with other training data'):
    train.train(shrunk(name, train_steps=4), workdir, data_dir)


def test_a_loss_that_is_not_finite_stops_and_names_what_is_good(
  tmp_path, data_dir, monkeypatch
):
  loss = CharLM.loss

  def broken(self, params, model_state, *rest):
    value, rest = loss(self, params, model_state, *rest)
    is_late = model_state[0][0].sum() != 0  # from the second step on
    return value * jax.numpy.where(is_late, jax.numpy.nan, 1.0), rest

  monkeypatch.setattr(CharLM, 'loss', broken)
  config = shrunk('ptb_lstm', save_every_steps=1)
  with pytest.raises(FloatingPointError) as caught:
    train.train(config, str(tmp_path), data_dir)
  for part in ('step 2', 'learning rate 0.002', 'checkpoint is that of step 1'):
    assert part in str(caught.value)
  assert Checkpoints(tmp_path / 'checkpoints', ('bpc', 'min')).steps == [1]


def test_the_window_length_changes_no_score(tmp_path, data_dir):
  config, workdir = shrunk('ptb_hyperlstm', train_steps=4), str(tmp_path)
  train.train(config, workdir, data_dir)
  scores = [
    evaluate.evaluate(
      evaluate.override(config, [f'data.window_steps={window}']),
      workdir,
      data_dir,
      'test',
      'latest',
    )['bpc']
    for window in (5, 64)
  ]
  np.testing.assert_allclose(*scores, rtol=1e-5)


def test_many_warmed_streams_score_as_one_pass_does(tmp_path, data_dir):
  fields = {'train_steps': 60, 'eval_every_steps': 60, 'model.cell.units': 16}
  config, workdir = shrunk('ptb_hyperlstm', **fields), str(tmp_path)
  train.train(config, workdir, data_dir)

  def score(*assignments):
    changed = evaluate.override(config, list(assignments))
    found = evaluate.evaluate(changed, workdir, data_dir, 'test', 'latest')
    return found['bpc']

  one = score('data.eval_streams=1', 'data.window_steps=500')
  many = score('data.eval_streams=32', 'data.eval_warmup_steps=50')
  assert abs(one - many) < 0.001


@pytest.mark.parametrize(
  'assignment',
  ['data.x=1', 'data.eval_streams=None', 'data.eval_streams={[]:1}'],
)
def test_an_override_that_does_not_fit_is_named(assignment):
  with pytest.raises(ValueError, match='^--override=data'):
    evaluate.override(shrunk('ptb_lstm'), [assignment])


def test_every_symbol_counts_once_in_the_score(data_dir, tmp_path):
  config = shrunk('ptb_lstm')
  task = CharLM(config, data_dir, str(tmp_path))
  params, state = task.init(jax.random.key(0))
  loss = jax.jit(lambda *args: task.loss(*args, jax.random.key(0), False)[1])
  carry, sums = task.eval_state(state), []
  for batch in task.batches('test', 0, 0):
    carry, now = loss(params, carry, batch)
    sums.append(jax.device_get(now))
  assert training.add_sums(sums)['count'] == len(task._symbols('test'))


def test_training_lowers_the_loss_below_the_unigram_entropy(tmp_path, data_dir):
  fields = {
    'train_steps': 150,
    'eval_every_steps': 150,
    'model.cell.units': 32,
    'data.window_steps': 16,
    'schedule.learning_rate': 0.01,
  }
  config = shrunk('ptb_hyperlstm', **fields)
  train.train(config, str(tmp_path), data_dir)
  task = CharLM(config, data_dir, str(tmp_path))
  (last,) = [x for x in metrics.read(tmp_path) if x['split'] == 'validation']
  assert last['bpc'] < task.unigram_bpc('validation') - 0.3


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--config=configs/ptb_lstm.py:nothing'], "no variant 'nothing'"),
    (['--config=configs/nothing.py'], 'nothing.py'),
    (
      ['--config=configs/ptb_lstm.py', '--config.model.cell.unit=3'],
      'no such field: \'unit\' Did you mean "units"',
    ),
    (['--config=configs/ptb_lstm.py', '--config.train_steps=x'], 'train_steps'),
    (['--config=configs/ptb_lstm.py'], 'ptb'),  # there are no data
    (
      ['--config=configs/ptb_lstm.py:embedded', '--config.optimizer.name=x'],
      "config.optimizer.name is 'x'",
    ),
  ],
)
def test_bad_command_lines_end_in_one_clear_error(arguments, message, tmp_path):
  workdir = tmp_path / 'run'
  done = subprocess.run(
    [
      sys.executable,
      'train.py',
      *arguments,
      f'--workdir={workdir}',
      f'--data_dir={tmp_path}',
    ],
    capture_output=True,
    text=True,
    cwd=os.path.dirname(train.__file__),
  )
  assert done.returncode not in (0, None)
  assert message in done.stderr
  assert 'Traceback' not in done.stderr
  assert not workdir.exists()


@pytest.mark.parametrize(
  'field, value, message',
  [
    ('train_steps', 0, 'config.train_steps is 0; it must be at least 1'),
    ('log_every_steps', -1, 'config.log_every_steps is -1'),
    ('seed', -1, 'config.seed is -1'),
    ('data.eval_warmup_steps', -50, 'eval_warmup_steps is -50'),
    ('model.layers', 0, 'config.model.layers is 0'),
    ('model.input_dropout_rate', 1.5, 'input_dropout_rate is 1.5'),
    ('model.cell.dropout_rate', -0.1, 'dropout_rate is -0.1'),
    ('model.cell.dtype', 'int32', "dtype is 'int32'"),
    ('optimizer.clip_norm', -1.0, 'config.optimizer.clip_norm is -1.0'),
  ],
)
def test_a_start_that_fails_claims_no_folder(
  field, value, message, tmp_path, data_dir
):
  workdir = str(tmp_path / 'run')
  with pytest.raises(ValueError, match=message):
    train.train(shrunk('ptb_lstm', **{field: value}), workdir, data_dir)
  train.train(shrunk('ptb_lstm', train_steps=1), workdir, data_dir)


@pytest.mark.parametrize(
  'field, value, error',
  [
    ('model.remat_steps', 3, ValueError),  # in the first step
    ('schedule.learning_rate', 1e38, FloatingPointError),  # in the second
  ],
)
def test_steps_that_fail_claim_no_folder(
  field, value, error, tmp_path, data_dir
):
  workdir = str(tmp_path)
  with pytest.raises(error):
    train.train(shrunk('ptb_lstm', **{field: value}), workdir, data_dir)
  assert not configuration.is_run(workdir)
  config = shrunk('ptb_lstm', train_steps=1)
  train.train(config, workdir, data_dir)
  with pytest.raises(error):  # once there is a checkpoint it is a run's
    other = shrunk('ptb_lstm', **{field: value})
    configuration.save(other, workdir)
    train.train(other, workdir, data_dir)
  assert configuration.is_run(workdir)
  starts = (tmp_path / 'starts.jsonl').read_text().splitlines()
  assert len(starts) == 2  # the failed one is forgotten


def test_nothing_is_logged_where_it_is_to_be_never(tmp_path, data_dir):
  config = shrunk('ptb_lstm', train_steps=2, log_every_steps=0)
  train.train(config, str(tmp_path), data_dir)
  assert {x['split'] for x in metrics.read(tmp_path)} == {'validation'}


def test_fewer_steps_than_there_are_is_an_error(tmp_path, data_dir):
  train.train(shrunk('ptb_lstm', train_steps=2), str(tmp_path), data_dir)
  fewer = shrunk('ptb_lstm', train_steps=1)
  configuration.save(fewer, str(tmp_path))
  with pytest.raises(ValueError, match='has 2 steps already'):
    train.train(fewer, str(tmp_path), data_dir)


def test_a_longer_run_is_the_shorter_one_gone_on(tmp_path, data_dir):
  short, long = (
    shrunk('ptb_lstm', train_steps=steps, eval_every_steps=every)
    for steps, every in ((2, 1), (4, 2))
  )
  train.train(short, str(tmp_path / 'one'), data_dir)
  train.train(long, str(tmp_path / 'one'), data_dir)
  train.train(long, str(tmp_path / 'two'), data_dir)
  assert configuration.load(str(tmp_path / 'one')).train_steps == 4
  one, two = (
    final_state(long, tmp_path / name, data_dir) for name in ('one', 'two')
  )
  assert one[0] == two[0] == 4
  assert_equal_bits(one[1], two[1])


def test_segments_of_time_work_from_training_to_text(tmp_path, data_dir):
  from hyper import generate

  config = shrunk('ptb_hyperlstm', **{'train_steps': 2, 'model.remat_steps': 4})
  assert config.data.window_steps % config.model.remat_steps == 0
  train.train(config, str(tmp_path), data_dir)
  assert ''.join(generate.text(str(tmp_path), 'the ', 5, 1.0, 0))


def test_a_run_ended_where_it_stopped_is_scored_there(
  tmp_path, data_dir, monkeypatch
):
  config = shrunk('ptb_lstm', train_steps=9, eval_every_steps=0)
  with monkeypatch.context() as patch:
    raise_at(patch, CharLM, 2, signal.SIGTERM)
    assert train.train(config, str(tmp_path), data_dir)
  *_, step = Checkpoints(tmp_path / 'checkpoints', CharLM.selection).steps
  config = shrunk('ptb_lstm', train_steps=step, eval_every_steps=0)
  for _ in range(2):
    assert train.train(config, str(tmp_path), data_dir) == 0
  (line,) = [x for x in metrics.read(tmp_path) if x['split'] == 'validation']
  assert line['step'] == step


@pytest.mark.parametrize('steps', [3, 16])
def test_a_trace_is_left_in_the_run_folder(tmp_path, data_dir, steps):
  config = shrunk('mnist_cnn', train_steps=steps)
  train.train(config, str(tmp_path), data_dir, profile=True)
  left = [name for *_, files in os.walk(tmp_path / 'profile') for name in files]
  assert any(name.endswith('.xplane.pb') for name in left)


def test_generated_text_is_seeded_and_goes_on_from_the_carry(
  tmp_path, data_dir
):
  from hyper import generate

  config = shrunk('ptb_lstm', train_steps=2)
  train.train(config, str(tmp_path), data_dir)

  def draw(prompt, seed):
    symbols = generate.text(str(tmp_path), prompt, 30, 1.0, seed)
    return ''.join(itertools.islice(symbols, 30))

  assert len(draw('the ', 0)) == 30
  assert draw('the ', 0) == draw('the ', 0) != draw('the ', 1)
  with pytest.raises(ValueError, match='temperature is nan'):
    generate.text(str(tmp_path), 'a', 3, math.nan, 0)
  with pytest.raises(ValueError, match='the prompt'):
    draw('\x01', 0)
