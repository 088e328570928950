"""Figures show what they should, and every command draws."""

import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from absl import flags

import train
from configs import ptb_hyperlstm, ptb_lstm
from hyper import figures, generate, trained
from hyper.decode import read_symbols
from hyper.drawing import curves, saturation, weight_change
from hyper.figures import __main__ as command
from hyper.figures import texts
from hyper.figures.curves import figures as curve_figures
from hyper.runs import commands, metrics
from hyper.tasks.char_lm import CharLM


def make_run(module, workdir):
  config = module.get_config('embedded').unlock()
  config.update_from_flattened_dict(
    {
      'data.batch_size': 2,
      'data.window_steps': 8,
      'data.eval_streams': 256,
      'model.cell.units': 8,
      'train_steps': 2,
      'log_every_steps': 1,
    }
  )
  if config.model.cell.name == 'hyperlstm':
    config.model.cell.hyper_units = 4
  train.train(config.lock(), workdir, workdir + '_data')
  return workdir


@pytest.fixture(scope='module')
def hyper_run(tmp_path_factory):
  return make_run(ptb_hyperlstm, str(tmp_path_factory.mktemp('hyper') / 'run'))


@pytest.fixture(scope='module')
def plain_run(tmp_path_factory):
  return make_run(ptb_lstm, str(tmp_path_factory.mktemp('plain') / 'run'))


def effective_weights(weights, h_hyper):
  """Returns diag(d_h) W_h of each gate (eqs 11 and 12), stacked."""
  effective = []
  _, size, units = weights['w_hz'].shape
  for k in range(len(reference.GATES)):
    part = slice(k * size, (k + 1) * size)
    z_h = weights['w_hh'][:, part].T @ h_hyper + weights['b_hh'][part]
    d_h = weights['w_hz'][k].T @ z_h
    w_h = weights['w_h'][:, k * units : (k + 1) * units].T
    effective.append(np.diag(d_h) @ w_h)
  return effective


def changes(weights, states):
  """Returns norms [t - 1, 4] of the changes of effective weights over time."""
  matrices = [effective_weights(weights, h_hyper) for h_hyper in states]
  return np.array(
    [
      [np.sqrt(((x - y) ** 2).sum()) for x, y in zip(one, two, strict=True)]
      for one, two in zip(matrices[:-1], matrices[1:], strict=True)
    ]
  )


def test_reading_a_text_equals_single_steps(hyper_run):
  found = trained.load(hyper_run)
  task, params = found.task, found.params
  apply, carry = jax.jit(task.reader(params)), task.model.zeros(1)
  text = task.encode('the text', 'the text')
  carries, logits = read_symbols(apply, carry, jnp.asarray(text))
  for t, symbol in enumerate(text):
    carry, wanted = apply(carry, jnp.full((1, 1), symbol))
    np.testing.assert_allclose(logits[t], wanted[0, 0], atol=1e-5)
    pairs = zip(jax.tree.leaves(carries), jax.tree.leaves(carry), strict=True)
    for x, y in pairs:
      np.testing.assert_allclose(x[t], y, atol=1e-5)


def run_command(monkeypatch, *arguments):
  values = flags.FlagValues()
  monkeypatch.setattr(flags, 'FLAGS', values)
  monkeypatch.setattr(command, 'FLAGS', values)
  for name in [name for name in vars(flags) if name.startswith('DEFINE')]:
    into = functools.partial(getattr(flags, name), flag_values=values)
    monkeypatch.setattr(flags, name, into)
  monkeypatch.setattr(flags, 'mark_flag_as_required', lambda name: None)
  command.define_flags()
  return commands.checked(command.main, values(['figures', *arguments])[1:])


@pytest.mark.parametrize(
  'extension, text',
  [('html', '--text=a <b>'), ('svg', '--length=9'), ('png', '--text=a')],
)
def test_weight_change(monkeypatch, hyper_run, tmp_path, extension, text):
  path = tmp_path / f'picture.{extension}'
  arguments = 'weight_change', f'--workdir={hyper_run}', f'--output={path}'
  assert run_command(monkeypatch, *arguments, text) == 0
  start = {'html': b'<!doctype html>', 'svg': b'<?xml', 'png': b'\x89PNG'}
  assert path.read_bytes().startswith(start[extension])


@pytest.mark.parametrize(
  'name, extension',
  [
    ('curves', 'png'),
    ('saturation', 'pdf'),
    pytest.param('curves', 'pdf', marks=pytest.mark.slow),
    pytest.param('saturation', 'png', marks=pytest.mark.slow),
  ],
)
def test_pictures_of_several_runs(
  monkeypatch, hyper_run, plain_run, tmp_path, name, extension
):
  path = tmp_path / 'new' / f'picture.{extension}'
  runs = [f'--workdir={run}' for run in (hyper_run, plain_run)]
  assert run_command(monkeypatch, name, *runs, f'--output={path}') == 0
  start = {'png': b'\x89PNG', 'pdf': b'%PDF'}
  assert path.read_bytes().startswith(start[extension])


def stepped(run, text):
  """Returns a run's weights, and its carries at the start and each symbol."""
  found = trained.load(run)
  task, params = found.task, found.params
  apply, carry, carries = jax.jit(task.reader(params)), task.model.zeros(1), []
  for symbol in [task.vocabulary.start, *task.encode(text, 'the text')]:
    carry, _ = apply(carry, jnp.full((1, 1), symbol))
    carries.append(jax.device_get(carry[0]))
  return jax.device_get(params['cells_0']), carries


def test_each_symbol_has_the_change_that_reading_it_makes(
  monkeypatch, hyper_run
):
  drawn = []
  monkeypatch.setattr(
    weight_change, 'draw_text', lambda *given: drawn.append(given)
  )
  arguments = 'weight_change', f'--workdir={hyper_run}', '--text=a text'
  assert run_command(monkeypatch, *arguments) == 0
  ((symbols, rows, gates, title, _),) = drawn
  assert ''.join(symbols) == 'a text' and gates == ('i', 'g', 'f', 'o')
  assert title == 'run at step 2'
  weights, carries = stepped(hyper_run, 'a text')
  wanted = changes(weights, [carry[1][1][0] for carry in carries])
  # A change is the difference of two float32 scalings that are nearly equal, so
  # its error is that of the scalings, even if the change is small.
  np.testing.assert_allclose(rows, wanted / wanted.max(0), atol=1e-4)


def test_hidden_states_are_those_before_the_output_gate(
  monkeypatch, hyper_run, plain_run
):
  drawn = []
  monkeypatch.setattr(
    saturation, 'draw', lambda values, _: drawn.append(values)
  )
  runs = hyper_run, plain_run
  arguments = [f'--workdir={run}' for run in runs]
  assert (
    run_command(monkeypatch, 'saturation', *arguments, '--text=a text') == 0
  )
  found = {name: x[:, 0] for name, x in drawn[0].items()}
  weights, carries = stepped(hyper_run, 'a text')
  c = np.concatenate([carry[0][0] for carry in carries])
  wanted = reference.layer_norm(c, weights['gamma_c'], weights['beta_c'])
  np.testing.assert_allclose(found[hyper_run], np.tanh(wanted), atol=1e-5)
  c = np.stack([carry[0][0] for carry in stepped(plain_run, 'a text')[1]])
  np.testing.assert_allclose(found[plain_run], np.tanh(c), atol=1e-5)


def test_curves_are_those_of_the_metrics_grouped_by_config(
  monkeypatch, hyper_run, plain_run, tmp_path
):
  again = str(tmp_path / 'again')  # as hyper_run, with another seed
  shutil.copytree(hyper_run, again)
  path = tmp_path / 'again' / 'config.json'
  config = json.loads(path.read_text())
  path.write_text(json.dumps(config | {'seed': config['seed'] + 1}))
  drawn = []
  monkeypatch.setattr(curves, 'draw', lambda *given: drawn.append(given))
  given = hyper_run, plain_run, again, f'{again}/.'  # one of them twice
  arguments = [f'--workdir={run}' for run in given]
  assert run_command(monkeypatch, 'curves', *arguments) == 0
  ((groups, metric, _, references),) = drawn
  assert metric == 'bpc' and not references  # a small network, in no table
  assert [*groups] == [f'{hyper_run} (2 seeds)', plain_run]
  lines = metrics.read(hyper_run)
  for split in ('validation', 'train'):
    wanted = [(x['step'], x['bpc']) for x in lines if x['split'] == split]
    found = [
      [*zip(*curve, strict=True)]
      for curve in groups[f'{hyper_run} (2 seeds)'][split]
    ]
    assert found == [wanted, wanted]
    assert len(groups[plain_run][split]) == 1


def test_the_papers_score_belongs_to_its_config_alone():
  config = ptb_hyperlstm.get_config('')
  assert curve_figures('ptb_hyperlstm', config, 'bpc') == {
    'paper, LN HyperLSTM 1000, test: 1.250': 1.25,
    'paper, LN HyperLSTM 1000, validation: 1.281': 1.281,
  }
  assert curve_figures('ptb_hyperlstm', config, 'nats') == {}
  assert curve_figures('', config, 'bpc') == {}
  config.seed += 1
  assert curve_figures('ptb_hyperlstm', config, 'bpc')
  config.model.cell.units //= 2
  assert not curve_figures('ptb_hyperlstm', config, 'bpc')


def test_runs_are_named_by_what_tells_them_apart():
  assert figures.run_names(['runs/a', 'runs/b/']) == ['a', 'b']
  assert figures.run_names(['one/a/', 'two/a']) == ['one/a', 'two/a']


def test_a_text_of_its_own_is_read_with_its_prompt(hyper_run):
  own = ('the ', 5, 1.0, 3)
  found = trained.load(hyper_run)
  task, params = found.task, found.params
  numbers = texts.Text('', *own).of(task, params)
  drawn = ''.join(generate.text(hyper_run, *own))
  whole = task.vocabulary.to_bytes(numbers).decode(errors='replace')
  assert whole == f'the {drawn}'


@pytest.mark.parametrize(
  'arguments, line',
  [
    (['weight_change'], 'is a run of LSTMCell, whose weights do not change'),
    (['weight_change', '--workdir=b'], 'weight_change is of one run'),
    (
      ['saturation', '--text=a', '--prompt=b'],
      'give --text or --prompt',
    ),
    (
      ['curves', '--metric=nats_per_point'],
      "no metric 'nats_per_point'; it has",
    ),
    (
      ['curves', '--output=pic'],
      "--output is 'pic'; it must end in .png, .svg",
    ),
    (['examples', '--output=x.png'], 'it must end in .md'),
  ],
)
def test_what_cannot_be_drawn_is_one_line(
  arguments, line, monkeypatch, plain_run, capsys
):
  def never(*given):
    raise AssertionError('work before the error')

  monkeypatch.setattr(CharLM, 'sample', never)
  assert run_command(monkeypatch, *arguments, f'--workdir={plain_run}') == 1
  assert line in capsys.readouterr().err


def test_text_of_several_bytes_comes_whole(hyper_run, monkeypatch):
  task = trained.load(hyper_run).task
  numbers = task.encode('a – b', 'the text')
  monkeypatch.setattr(CharLM, 'sample', lambda *_: iter(numbers))
  pieces = list(generate.text(hyper_run, '', 5, 1.0, 0))
  assert ''.join(pieces) == 'a – b' and len(pieces) == len(numbers) == 7
  assert pieces[2:5] == ['', '', '–']


def test_steps_are_no_metric(hyper_run, monkeypatch, capsys):
  arguments = f'--workdir={hyper_run}', '--metric=step'
  assert run_command(monkeypatch, 'curves', *arguments) == 1
  assert 'step is no metric; there are: ' in capsys.readouterr().err
