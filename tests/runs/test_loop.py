"""The loop, on a task whose steps take no time."""

import os
import re
import shlex
import shutil
import signal
import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest
from screen import terminal
from toy import Toy, assert_same, config_of, last_state, saved, train

from hyper.runs import compiled, folder, log, loop, metrics, tensorboard
from hyper.runs.checkpoint_arrays import copy_to_host
from hyper.runs.compiled import CompiledCache


@pytest.fixture(autouse=True)
def at_batch(monkeypatch):
  """Returns a dict for what happens while the batch of a step is drawn."""
  monkeypatch.setattr(Toy, 'at_batch', {})
  return Toy.at_batch


def lines(workdir):
  return [(x['step'], x['split']) for x in metrics.read(workdir)]


def test_what_is_due_happens_in_its_order(tmp_path):
  assert train(tmp_path) == 0
  expected = [(step, 'train') for step in range(1, 9)]
  expected.insert(4, (4, 'validation'))
  assert lines(tmp_path) == [*expected, (8, 'validation')]
  assert saved(tmp_path).saved_steps[-2:] == [6, 8]
  assert folder.load_config(str(tmp_path)) == config_of()
  assert train(tmp_path) == 0  # has all its steps
  assert len(lines(tmp_path)) == 10


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('step', [0, 3, 4, 7])
def test_an_interrupted_run_ends_bit_for_bit_as_one_that_was_not(
  number, step, tmp_path, at_batch
):
  train(tmp_path / 'whole')
  before = signal.getsignal(number)

  def interrupt():
    if signal.getsignal(number) != before:  # not when the data are read
      signal.raise_signal(number)

  at_batch[step] = interrupt
  status = train(tmp_path / 'parts')
  assert signal.getsignal(number) == before
  if step < 7:
    assert status == 128 + number
    assert saved(tmp_path / 'parts').saved_steps[-1] == step + 1
    at_batch.clear()
    assert train(tmp_path / 'parts') == 0
  assert_same(tmp_path / 'whole', tmp_path / 'parts')
  assert lines(tmp_path / 'whole') == lines(tmp_path / 'parts')


def test_a_run_trains_outside_the_main_thread(tmp_path):
  train(tmp_path / 'main')
  thread = threading.Thread(target=train, args=(tmp_path / 'other',))
  thread.start()
  thread.join()
  assert_same(tmp_path / 'main', tmp_path / 'other')


def test_a_longer_run_is_the_shorter_one_continued(tmp_path):
  train(tmp_path / 'one', config_of(train_steps=3, eval_every_steps=1))
  train(tmp_path / 'one')
  train(tmp_path / 'two')
  assert_same(tmp_path / 'one', tmp_path / 'two')
  with pytest.raises(ValueError, match='has 8 steps already') as error:
    train(tmp_path / 'one', config_of(train_steps=7))
  for remedy in (
    f'python train.py --workdir={tmp_path}/one)',
    *('--config.train_steps', '--set=train_steps=N'),
  ):
    assert remedy in str(error.value)


def test_a_run_ended_where_it_stopped_is_scored_there(tmp_path, at_batch):
  at_batch[2] = lambda: signal.raise_signal(signal.SIGTERM)
  train(tmp_path, config_of(eval_every_steps=0))
  at_batch.clear()
  for _ in range(2):
    assert train(tmp_path, config_of(train_steps=3, eval_every_steps=0)) == 0
  assert [step for step, split in lines(tmp_path) if split != 'train'] == [3]


def test_of_equal_scores_the_earlier_one_is_kept_as_best(tmp_path):
  train(tmp_path, config_of(**{'schedule.learning_rate': 0.0}))
  assert saved(tmp_path).best_step == 4
  assert saved(tmp_path).saved_steps == [4, 6, 8]


def test_log_every_0_steps_writes_scores_alone(tmp_path):
  train(tmp_path, config_of(log_every_steps=0))
  assert lines(tmp_path) == [(4, 'validation'), (8, 'validation')]


@pytest.mark.parametrize(
  'field, value, message',
  [
    ('train_steps', 0, 'config.train_steps is 0; it must be at least 1'),
    ('log_every_steps', -1, 'config.log_every_steps is -1'),
    ('seed', -1, 'config.seed is -1'),
    ('optimizer.clip_norm', -1.0, 'config.optimizer.clip_norm is -1.0'),
    ('schedule.learning_rate', -1.0, 'has a learning rate of -1.0'),
  ],
)
def test_a_start_that_fails_leaves_no_folder(field, value, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    train(tmp_path / 'run', config_of(**{field: value}))
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  'member, of',
  [('fingerprint', 'train'), ('fingerprint', 'test'), ('_batch', 0)],
)
def test_data_are_read_before_the_model_is_compiled(
  member, of, tmp_path, monkeypatch
):
  whole = getattr(Toy, member)

  def missing(self, asked):
    if asked == of:
      raise FileNotFoundError('no data')
    return whole(self, asked)

  monkeypatch.setattr(Toy, member, missing)
  monkeypatch.setattr(Toy, 'init', lambda self, key: pytest.fail('compiled'))
  with pytest.raises(FileNotFoundError, match='no data'):
    train(tmp_path / 'run', kept=CompiledCache())
  assert not (tmp_path / 'run').exists()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
  loss = Toy.loss

  def broken(self, params, model_state, *rest):
    value, after = loss(self, params, model_state, *rest)
    return value * jnp.where(model_state['sum'] != 0, jnp.nan, 1.0), after

  monkeypatch.setattr(Toy, 'loss', broken)
  for _ in range(2):
    with pytest.raises(FloatingPointError) as caught:
      train(tmp_path, config_of(save_every_steps=1), kept=CompiledCache())
    for part in (
      'step 2: ',
      'loss nan',
      'rate 0.1',
      'There is no good checkpoint',
    ):
      assert part in str(caught.value)
  assert not saved(tmp_path).saved_steps


@pytest.fixture
def steep(monkeypatch):
  """Returns a config with a finite state after step 4, but no finite loss."""
  loss = Toy.loss

  def overflows(self, params, *rest):
    value, after = loss(self, params, *rest)
    return value * jnp.where(
      jnp.abs(params['w']).max() > 1e6, jnp.inf, 1
    ), after

  monkeypatch.setattr(Toy, 'loss', overflows)
  rates = {'learning_rates': (0.1, 1e9), 'until_steps': (3, 9)}
  schedule = {'name': 'piecewise', **rates}
  return config_of(eval_every_steps=0, schedule=schedule)


@pytest.mark.parametrize('step', [9, 3])
def test_a_state_is_saved_once_the_next_loss_is_finite(
  step, steep, tmp_path, at_batch
):
  at_batch[step] = lambda: signal.raise_signal(signal.SIGTERM)
  for _ in range(2):
    with pytest.raises(FloatingPointError, match='step 5: .* of step 2.$'):
      train(tmp_path, steep, kept=CompiledCache())
  assert saved(tmp_path).saved_steps == [2]


def test_a_checkpoint_that_leads_nowhere_is_named(steep, tmp_path, monkeypatch):
  with monkeypatch.context() as unchecked:  # older versions did not check
    unchecked.setattr(log.Log, 'check', lambda *_: None)
    train(tmp_path, config_of(**steep.to_dict() | {'train_steps': 4}))
  assert saved(tmp_path).saved_steps == [2, 4]
  message = 'step 5: .* of step 2. Move .*checkpoints/4 away to resume from it'
  with pytest.raises(FloatingPointError, match=message):
    train(tmp_path, steep, kept=CompiledCache())


@pytest.mark.parametrize('rate', [3e38, 1e25])
def test_parameters_that_explode_are_not_saved(rate, tmp_path):
  exploding = config_of(
    eval_every_steps=0,
    schedule={
      'name': 'piecewise',
      'learning_rates': (0.1, rate),
      'until_steps': (3, 9),
    },
  )
  for _ in range(2):
    with pytest.raises(FloatingPointError, match='step 4: .* of step 2'):
      train(tmp_path, exploding)
  assert saved(tmp_path).saved_steps == [2]


def test_a_checkpoint_that_is_not_finite_is_named(tmp_path):
  train(tmp_path, config_of(train_steps=3))
  _, state = last_state(tmp_path)
  with saved(tmp_path) as checkpoints:  # older versions did not check
    broken = state.replace(params={'w': state.params['w'] * jnp.nan})
    checkpoints.write(4, copy_to_host(broken))
  with pytest.raises(ValueError, match=r'checkpoints/4 is not finite'):
    train(tmp_path)


def test_scores_that_are_not_finite_stop_the_run(tmp_path, monkeypatch):
  monkeypatch.setattr(Toy, 'summarize', lambda self, sums: {'distance': np.nan})
  config = config_of(log_every_steps=0)
  message = 'step 4: .*validation distance nan.* of step 2'
  with pytest.raises(FloatingPointError, match=message):
    train(tmp_path, config)
  assert saved(tmp_path).saved_steps == [2]
  assert lines(tmp_path) == []


def test_a_new_run_that_fails_before_its_first_metrics_leaves_no_folder(
  tmp_path, monkeypatch
):
  def broken(self, params, model_state, batch, key, train, numbers):
    sums = {'distance': jnp.ones(()), 'count': jnp.ones(())}
    return jnp.nan * params['w'].sum(), (model_state, sums)

  monkeypatch.setattr(Toy, 'loss', broken)
  with pytest.raises(FloatingPointError, match='There is no good checkpoint'):
    train(tmp_path / 'run', kept=CompiledCache())
  assert not (tmp_path / 'run').exists()


def test_a_new_run_that_fails_before_its_first_save_frees_the_folder(tmp_path):
  exploding = config_of(**{'schedule.learning_rate': 3e38})
  with pytest.raises(FloatingPointError, match='There is no good checkpoint'):
    train(tmp_path, exploding)
  assert not folder.is_run(str(tmp_path))
  assert train(tmp_path) == 0


def test_an_observer_that_fails_is_dropped_with_one_warning(
  tmp_path, monkeypatch, caplog
):
  def fails(self, **fields):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(tensorboard.EventFile, 'add', fails)
  assert train(tmp_path / 'never') == 0
  monkeypatch.undo()
  write = tensorboard.TensorBoard.write

  def fails_later(self, step, split, values):
    if step > 2:
      raise OSError(28, 'No space left on device')
    write(self, step, split, values)

  monkeypatch.setattr(tensorboard.TensorBoard, 'write', fails_later)
  assert train(tmp_path / 'later') == 0
  warnings = [x for x in caplog.messages if 'continues without' in x]
  assert len(warnings) == 2
  assert lines(tmp_path / 'never') == lines(tmp_path / 'later')
  assert len(lines(tmp_path / 'later')) == 10


@pytest.mark.slow
def test_a_trace_is_left_in_the_run_folder(tmp_path):
  for steps in (3, 16):
    workdir = str(tmp_path / str(steps))
    loop.train(Toy, config_of(train_steps=steps), workdir, '', profile=True)
    left = [name for *_, files in os.walk(workdir) for name in files]
    assert any(name.endswith('.xplane.pb') for name in left)


def test_compiling_is_announced_and_left_out_of_speeds(
  tmp_path, monkeypatch, caplog
):
  kept, made = CompiledCache(), compiled.Compiled.__init__

  def slow(self, *args):
    made(self, *args)
    step, first = self.train, [True]

    def train_step(*args):
      if first.pop() if first else False:
        time.sleep(0.5)
      return step(*args)

    self.train = train_step

  monkeypatch.setattr(compiled.Compiled, '__init__', slow)
  with caplog.at_level('INFO', logger='absl'):
    train(tmp_path / 'one', config_of(log_every_steps=2), kept=kept)
    train(tmp_path / 'two', kept=kept)
  said = [x for x in caplog.messages if x.startswith('Compiling')]
  assert said == [
    f'Compiling the {what}.'
    for what in ('initial state', 'training step', 'evaluation step')
  ]
  first = metrics.read(tmp_path / 'one')[0]
  assert first['step'] == 2
  assert first['vectors_per_second'] > 2 / 0.5
  assert first['seconds_per_step'] < 0.5 / 2


def test_a_run_on_a_terminal(tmp_path, monkeypatch):
  monkeypatch.setenv('TERM', 'xterm')
  monkeypatch.setenv('COLUMNS', '80')
  monkeypatch.setattr('hyper.terminal.BAR_SECONDS', 0.0)
  with terminal() as screen:
    monkeypatch.setattr(sys, 'stderr', screen.stream)
    assert train(tmp_path) == 0
    assert sys.stderr is screen.stream
    *_, line, after = screen.lines()
  assert line.startswith('step 8/8 ━') and len(line) <= 80 and after == ''
  assert line.endswith(f'  best {saved(tmp_path).score(8):.4g}')


@pytest.mark.parametrize('data_dir', ['data', '/my data'])
def test_the_last_line_is_a_command_that_works(
  data_dir, tmp_path, monkeypatch, caplog, at_batch
):
  workdir = str(tmp_path / 'a run')
  arguments = Toy, config_of(), workdir, data_dir
  with caplog.at_level('INFO', logger='absl'):
    at_batch[2] = lambda: signal.raise_signal(signal.SIGTERM)
    loop.train(*arguments)
    at_batch.clear()
    loop.train(*arguments)
    loop.train(*arguments)
  stopped, done, complete = (
    x.splitlines() for x in caplog.messages if '\n' in x
  )
  assert re.match(r'Stopped at step 3: 3 steps in \d:\d\d\. To', stopped[0])
  assert re.match(
    r'Done: 5 steps in \d:\d\d, best distance [\d.]+ at step \d\. To', done[0]
  )
  assert f'{workdir} has all its 8 steps' in complete[0]
  where = [f'--workdir={workdir}']
  where += [f'--data_dir={data_dir}'] if data_dir != 'data' else []
  for lines, script, more in (
    (stopped, 'train.py', []),
    (done, 'evaluate.py', []),
    (complete, 'train.py', ['--set=train_steps=16']),
  ):
    python, path, *flags = shlex.split(lines[1])
    assert shutil.which(python) and os.path.basename(path) == script
    assert os.path.exists(path) and flags == [*where, *more]
