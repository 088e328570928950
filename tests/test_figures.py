"""Figures: what they show is computed right, and every command draws."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from absl import flags

import train
from configs import ptb_hyperlstm, ptb_lstm
from hyper import figures, generate, trained
from hyper.cells import HyperLSTMCell, LSTMCell
from hyper.decode import read_symbols
from hyper.drawing import weight_change
from hyper.figures import __main__ as command
from hyper.runs import commands, metrics

UNITS, HYPER_UNITS, EMBEDDING, TIME = 5, 3, 2, 6


def make_run(module, workdir):
  config = module.get_config('embedded').unlock()
  config.update_from_flattened_dict(
    {
      'data.batch_size': 2,
      'data.window_steps': 8,
      'data.eval_streams': 128,
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


def make_cell(hyper_state):
  return HyperLSTMCell(
    UNITS,
    hyper_units=HYPER_UNITS,
    embedding_size=EMBEDDING,
    hyper_state=hyper_state,
  )


@pytest.fixture(scope='module')
def weights():
  cell, rng = make_cell('new'), np.random.default_rng(0)

  def init():
    return cell.init(jax.random.key(0), cell.zeros((1,)), jnp.zeros((1, 4)))

  return jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype('f'),
    jax.eval_shape(init)['params'],
  )


def random_carries(seed=1):
  """Carries of six steps, and the one before them."""
  rng = np.random.default_rng(seed)
  start = jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype('f'),
    make_cell('new').zeros((1,)),
  )
  after = jax.tree.map(
    lambda x: rng.normal(size=(TIME, *x.shape)).astype('f'), start
  )
  return after, start


def effective_weights(weights, h_hyper):
  """diag(d_h) W_h of each gate (eqs 11 and 12), one matrix after another."""
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
  """Frobenius norms [t - 1, 4] between effective weights of hyper states."""
  matrices = [effective_weights(weights, h_hyper) for h_hyper in states]
  return np.array(
    [
      [np.sqrt(((x - y) ** 2).sum()) for x, y in zip(one, two, strict=True)]
      for one, two in zip(matrices[:-1], matrices[1:], strict=True)
    ]
  )


@pytest.mark.parametrize('hyper_state', ['new', 'old'])
def test_intensities_are_those_of_the_whole_matrices(weights, hyper_state):
  carries, start = random_carries()
  states = carries[1][1][:, 0]
  if hyper_state == 'old':
    states = np.concatenate([start[1][1], states[:-1]])
  wanted = np.concatenate([np.zeros((1, 4)), changes(weights, states)])
  cell = make_cell(hyper_state)
  found = weight_change.intensities(cell, weights, carries, start)
  np.testing.assert_allclose(found, wanted / wanted.max(0), rtol=1e-4)


def test_weights_that_do_not_change_have_no_intensity(weights):
  carries, start = random_carries()
  still = jax.tree.map(np.ones_like, carries)
  found = weight_change.intensities(make_cell('new'), weights, still, start)
  np.testing.assert_array_equal(found, 0)


def test_other_cells_are_refused():
  with pytest.raises(ValueError, match='LSTMCell does not change'):
    weight_change.intensities(LSTMCell(3), {}, None, None)


def test_the_page_shows_each_symbol_with_its_rows():
  rows = np.array([[0, 0, 0, 0], [0.25, 0.5, 0.75, 1]])
  page = weight_change.to_html(['<', '\n'], rows)
  assert '<b>&lt;</b>' in page and '<b>↵</b>' in page
  assert page.count('<span') == 2 and page.count('<i ') == 8
  assert 'title="i 0.25 g 0.50 f 0.75 o 1.00"' in page
  assert 'opacity:0.750' in page


def test_reading_is_stepping(hyper_run):
  task, params = trained.load_text_model(hyper_run, 'best')
  apply, carry = jax.jit(task.reader(params)), task.model.zeros(1)
  text = task.encode('the text', 'the text')
  carries, logits = read_symbols(apply, carry, text)
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
  for name in ('string', 'multi_string', 'integer', 'float', 'enum'):
    define = getattr(flags, f'DEFINE_{name}')

    def into(*given, define=define, **options):
      return define(*given, flag_values=values, **options)

    monkeypatch.setattr(flags, f'DEFINE_{name}', into)
  monkeypatch.setattr(flags, 'mark_flag_as_required', lambda name: None)
  command.define_flags()
  return commands.checked(command.main, values(['figures', *arguments])[1:])


@pytest.mark.parametrize('extension', ['html', 'svg', 'png'])
@pytest.mark.parametrize('text', ['--text=a <b>', '--length=9'])
def test_weight_change(monkeypatch, hyper_run, tmp_path, extension, text):
  path = tmp_path / f'picture.{extension}'
  arguments = 'weight_change', f'--workdir={hyper_run}', f'--output={path}'
  assert run_command(monkeypatch, *arguments, text) == 0
  start = {'html': b'<!doctype html>', 'svg': b'<?xml', 'png': b'\x89PNG'}
  assert path.read_bytes().startswith(start[extension])


@pytest.mark.parametrize('name', ['curves', 'saturation'])
@pytest.mark.parametrize('extension', ['png', 'pdf'])
def test_pictures_of_several_runs(
  monkeypatch, hyper_run, plain_run, tmp_path, name, extension
):
  path = tmp_path / 'new' / f'picture.{extension}'
  runs = [f'--workdir={run}' for run in (hyper_run, plain_run)]
  assert run_command(monkeypatch, name, *runs, f'--output={path}') == 0
  start = {'png': b'\x89PNG', 'pdf': b'%PDF'}
  assert path.read_bytes().startswith(start[extension])


def stepped(run, text):
  """A run's weights, and its carries after start and each symbol."""
  task, params = trained.load_text_model(run, 'best')
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
    command.weight_change, 'draw_text', lambda *given: drawn.append(given)
  )
  arguments = 'weight_change', f'--workdir={hyper_run}', '--text=a text'
  assert run_command(monkeypatch, *arguments) == 0
  ((symbols, rows, _),) = drawn
  assert ''.join(symbols) == 'a text'
  weights, carries = stepped(hyper_run, 'a text')
  wanted = changes(weights, [carry[1][1][0] for carry in carries])
  np.testing.assert_allclose(rows, wanted / wanted.max(0), rtol=1e-3)


def test_hidden_states_are_those_before_the_output_gate(
  monkeypatch, hyper_run, plain_run
):
  drawn = []
  monkeypatch.setattr(
    command.saturation, 'draw', lambda values, _: drawn.append(values)
  )
  runs = hyper_run, plain_run
  arguments = [f'--workdir={run}' for run in runs]
  assert (
    run_command(monkeypatch, 'saturation', *arguments, '--text=a text') == 0
  )
  found, *_ = drawn
  weights, carries = stepped(hyper_run, 'a text')
  c = np.concatenate([carry[0][0] for carry in carries])
  wanted = reference.layer_norm(c, weights['gamma_c'], weights['beta_c'])
  np.testing.assert_allclose(found[hyper_run], np.tanh(wanted), atol=1e-5)
  c = np.stack([carry[0][0] for carry in stepped(plain_run, 'a text')[1]])
  np.testing.assert_allclose(found[plain_run], np.tanh(c), atol=1e-5)


def test_curves_are_those_of_the_metrics(monkeypatch, hyper_run, tmp_path):
  from matplotlib.axes import Axes

  drawn, plot = {}, Axes.plot

  def note(axes, x, y, style, *, label, **options):
    assert style.endswith('o') == (len(x) == 1)  # a point alone has no line
    drawn[label] = [*zip(x, y, strict=True)]
    return plot(axes, x, y, style, label=label, **options)

  monkeypatch.setattr(Axes, 'plot', note)
  arguments = f'--workdir={hyper_run}', f'--output={tmp_path}/x.png'
  assert run_command(monkeypatch, 'curves', *arguments) == 0
  lines = metrics.read(hyper_run)
  for split in ('validation', 'train'):
    wanted = [(x['step'], x['bpc']) for x in lines if x['split'] == split]
    assert drawn.pop(f'run, {split}') == wanted
  assert not drawn


def test_runs_are_named_by_what_parts_them():
  assert figures.run_names(['runs/a', 'runs/b/']) == ['a', 'b']
  assert figures.run_names(['one/a/', 'two/a']) == ['one/a', 'two/a']


def test_a_text_of_its_own_is_read_with_its_prompt(hyper_run, monkeypatch):
  own = {'prompt': 'the ', 'length': 5, 'temperature': 1.0, 'seed': 3}
  values = types.SimpleNamespace(text='', checkpoint='best', **own)
  monkeypatch.setattr(command, 'FLAGS', values)
  task, _, text, carries = command.read(hyper_run)
  drawn = ''.join(generate.text(hyper_run, *own.values()))
  assert task.vocabulary.to_bytes(text).decode() == f'the {drawn}'
  assert all(len(x) == len(text) + 1 for x in jax.tree.leaves(carries))


@pytest.mark.parametrize(
  'arguments, line',
  [
    (['weight_change'], 'is a run of LSTMCell, whose weights do not change'),
    (['weight_change', '--workdir=b'], 'weight_change is of one run'),
    (
      ['saturation', '--text=a', '--prompt=b'],
      'give --text, which is read, or',
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

  monkeypatch.setattr(generate, 'draw_numbers', never)
  assert run_command(monkeypatch, *arguments, f'--workdir={plain_run}') == 1
  assert line in capsys.readouterr().err


def test_text_of_several_bytes_comes_whole(hyper_run, monkeypatch):
  task, _ = trained.load_text_model(hyper_run, 'best')
  numbers = task.encode('a – b', 'the text')
  monkeypatch.setattr(
    generate, 'draw_numbers', lambda *arguments: iter(numbers)
  )
  pieces = list(generate.text(hyper_run, '', 5, 1.0, 0))
  assert ''.join(pieces) == 'a – b' and len(pieces) == len(numbers) == 7
  assert pieces[2:5] == ['', '', '–']


def test_steps_are_no_metric(hyper_run, monkeypatch, capsys):
  arguments = f'--workdir={hyper_run}', '--metric=step'
  assert run_command(monkeypatch, 'curves', *arguments) == 1
  assert 'step is no metric; there are: ' in capsys.readouterr().err
