"""Benchmarks run, and print what they have timed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
  accelerator,
  images,
  inference,
  measure,
  recurrence,
  startup,
  static,
  steps,
  torch_timed,
  tpu,
  training,
  translation_memory,
  vectorised,
  whole_data,
  without_data,
)
from configs import nmt_lstm, ptb_lstm
from hyper.cells import HyperLSTMCell, LSTMCell
from hyper.data import enwik8, wmt
from hyper.recurrence import Recurrence
from hyper.runs import metrics

TINY = recurrence.Size(2, 3, 4, 3, 2, 5)


def contender(*seconds):
  return measure.Contender(lambda: None, seconds=list(seconds))


def test_a_ratio_is_taken_within_rounds():
  slow, fast = contender(2.0, 40.0, 6.0), contender(1.0, 10.0, 3.0)
  assert slow.over(fast) == 2.0
  assert slow.median / fast.median == 2.0
  noisy = contender(2.0, 2.0, 60.0), contender(1.0, 20.0, 30.0)
  assert noisy[0].over(noisy[1]) == 2.0
  assert noisy[0].median / noisy[1].median == 0.1


def test_rounds_are_interleaved_after_a_warm_up():
  calls = []
  contenders = {
    name: measure.Contender(lambda name=name: calls.append(name))
    for name in 'ab'
  }
  measure.run(contenders, rounds=2)
  assert ''.join(calls) == 'ab' * 3
  assert [len(x.seconds) for x in contenders.values()] == [2, 2]


slow = pytest.mark.slow
VECTORS = TINY._replace(is_symbols=False)


@pytest.mark.parametrize(
  'name, size, dtype',
  [
    pytest.param('floor', TINY, jnp.float32),
    pytest.param('recurrence', TINY, jnp.float32, marks=slow),
    pytest.param('recurrence', VECTORS, jnp.bfloat16, marks=slow),
    pytest.param('scan', TINY, jnp.bfloat16, marks=slow),
    pytest.param('scan', VECTORS, jnp.float32, marks=slow),
  ],
)
def test_the_recurrence_of_a_hyperlstm_is_timed(name, size, dtype, capsys):
  made = recurrence.make_contenders(size, jnp.dtype(dtype))
  chosen = {
    key: made[key]() for key in {'LN HyperLSTM, floor', f'LN HyperLSTM, {name}'}
  }
  measure.run(chosen, rounds=1)
  table = recurrence.print_table('tiny', size, chosen)
  row = table[f'LN HyperLSTM, {name}']
  assert row['characters_per_second'] > 0
  assert row['of_floor'] == (
    1
    if name == 'floor'
    else pytest.approx(
      chosen['LN HyperLSTM, floor'].median
      / chosen[f'LN HyperLSTM, {name}'].median
    )
  )
  assert f'LN HyperLSTM, {name}' in capsys.readouterr().out


def test_each_call_continues_from_the_last_state():
  seen = []

  def step(state, batch, numbers):
    seen.append((state, batch, numbers))
    return state + batch, {}

  taken = training.Taken(step, 0, {'l2_rate': 0.5})
  taken.take([1, 2])
  taken.take(iter([3]))
  numbers = {'l2_rate': 0.5}
  assert seen == [(0, 1, numbers), (1, 2, numbers), (3, 3, numbers)]


@slow
def test_each_round_of_metrics_writes_once(tmp_path, capsys):
  given = types.SimpleNamespace(data_dir=str(tmp_path), steps=2, rounds=2)
  workdir = str(tmp_path / 'run')
  row = training.measured('ptb_lstm:embedded', given, workdir)
  assert row['step_seconds'] > 0 and row['memory_megabytes'] > 0
  assert 'ptb_lstm:embedded: ' in capsys.readouterr().out
  assert len(metrics.read(workdir)) == 3  # one is the warm-up


@slow
def test_plain_and_generated_networks_are_timed(monkeypatch):
  def small(module):
    config = module.get_config('40_1').unlock()
    config.model.blocks = 1
    return types.SimpleNamespace(get_config=lambda _: config)

  shrunk = {name: small(module) for name, module in static.CONFIGS.items()}
  monkeypatch.setattr(static, 'CONFIGS', shrunk)
  networks = {name: static.Network(name, '', 2) for name in shrunk}
  steps = {name: network.train() for name, network in networks.items()}
  found = static.figures(steps, rounds=1, images=2)
  assert found['plain']['time_over_plain'] == 1
  assert found['hyper']['images_per_second'] > 0
  assert all(network.state.step == 2 for network in networks.values())


@slow
def test_runs_are_timed_together_and_in_turn(tmp_path, capsys):
  small = ['data.batch_size=2', 'data.window_steps=3']
  given = types.SimpleNamespace(
    **{'set': small, 'data_dir': str(tmp_path), 'steps': 2, 'rounds': 1},
    runs=['2'],
  )
  table = vectorised.measured('hyperlstm_16', given)
  assert table['2 in turn']['over_in_turn'] == 1
  assert {*table} == {'2 in turn', '2 together', '2 by two workers'}
  assert all(row['characters_per_second'] > 0 for row in table.values())
  assert 'hyperlstm_16, characters a second' in capsys.readouterr().out
  with vectorised.opened(*('hyperlstm_16', small, str(tmp_path), 2, 2)) as runs:
    assert runs.examples == 6


@pytest.mark.slow
def test_memory_of_a_translation_step_is_analysed():
  config = nmt_lstm.get_config('embedded')
  found = translation_memory.analyse(config, 8)
  assert found['length'] == 8 and found['rows'] > 0
  assert found['total_gib'] >= found['state_gib'] >= 0


@pytest.mark.parametrize(
  'name, fields',
  [
    ('ptb_hyperlstm:embedded', {'model.cell.hyper_units': 4}),
    pytest.param('iam_lstm:embedded', {}, marks=slow),
    pytest.param('nmt_lstm:embedded', {}, marks=slow),
  ],
)
def test_what_models_draw_is_timed(name, fields, tmp_path, monkeypatch, capsys):
  config = measure.find_config(name).unlock()
  config.update_from_flattened_dict(fields | {'model.cell.units': 8})
  monkeypatch.setattr(measure, 'find_config', lambda name: config.lock())
  monkeypatch.setattr(without_data, 'PIECES', 120)
  monkeypatch.setitem(without_data.SYMBOLS, config.data.source, 9)
  args = types.SimpleNamespace(rows=['1', '2'], steps=3, rounds=2)
  found = inference.measured(name, args, str(tmp_path))
  assert [*found] == ['1', '2']
  for row in found.values():
    assert row['seconds'] > 0 and row['compile_seconds'] > 0
    assert ('of_floor' in row) == (config.task != 'translate')
  assert name in capsys.readouterr().out


def test_a_start_is_timed_until_its_first_step():
  lines = ['Compiling the training step.', '09:00:00 step 1/9  bpc 5']
  script = f'import sys, time\nfor x in {lines}:\n  print(x, file=sys.stderr)'
  found = startup.first_step(
    [sys.executable, '-uc', f'{script}\ntime.sleep(99)'], os.environ
  )
  assert found['seconds_until_compiling'] > 0
  assert found['seconds_until_compiling'] <= found['seconds_until_first_step']
  assert found['most_megabytes'] > 1
  with pytest.raises(RuntimeError, match='took no step: .*Compiling'):
    startup.first_step([sys.executable, '-c', script.replace('step 1', '')], {})


def test_a_first_start_has_no_prepared_data(tmp_path):
  for name in ('prepared', 'mnist'):
    (tmp_path / 'data' / name).mkdir(parents=True)
  startup.link_raw(tmp_path / 'data', tmp_path / 'raw')
  assert [x.name for x in (tmp_path / 'raw').iterdir()] == ['mnist']


def test_a_written_file_names_command_and_hardware(tmp_path):
  path = tmp_path / 'figures.json'
  measure.write(str(path), 'static', {'results': {'a': 1.5}})
  content = json.loads(path.read_text(encoding='utf-8'))
  assert content['results'] == {'a': 1.5}
  assert content['hardware']['device']
  assert content['command'].startswith('python -m benchmarks.static')


HLO = """HloModule jit_step

%body (p: (s32[])) -> (s32[]) {
  %a = f32[] fusion(p), metadata={op_name="jit(f)/dot_general"}, \
backend_config={"estimated_cycles":"30"}
  %r = f32[8] all-reduce(a), replica_groups={}
}

%c (p: (s32[])) -> pred[] {
  %n = s32[]{:T(128)} constant(100)
  ROOT %lt = pred[] compare(p, %n), direction=LT
}

ENTRY %main (x: f32[]) -> f32[] {
  %w = (s32[]) while(x), condition=%c, body=%body
  %s = (f32[8], f32[8]) all-reduce-start(w), replica_groups={}
  %b = f32[] fusion(w), backend_config={"estimated_cycles":"7"}
}
"""


def test_cycles_of_loops_count_as_often_as_they_run():
  assert tpu.estimate(HLO) == {'dot_general': 3000, '(fusion)': 7}
  assert tpu.estimate(HLO, loops_alone=True) == {'dot_general': 3000}


def test_figures_are_those_of_the_program():
  memory = types.SimpleNamespace(
    argument_size_in_bytes=5e6,
    output_size_in_bytes=4e6,
    alias_size_in_bytes=3e6,
    temp_size_in_bytes=2e6,
  )
  program = types.SimpleNamespace(
    memory_analysis=lambda: memory, as_text=lambda: HLO
  )
  found = tpu.figures(program, 1.26)
  assert found['megabytes_a_chip'] == 8
  assert found['temporary_megabytes'] == 2
  assert found['collectives'] == {'all-reduce': 2}
  assert found['compile_seconds'] == 1.3


def test_a_step_that_does_not_fit_is_compiled_with_a_rescue(monkeypatch):
  tried = []

  def compiled_step(config, topology, chips):
    tried.append(config.model.remat_steps)
    if config.model.remat_steps != 25:
      raise jax.errors.JaxRuntimeError(
        'RESOURCE_EXHAUSTED: Ran out of memory. Used 20.5G of 15.7G hbm.'
      )
    return {'megabytes_a_chip': 9}

  monkeypatch.setattr(tpu, 'compiled_step', compiled_step)
  found = tpu.fitted(ptb_lstm.get_config(), 'v5e:2x2', 1)
  assert tried == [0, 50, 25]
  assert found == {
    'does not fit': '20.5G of 15.7G',
    'megabytes_a_chip': 9,
    'fits with': {'model.remat_steps': 25},
  }


def test_steps_that_stand_in_the_file_are_not_compiled_again(
  monkeypatch, tmp_path
):
  output = tmp_path / 'steps.json'
  monkeypatch.setattr(tpu, 'compiled_step', lambda *given: {})

  def jobs(*names):
    args = types.SimpleNamespace(config=names, topology=['v5e:2x2'])
    return list(tpu.step_jobs(args, tpu.standing(str(output))))

  first = jobs('mnist_mlp')
  assert [x['chips'] for x in first] == [1, 4]
  measure.write(str(output), 'tpu', {'results': first[:1]})
  again = jobs('mnist_mlp', 'mnist_cnn')
  assert [(x['config'], x['chips']) for x in again] == [
    ('mnist_mlp', 4),
    ('mnist_cnn', 1),
    ('mnist_cnn', 4),
  ]


@pytest.mark.parametrize('name', without_data.CONFIGS)
def test_every_config_is_prepared_without_data(name, tmp_path):
  config = measure.find_config(name)
  task = without_data.make(config, str(tmp_path))
  most = config.data.batch_size
  if config.task == 'translate':
    assert len(task.pieces) == 32_000
    most = config.data.batch_tokens // config.data.bucket_lengths[-1]
  if config.task == 'char_lm':
    assert len(task.vocabulary) == without_data.SYMBOLS[config.data.source]
  rows = {x.shape[0] for x in without_data.shapes(config).values()}
  assert rows == {min(most, config.data.batch_size)}
  for key, x in without_data.batch(config).items():
    assert x.dtype == without_data.shapes(config)[key].dtype
    if key in ('inputs', 'targets', 'source'):
      assert x.min() >= 0
      known = task.pieces if config.task == 'translate' else task.vocabulary
      assert x.max() < len(known)


def test_a_step_on_a_random_batch_is_timed(tmp_path, capsys):
  args = types.SimpleNamespace(precision='float32', steps=2, rounds=1)
  found = steps.measured('mnist_coordinate', args, str(tmp_path))
  assert found['step_milliseconds'] > 0
  assert found['shapes']['image'] == [1000, 28, 28, 1]
  assert 'mnist_coordinate' in capsys.readouterr().out


def test_entries_of_an_accelerator_are_found_by_name():
  first, second = accelerator.chosen(['ptb_lstm', 'mnist_hyper_seed1'])
  assert (first.config, second.fields) == ('ptb_lstm', ('--config.seed=1',))
  assert len(accelerator.chosen([])) == len(accelerator.ENTRIES)
  with pytest.raises(ValueError, match='--entry is ptb; there are mnist_hyper'):
    accelerator.chosen(['ptb'])


def test_every_entry_of_an_accelerator_is_a_config():
  for entry in accelerator.ENTRIES:
    measure.find_config(entry.config)


@slow
def test_an_entry_is_cut_short_scored_and_kept(tmp_path):
  small = ('--config.train_steps=2000', '--config.log_every_steps=1')
  entry = accelerator.Entry('small', 'mnist_mlp:embedded', 0.5, small)
  end = time.monotonic() + 600
  accelerator.train([entry], tmp_path, str(tmp_path), (), 1, end)
  kept = {path.name for path in (tmp_path / 'small').iterdir()}
  assert kept >= {'config.json', 'metrics.jsonl', 'trained.safetensors'}
  assert json.loads((tmp_path / 'small/evaluations.jsonl').read_text())
  steps = [x['step'] for x in metrics.read(tmp_path / 'small')]
  assert 0 < max(steps) <= 2000


def test_made_up_archives_are_read_as_wmt14(tmp_path, monkeypatch):
  monkeypatch.setattr(whole_data, 'POOL', 2000)
  whole_data.write_wmt(tmp_path / 'wmt14', pairs=1000)
  train = wmt.load(str(tmp_path), 'train')
  assert len(train) == 1000
  assert len(wmt.load(str(tmp_path), 'validation')) == 2 * whole_data.SCORED
  assert len(wmt.load(str(tmp_path), 'test')) == whole_data.SCORED
  lengths = [len(english.split()) for english, _ in train.take(range(1000))]
  assert 20 < np.mean(lengths) < 33


def test_made_up_bytes_are_read_as_a_prefix_of_enwik8(tmp_path, monkeypatch):
  monkeypatch.setitem(whole_data.ENWIK8, 'bytes', 2**20 + 5)
  whole_data.write_enwik8(tmp_path / 'enwik8')
  text = enwik8.load(str(tmp_path), 'train', 2**20 + 5)['text']
  assert len(np.unique(text)) == whole_data.ENWIK8['values']


def test_data_that_are_half_written_are_made_again(tmp_path, monkeypatch):
  monkeypatch.setattr(whole_data, 'process', lambda *_: {})

  def half(folder):
    folder.mkdir(parents=True)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    whole_data.figures('enwik8', tmp_path, half)
  whole_data.figures('enwik8', tmp_path, lambda x: x.mkdir(parents=True))
  assert [x.name for x in (tmp_path / 'data').iterdir()] == ['enwik8']


def test_the_seconds_and_the_memory_of_a_process_are_found():
  found = whole_data.process(['-c', 'x = bytearray(300_000_000)'])
  assert found['most_megabytes'] > 300
  with pytest.raises(RuntimeError, match='ended with 3'):
    whole_data.process(['-c', 'raise SystemExit(3)'])


def sleeper(process):
  """Returns a contender that fails in the process of that number."""

  def call():
    assert os.getpid() != process
    time.sleep(0.02)

  return measure.called(call)


def test_a_contender_in_a_process_of_its_own_times_its_calls():
  apart = measure.apart(sleeper, os.getpid())
  measure.run({'apart': apart}, rounds=2)
  assert 0.02 <= min(apart.compile_seconds, *apart.seconds) < 1
  with pytest.raises(AssertionError):
    sleeper(os.getpid())


def test_a_contender_whose_process_is_killed_is_named():
  with pytest.raises(ChildProcessError, match=r'\.killed has ended, perhaps'):
    measure.apart(killed)


def killed():
  os.kill(os.getpid(), signal.SIGKILL)  # as the system does for its memory


def test_the_memory_of_a_first_call_is_found():
  pytest.importorskip('torch')
  kept = bytearray(100_000_000)  # is no memory of the call
  contender = torch_timed.with_memory(
    lambda: bytearray(200_000_000), {'device': 'cpu'}
  )
  assert 199e6 < contender.temporary_bytes < 250e6
  del kept


@pytest.mark.parametrize(
  ('module', 'wrong', 'message'),
  [
    ('images', '--config=ptb_lstm', "'ptb_lstm' is none of mnist_cnn, "),
    ('recurrence', '--only=?', "['?'] is part of no name: LSTM, floor; "),
    ('startup', '--config=', "there is no file of configs/ for ''"),
  ],
)
def test_wrong_flags_are_refused_in_one_line(module, wrong, message):
  command = [sys.executable, '-m', f'benchmarks.{module}', wrong]
  ended = subprocess.run(
    command, capture_output=True, text=True, cwd=startup.ROOT, check=False
  )
  assert ended.returncode == 1
  (line,) = ended.stderr.splitlines()
  assert message in line


@pytest.mark.parametrize('name', ['w_h', 'w_x', 'hyper_w_h', 'w_hz', 'beta_c'])
def test_other_values_than_ours_are_not_timed(name):
  pytest.importorskip('torch')
  cell = HyperLSTMCell(TINY.units, TINY.inputs, hyper_units=3, embedding_size=2)
  given = recurrence.given_of(cell, TINY)
  given['weights'][name] = np.roll(given['weights'][name], 1)
  with pytest.raises(ValueError, match='torch differs from ours by'):
    torch_timed.cell(given, 'float32', False)


@pytest.mark.parametrize('layer_norm', [False, True])
def test_cells_in_torch_have_the_same_outputs(layer_norm):
  torch = pytest.importorskip('torch')
  from benchmarks import torch_cells

  for cell, step in (
    (LSTMCell(6, 5, layer_norm=layer_norm), torch_cells.lstm_step),
    (HyperLSTMCell(6, 5, hyper_units=4), torch_cells.hyperlstm_step),
  ):
    x = jax.random.normal(jax.random.key(0), (3, 7, 5))
    model = Recurrence(cell)
    variables = model.init(jax.random.key(1), x)
    weights = {
      name: torch.tensor(np.array(w))
      for name, w in variables['params']['cell'].items()
    }
    found = torch_cells.run(step, weights, torch.tensor(np.array(x)))
    np.testing.assert_allclose(found, model.apply(variables, x), atol=1e-6)


@pytest.mark.parametrize(
  'name',
  [
    'mnist_cnn',
    'mnist_hyper',
    pytest.param('cifar10_wrn', marks=slow),
    pytest.param('cifar10_hyper_wrn', marks=slow),
  ],
)
def test_image_networks_are_timed_beside_those_in_torch(
  name, monkeypatch, capsys
):
  config = measure.find_config(name).unlock()
  config.data.batch_size = 4
  if 'cifar10' in name:
    config.model.blocks = 1
  monkeypatch.setattr(measure, 'find_config', lambda name: config.lock())
  found = images.measured(name, rounds=1)  # raises where losses differ
  assert found['here']['images_per_second'] > 0
  assert found['parameters'] > 12_000
  assert ('torch' in found) == bool(importlib.util.find_spec('torch'))
  assert name in capsys.readouterr().out
