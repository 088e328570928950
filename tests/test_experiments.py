"""The shipped configs, shrunk, through train.train and evaluate.evaluate."""

import importlib
import itertools
import math
import os
import subprocess
import sys
import weakref

import jax
import numpy as np
import pytest

import evaluate
import train
from hyper import generate
from hyper.data import number_names, prepared
from hyper.runs import folder, loop, metrics, training
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.compiled import Compiled, CompiledCache, step_numbers
from hyper.runs.numbers import structure
from hyper.tasks import make_task
from hyper.tasks.char_lm import CharLM

# The losses of steps 1, 2, 4 and 8. If a change of the code changes them, older
# runs that are resumed end with other parameters.
LOSSES = {
  'ptb_lstm': (2.953372, 2.95207, 2.941443, 2.937997),
  'ptb_hyperlstm': (2.989009, 2.97009, 3.043918, 2.838705),
  'mnist_cnn': (2.30099, 2.3017, 2.33216, 2.29896),
  'mnist_hyper': (2.305502, 2.298872, 2.346253, 2.309545),
  'mnist_mlp': (2.8219, 2.64194, 2.87582, 1.782),
  'mnist_coordinate': (5.92051, 3.94616, 2.62447, 2.60513),
  'cifar10_wrn': (2.56126, 2.49164, 2.351674, 2.54502),
  'cifar10_hyper_wrn': (2.505217, 2.447851, 2.456955, 2.352832),
}
TEXT = {
  'data.batch_size': 4,
  'data.window_steps': 8,
  'data.eval_streams': 64,
  'model.cell.units': 8,
}
IMAGES = {'data.batch_size': 16}
LEARNS = {
  'train_steps': 150,
  'eval_every_steps': 150,
  'model.cell.units': 32,
  'data.window_steps': 16,
}
KEPT = CompiledCache(limit=4)


@pytest.fixture(scope='module')
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
  if 'cifar10' in name:  # at the recipe's rates, rounding errors grow quickly
    rates = config.schedule.learning_rates
    config.schedule.learning_rates = tuple(rate / 100 for rate in rates)
  config.update_from_flattened_dict(fields)
  return config.lock()


def train_on(config, workdir, data_dir):
  """Trains as train.train does, with compiled steps of earlier tests."""
  return loop.train(make_task, config, str(workdir), data_dir, kept=KEPT)


@pytest.fixture(
  scope='module',
  params=[
    ('ptb_lstm', 0.05),
    pytest.param(('ptb_hyperlstm', 0.01), marks=pytest.mark.slow),
  ],
  ids=lambda given: given[0],
)
def learned(request, tmp_path_factory, data_dir):
  """Returns the config and the folder of a run that has learned something."""
  name, rate = request.param
  config = shrunk(name, **LEARNS, **{'schedule.learning_rate': rate})
  workdir = str(tmp_path_factory.mktemp('learned'))
  assert train_on(config, workdir, data_dir) == 0
  return config, workdir


def text_of_numbers(folder):
  """Returns the fields of a text that every version of Python writes alike."""
  path = folder / 'numbers.txt'
  path.write_text(' '.join(map(number_names.english, range(1, 1000))))
  return {'data.source': 'text', 'data.files': (str(path),)}


@pytest.mark.parametrize('name', LOSSES)
def test_an_experiment_from_training_to_its_score(name, tmp_path, data_dir):
  text = text_of_numbers(tmp_path) if 'ptb' in name else {}
  config, workdir = shrunk(name, **text), str(tmp_path / 'run')
  assert train.train(config, workdir, data_dir) == 0
  lines = metrics.read(workdir)
  assert [x['step'] for x in lines if x['split'] == 'train'] == [*range(1, 9)]
  assert [x['step'] for x in lines if x['split'] == 'validation'] == [4, 8]
  losses = {x['step']: x['loss'] for x in lines if x['split'] == 'train'}
  found = [losses[step] for step in (1, 2, 4, 8)]
  np.testing.assert_allclose(found, LOSSES[name], rtol=2e-5)
  saved = folder.load_config(workdir)
  assert saved == config
  metric = 'bpc' if 'ptb' in name else 'error'
  scores = evaluate.evaluate(workdir, 'best', data_dir, 'validation')
  best = min(
    (x for x in lines if x['split'] == 'validation'), key=lambda x: x[metric]
  )
  assert scores['checkpoint'] == best['step']
  np.testing.assert_allclose(scores[metric], best[metric], rtol=1e-6)


def state_of(config, workdir, data_dir):
  """Returns the whole state of the newest checkpoint."""
  task = make_task(config, data_dir, str(workdir))
  like = Compiled(config, task).init(config.seed)
  place = workdir / folder.CHECKPOINTS
  return Checkpoints(place, task.selection).restore(like)[1]


def test_a_resumed_run_ends_bit_for_bit_as_one_that_was_not(tmp_path, data_dir):
  config = shrunk('ptb_lstm')
  train_on(config, tmp_path / 'whole', data_dir)
  for steps in (3, 8):
    part = shrunk('ptb_lstm', train_steps=steps)
    assert train_on(part, tmp_path / 'parts', data_dir) == 0
  whole, parts = (
    state_of(config, tmp_path / name, data_dir) for name in ('whole', 'parts')
  )
  jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_a_run_continues_with_the_same_data(tmp_path, data_dir, monkeypatch):
  workdir = str(tmp_path)
  train_on(shrunk('ptb_lstm', train_steps=2), workdir, data_dir)
  train_on(shrunk('ptb_lstm', train_steps=3), workdir, data_dir)
  load = prepared.load

  def load_reversed(source, data_dir, split):
    return {k: x[::-1] for k, x in load(source, data_dir, split).items()}

  monkeypatch.setattr(prepared, 'load', load_reversed)
  with pytest.raises(ValueError, match='with other training, valid'):
    train_on(shrunk('ptb_lstm', train_steps=4), workdir, data_dir)


def test_a_used_folder_refuses_another_config(tmp_path, data_dir):
  train_on(shrunk('ptb_lstm', train_steps=2), tmp_path, data_dir)
  other = shrunk('ptb_lstm', **{'train_steps': 2, 'model.cell.units': 9})
  with pytest.raises(ValueError, match=r'model\.cell\.units: 8 -> 9'):
    train_on(other, tmp_path, data_dir)


def score(run, data_dir, *assignments):
  _, workdir = run
  found = evaluate.evaluate(workdir, 'latest', data_dir, 'test', assignments)
  return found['bpc']


@pytest.mark.slow
def test_training_lowers_the_loss_below_the_unigram_entropy(learned, data_dir):
  config, workdir = learned
  task = CharLM(config, data_dir, workdir)
  (last,) = [x for x in metrics.read(workdir) if x['split'] == 'validation']
  assert last['bpc'] < task.unigram_bpc('validation') - 0.3


@pytest.mark.slow
def test_the_window_length_changes_no_score(learned, data_dir):
  scores = [
    score(learned, data_dir, f'data.window_steps={window}')
    for window in (5, 64)
  ]
  np.testing.assert_allclose(*scores, rtol=1e-5)


@pytest.mark.slow
def test_many_warmed_streams_score_as_one_pass_does(learned, data_dir):
  one = score(learned, data_dir, 'data.eval_streams=1', 'data.window_steps=500')
  many = score(
    learned, data_dir, 'data.eval_streams=32', 'data.eval_warmup_steps=50'
  )
  assert abs(one - many) < 0.001


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


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--config=configs/ptb_lstm.py:nothing'], "no variant 'nothing'"),
    pytest.param(
      ['--config=configs/ptb_lstm.py', '--config.model.cell.unit=3'],
      "there is no such field. Did you mean 'model.cell.units' or",
      marks=pytest.mark.slow,
    ),
    pytest.param(  # there are no data
      ['--config=configs/ptb_lstm.py'], 'ptb', marks=pytest.mark.slow
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
    ('data.eval_warmup_steps', -50, 'eval_warmup_steps is -50'),
    ('model.layers', 0, 'config.model.layers is 0'),
    ('model.input_dropout_rate', 1.5, 'input_dropout_rate is 1.5'),
    ('model.cell.dropout_rate', -0.1, 'dropout_rate is -0.1'),
    ('model.cell.dropout_rate', '0', "dropout_rate is '0'"),
    ('model.cell.dtype', 'int32', "dtype is 'int32'"),
    ('optimizer.name', 'x', "config.optimizer.name is 'x'"),
    ('model.remat_steps', 3, 'remat_steps'),  # raised in the first step
  ],
)
def test_a_config_that_does_not_fit_claims_no_folder(
  field, value, message, tmp_path, data_dir
):
  config = shrunk('ptb_lstm').unlock()
  with config.ignore_type():
    config.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=message):
    train_on(config.lock(), tmp_path / 'run', data_dir)
  assert not folder.is_run(str(tmp_path / 'run'))


@pytest.mark.slow
def test_segments_of_time_work_from_training_to_text(tmp_path, data_dir):
  config = shrunk('ptb_hyperlstm', **{'train_steps': 2, 'model.remat_steps': 4})
  assert config.data.window_steps % config.model.remat_steps == 0
  train_on(config, tmp_path, data_dir)
  assert ''.join(generate.text(str(tmp_path), 'the ', 5, 1.0, 0))


def test_a_character_that_is_cut_off_is_shown():
  assert [*generate._decoded([b'a\xc3', b'\xa9', b'\xc3'])] == [
    *('a', 'é', '', '\ufffd')
  ]


@pytest.mark.slow
def test_generated_text_is_seeded_and_continues_from_the_carry(learned):
  _, workdir = learned

  def draw(prompt, seed):
    symbols = generate.text(workdir, prompt, 30, 1.0, seed)
    return ''.join(itertools.islice(symbols, 30))

  assert len(draw('the ', 0)) == 30
  assert draw('the ', 0) == draw('the ', 0) != draw('the ', 1)
  with pytest.raises(ValueError, match='temperature is nan'):
    generate.text(workdir, 'a', 3, math.nan, 0)
  with pytest.raises(ValueError, match='the prompt'):
    draw('\x01', 0)


@pytest.mark.parametrize(
  'name', ['ptb_lstm', pytest.param('ptb_hyperlstm', marks=pytest.mark.slow)]
)
def test_rates_of_dropout_are_arguments_of_the_step(name, data_dir, tmp_path):
  rates = {'model.input_dropout_rate': 0.3, 'model.cell.dropout_rate': 0.4}
  one, other = shrunk(name), shrunk(name, **rates)
  tasks = [make_task(x, data_dir, str(tmp_path)) for x in (one, other)]
  numbers = [step_numbers(*x) for x in zip((one, other), tasks, strict=True)]
  assert numbers[0].keys() == numbers[1].keys() > rates.keys()
  assert structure(one, numbers[0]) == structure(other, numbers[1])
  zero = shrunk(name, **{'model.cell.dropout_rate': 0.0})
  task = make_task(zero, data_dir, str(tmp_path))
  assert structure(zero, step_numbers(zero, task)) != structure(one, numbers[0])
  steps = [Compiled(*x) for x in zip((one, other), tasks, strict=True)]
  batch = next(tasks[0].batches('train', 0, 0))
  values = [
    float(x.train(x.init(0), batch, numbers[1])[1]['loss']) for x in steps
  ]
  assert values[0] == values[1]
  found = steps[0].train(steps[0].init(0), batch, numbers[0])[1]['loss']
  assert float(found) != values[0]


@pytest.mark.parametrize('name', ['ptb_lstm', 'mnist_cnn'])
def test_a_task_that_is_let_go_of_is_freed_with_its_data(
  name, data_dir, tmp_path
):
  task = make_task(shrunk(name), data_dir, str(tmp_path))
  task.describe()
  next(task.batches('train', 0, 0))
  found = weakref.ref(task)
  del task
  assert found() is None
