"""Handwriting from its configs to samples that one can look at."""

import importlib
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dropped import zero_shares

import evaluate
import train
from hyper import configuration, export, generate, losses, trained
from hyper.cells import LSTMCell
from hyper.data import embedded
from hyper.decode import sample_moves
from hyper.drawing import handwriting as pictures
from hyper.models.handwriting import HandwritingModel, shifted
from hyper.runs import folder, metrics, training
from hyper.tasks import handwriting
from hyper.tasks.handwriting import Handwriting


def get(name, variant=''):
  return importlib.import_module(f'configs.{name}').get_config(variant)


@pytest.mark.parametrize('variant', ['', 'layers_3'])
def test_unregularised_rows_differ_in_regularisation_alone(variant):
  other = f'{variant}_unregularised' if variant else 'unregularised'
  changed = configuration.difference(
    get('iam_lstm', variant), get('iam_lstm', other)
  )
  assert {line.split(':')[0] for line in changed} == {
    *('data.scale_range', 'model.cell.dropout_rate'),
    *('model.output_dropout_rate', 'paper'),
  }


M, UNITS = 3, 5


@pytest.fixture(scope='module')
def model():
  """Returns a model of two layers, and parameters unlike the initial ones."""
  model = HandwritingModel([LSTMCell(UNITS), LSTMCell(UNITS)], M)
  params = model.init(jax.random.key(0), model.zeros(1), jnp.zeros((1, 1, 3)))
  leaves, tree = jax.tree.flatten(params)
  rng = np.random.default_rng(0)
  leaves = [rng.normal(size=x.shape).astype('f') for x in leaves]
  return model, tree.unflatten(leaves)


def random_steps(seed, *shape):
  rng = np.random.default_rng(seed)
  ends = rng.integers(0, 2, (*shape, 1))
  steps = np.concatenate([rng.normal(size=(*shape, 2)), ends], -1)
  return jnp.asarray(steps, 'f')


def test_an_output_depends_only_on_earlier_moves(model):
  model, params = model
  steps = random_steps(1, 1, 5)

  def outputs(steps):
    return model.apply(params, model.zeros(1), shifted(steps))[1][0]

  jacobian = jax.jit(jax.jacobian(outputs))(steps)[:, :, 0]  # [t, k, t, 3]
  reached = np.abs(jacobian).max((1, 3)) > 0
  np.testing.assert_array_equal(reached, np.tri(5, k=-1, dtype=bool))


def test_layers_are_stacked_without_skips(model):
  model, params = model
  inputs = {
    name: x['w_x'].shape[0]
    for name, x in params['params'].items()
    if 'cells' in name
  }
  assert sorted(inputs.values()) == [3, UNITS]
  assert params['params']['mixture']['kernel'].shape == (UNITS, 6 * M + 1)


@pytest.mark.parametrize('train', [False, True])
def test_dropout_acts_only_after_the_last_layer(model, train):
  model, params = model
  model = model.clone(output_dropout_rate=0.3)
  steps = random_steps(2, 50, 20)
  found = zero_shares(model, params, model.zeros(50), steps, train)
  wanted = {'layers_0': float((steps == 0).mean()), 'layers_1': 0.0}
  wanted['mixture'] = 0.3 * train
  assert found == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize('where', ['output', 'recurrent'])
def test_only_training_drops_out(model, where):
  model, params = model
  rates = {'output': 0.0, 'recurrent': 0.0} | {where: 0.5}
  model = HandwritingModel(
    [LSTMCell(UNITS, dropout_rate=rates['recurrent']) for _ in range(2)],
    M,
    rates['output'],
  )
  steps = random_steps(2, 2, 4)

  @jax.jit
  def run(key):
    rngs = {'dropout': key}
    return [
      model.apply(params, model.zeros(2), steps, train, rngs=rngs)[1]
      for train in (False, True)
    ]

  (plain, one), (same, other) = (run(jax.random.key(k)) for k in (0, 1))
  np.testing.assert_array_equal(plain, same)
  assert np.abs(one - plain).max() > 0.01 < np.abs(one - other).max()


def test_the_derivative_limit_is_of_one_line_of_a_batch():
  cell = {'name': 'lstm', 'units': UNITS}
  model = handwriting.make_model(
    cell, 1, M, 0.0, derivative_limit=10.0, lines=32
  )
  assert model.derivative_limit == 10 / 32


def constant_model(outputs):
  """Predicts the same mixture at every step; counts them in its carry."""

  def apply(carry, steps):
    shape = (*steps.shape[:2], len(outputs))
    return carry + steps.shape[1], jnp.broadcast_to(outputs, shape)

  return apply


def test_samples_have_the_moments_of_the_mixture():
  # Two components, one of correlation 0.8 and one of -0.5.
  weights, rho = np.array([0.7, 0.3]), np.array([0.8, -0.5])
  mu, sigma = np.array([[0, 0], [6, -4]]), np.array([[0.5, 2], [1, 0.3]])
  outputs = np.concatenate(
    [np.log(weights), mu.ravel(), np.log(sigma).ravel(), np.arctanh(rho), [1]]
  ).astype('f')
  prime = jnp.zeros((40, 1, 3))
  steps = np.asarray(
    sample_moves(constant_model(outputs), 0, prime, 500, 0.0, seed=3)
  ).reshape(-1, 3)
  n = len(steps)
  assert steps.shape == (20_000, 3)
  np.testing.assert_allclose(steps[:, 2].mean(), 1 / (1 + np.e**-1), atol=0.015)
  which = (steps[:, 0] > 3).astype(int)
  np.testing.assert_allclose(np.bincount(which) / n, weights, atol=0.015)
  for k in (0, 1):
    moves = steps[which == k, :2]
    np.testing.assert_allclose(moves.mean(0), mu[k], atol=0.06)
    np.testing.assert_allclose(moves.std(0), sigma[k], rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(moves.T)[0, 1], rho[k], atol=0.03)


def test_sampling_reads_the_prime_and_then_its_own_moves():
  narrow = np.full(2, -losses.LOG_SIGMA_BOUND, 'f')

  def apply(carry, steps):
    """Predicts the sum of all moves so far, almost without noise."""
    sums = carry[:, None] + jnp.cumsum(steps[..., :2], 1)
    zero = jnp.zeros((*steps.shape[:2], 1))
    sigma = jnp.broadcast_to(narrow, (*steps.shape[:2], 2))
    outputs = [zero, sums, sigma, zero, zero - 30]
    return sums[:, -1], jnp.concatenate(outputs, -1)

  prime = jnp.float32([[[0, 0, 0], [1, 2, 0]], [[0, 0, 0], [-3, 1, 1]]])
  drawn = sample_moves(apply, jnp.zeros((2, 2)), prime, 4, 0.0, seed=0)
  moves = np.float32([[1, 2], [-3, 1]])[:, None]
  doubling = np.float32([1, 2, 4, 8])[:, None]
  np.testing.assert_allclose(drawn[..., :2], moves * doubling, atol=0.05)
  np.testing.assert_array_equal(drawn[..., 2], 0)
  again, other = (
    sample_moves(apply, jnp.zeros((2, 2)), prime, 4, 0.0, seed)
    for seed in (0, 1)
  )
  np.testing.assert_array_equal(drawn, again)
  assert np.abs(drawn - other).max() > 0


# From the configs to the pictures, shrunk.

SMALL = {
  'data.batch_size': 4,
  'data.eval_batch_size': 8,
  'data.buckets': 1,
  'model.mixtures': 2,
  'model.cell.units': 6,
  'train_steps': 4,
  'eval_every_steps': 2,
  'save_every_steps': 2,
  'log_every_steps': 1,
}
# The first losses, on CPU; see tests/test_experiments.py.
LOSSES = {
  'lstm': (92.9683, 95.2065, 82.0733, 79.5863),
  'hyperlstm': (78.9188, 101.207, 72.308, 104.613),
}
LEARNS = {
  'train_steps': 60,
  'eval_every_steps': 30,
  'save_every_steps': 30,
  'model.cell.units': 24,
  'data.batch_size': 16,
  'schedule.learning_rate': 0.02,
}


def shrunk(name, **fields):
  config = get(name, 'embedded').unlock()
  config.update_from_flattened_dict(SMALL)
  if name == 'iam_hyperlstm':
    config.model.cell.hyper_units = 3
  config.update_from_flattened_dict(fields)
  return config.lock()


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Returns a folder with embedded handwriting of a few short lines."""
  folder = str(tmp_path_factory.mktemp('data'))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(embedded, 'LINES', {'train': 20, 'validation': 6})
    patch.setattr(embedded, 'LINE_LETTERS', 1)
    embedded.load_strokes(folder, 'train')
  return folder


@pytest.fixture(scope='module', params=['iam_lstm', 'iam_hyperlstm'])
def run(request, tmp_path_factory, data_dir):
  """Trains a run; returns its config and its folder."""
  fields = LEARNS if request.param == 'iam_lstm' else {}
  config = shrunk(request.param, **fields)
  workdir = str(tmp_path_factory.mktemp(request.param))
  assert train.train(config, workdir, data_dir) == 0
  return config, workdir


def test_an_experiment_from_training_to_its_score(run, data_dir):
  config, workdir = run
  lines = metrics.read(workdir)
  steps = [x['step'] for x in lines if x['split'] == 'train']
  assert steps == [*range(1, config.train_steps + 1)]
  assert all(np.isfinite(x['nats']) for x in lines)
  losses = [x['loss'] for x in lines if x['split'] == 'train'][:4]
  np.testing.assert_allclose(losses, LOSSES[config.model.cell.name], rtol=2e-5)
  scores = evaluate.evaluate(workdir, 'best', data_dir)
  assert scores['split'] == 'validation'
  best = min(x['nats'] for x in lines if x['split'] == 'validation')
  np.testing.assert_allclose(scores['nats'], best, rtol=1e-6)
  assert scores['samples'] == os.path.join(workdir, 'samples_validation.png')
  for ending in ('png', 'svg'):
    path = os.path.join(workdir, f'samples_validation.{ending}')
    assert os.path.getsize(path) > 1000
  with pytest.raises(ValueError, match='no test part.*--split=validation'):
    evaluate.evaluate(workdir, 'best', data_dir, 'test')


@pytest.mark.parametrize('run', ['iam_lstm'], indirect=True)
def test_training_learns_what_follows(run):
  """The score is far better than one Gaussian and one Bernoulli would give."""
  _, workdir = run
  last = [x for x in metrics.read(workdir) if x['split'] == 'validation'][-1]
  gaussian = np.log(2 * np.pi) + 1  # nats, of deviations 1
  assert last['nats_per_point'] < gaussian - 0.5


def test_strokes_are_drawn_from_the_run_folder_alone(run, tmp_path):
  config, workdir = run
  paths = generate.strokes(
    *(workdir, 2, 9, 0.5, 0), data_dir='/nowhere', output=str(tmp_path / 'my')
  )
  names = [os.path.basename(path) for path in paths]
  kinds = ['my', 'my_density', 'my_weight_change']
  kinds = kinds[: 2 + (config.model.cell.name == 'hyperlstm')]
  assert names == [f'{kind}.{end}' for kind in kinds for end in ('svg', 'png')]
  assert all(os.path.getsize(path) > 1000 for path in paths)


def test_a_path_with_an_ending_names_both_pictures(run, tmp_path):
  _, workdir = run
  paths = generate.strokes(
    *(workdir, 1, 2, 0.0, 0), output=str(tmp_path / 'page.png')
  )
  assert paths[:2] == [str(tmp_path / f'page.{x}') for x in ('svg', 'png')]
  assert sorted(paths) == sorted(map(str, tmp_path.iterdir()))


def test_the_page_of_an_exported_file_lies_beside_it(run, data_dir, tmp_path):
  _, workdir = run
  path = str(tmp_path / 'x.safetensors')
  export.export(workdir, path)
  scores = evaluate.evaluate(path, 'best', data_dir, 'validation')
  assert scores['samples'] == str(tmp_path / 'samples_validation.png')
  assert os.path.getsize(scores['samples']) > 1000


def test_scores_come_without_a_page_that_cannot_be_written(
  run, data_dir, monkeypatch
):
  _, workdir = run

  def refuse(figure, path):
    raise OSError(30, 'Read-only file system', path)

  monkeypatch.setattr('matplotlib.figure.Figure.savefig', refuse)
  scores = evaluate.evaluate(workdir, 'best', data_dir, 'validation')
  assert np.isfinite(scores['nats'])
  assert scores['samples'].startswith('not written: [Errno 30] Read-only')


def test_a_line_may_be_a_single_step_but_no_bias_infinite(run, tmp_path):
  _, workdir = run
  paths = generate.strokes(workdir, 1, 1, 0.0, 0, output=str(tmp_path / 'my'))
  assert all(os.path.getsize(path) > 1000 for path in paths)
  for bias in (float('inf'), float('nan'), -1.0):
    with pytest.raises(ValueError, match=f'bias is {bias}'):
      generate.strokes(workdir, 1, 1, bias, 0)


def test_the_densities_drawn_are_those_of_the_bias(run, tmp_path, monkeypatch):
  _, workdir = run
  seen = []
  monkeypatch.setattr(
    pictures, 'draw_density', lambda *_, **mixture: seen.append(mixture) or []
  )
  for bias in (0.0, 2.0):
    generate.strokes(workdir, 1, 4, bias, 0, output=str(tmp_path / 'my'))
  first = [mixture['deviations'][0] for mixture in seen]  # of the null step
  np.testing.assert_allclose(first[1], first[0] * np.exp(-2.0), rtol=1e-4)


def test_strokes_continue_a_line_of_the_data_or_of_a_file(
  run, data_dir, tmp_path
):
  _, workdir = run
  task = trained.load(workdir, 'latest', data_dir).task
  line = task.find('validation-0003')
  np.testing.assert_array_equal(
    generate.read_prime(task, 'validation-0003'), line.offsets
  )
  own = tmp_path / 'own.json'
  places = [7 * s for s in pictures.to_strokes(line.offsets)]
  own.write_text(str([[stroke.tolist() for stroke in places]]))
  fitted = generate.read_prime(task, str(own))
  ratio = fitted[:, :2] / line.offsets[:, :2]
  np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-2)
  np.testing.assert_array_equal(fitted[:, 2], line.offsets[:, 2])
  with pytest.raises(ValueError, match="no line 'x'.*train-0000"):
    task.find('x')
  with pytest.raises(FileNotFoundError):
    generate.read_prime(task, str(tmp_path / 'nothing.csv'))


def test_a_run_of_another_task_draws_no_strokes(tmp_path):
  folder.save_config(str(tmp_path), get('mnist_cnn', 'embedded'))
  with pytest.raises(ValueError, match="'classify'; a run of 'handwriting' is"):
    generate.strokes(str(tmp_path), 1, 1, 0.0, 0)


NO_DROPOUT = {'model.cell.dropout_rate': 0.0, 'model.output_dropout_rate': 0.0}


@pytest.fixture(scope='module')
def task(data_dir, tmp_path_factory):
  return Handwriting(
    shrunk('iam_lstm', **NO_DROPOUT),
    data_dir,
    str(tmp_path_factory.mktemp('task')),
  )


@pytest.fixture(scope='module')
def evaluated(task):
  """Returns parameters, and the compiled loss of an evaluation."""
  params, _ = task.init(jax.random.key(0))
  loss = jax.jit(
    lambda batch: task.loss(params, {}, batch, jax.random.key(0), False)
  )
  return params, loss


def test_every_line_counts_once_in_the_score(task, evaluated):
  sums = [
    jax.device_get(evaluated[1](batch)[1][1])
    for batch in task.batches('validation', 0, 0)
  ]
  total = training.add_sums(sums)
  lines = task.lines('validation')
  assert total['lines'] == len(lines) == 6
  assert total['count'] == sum(len(line.offsets) for line in lines)


def test_a_lines_nats_are_summed_over_its_own_steps_alone(task, evaluated):
  params, loss = evaluated
  (batch,) = task.batches('validation', 0, 0)
  value, (_, sums) = loss(batch)

  @jax.jit
  def nats_of(steps):
    _, outputs = task.model.apply(
      {'params': params}, task.model.zeros(1), shifted(steps[None])
    )
    return losses.mixture_density(outputs[0], steps)

  expected = []
  for line in task.lines('validation'):
    padded = np.zeros(batch['offsets'].shape[1:], 'f')
    padded[: len(line.offsets)] = task.normalisation.apply(line.offsets)
    nats = nats_of(padded)[: len(line.offsets)]
    expected.append(float(nats.sum()))
  np.testing.assert_allclose(value, np.mean(expected), rtol=1e-5)
  np.testing.assert_allclose(sums['nats'], np.sum(expected), rtol=1e-5)
  # The content of the padding changes nothing.
  mask = np.arange(batch['offsets'].shape[1])[None] < batch['length'][:, None]
  dirty = np.where(mask[..., None], batch['offsets'], np.float32(1e4))
  np.testing.assert_allclose(loss(batch | {'offsets': dirty})[0], value)


def test_scaling_is_drawn_for_each_line_and_axis():
  offsets = jnp.ones((500, 4, 3))
  scaled = handwriting.random_scale(jax.random.key(0), offsets, 0.1)
  factors = np.asarray(scaled)[:, 0, :2]
  np.testing.assert_array_equal(scaled[:, 3, :2], factors)
  np.testing.assert_array_equal(scaled[..., 2], 1)
  assert 0.9 <= factors.min() < 0.902 and 1.098 < factors.max() <= 1.1
  assert abs(np.corrcoef(factors.T)[0, 1]) < 0.15


def test_only_training_scales(task, evaluated):
  params, loss = evaluated
  batch = jax.device_put(next(task.batches('validation', 0, 0)))

  @jax.jit
  def train_loss(seed):
    return task.loss(params, {}, batch, jax.random.key(seed), True)[0]

  values = [float(train_loss(seed)) for seed in (0, 1)]
  assert len({*values, float(loss(batch)[0])}) == 3


def test_rates_are_arguments_of_the_step(data_dir, tmp_path):
  task = Handwriting(shrunk('iam_lstm'), data_dir, str(tmp_path))
  assert task.numbers == {
    'data.scale_range': 0.1,
    'model.output_dropout_rate': 0.05,
    'model.cell.dropout_rate': 0.05,
  }


def test_the_log_explains_the_nats(task):
  described = '\n'.join(task.describe())
  for part in ('density', 'negative', 'padding', 'no test part', '20 lines'):
    assert part in described


@pytest.mark.parametrize(
  'field, value, message',
  [
    ('data.source', 'paper', "is 'paper'; allowed: iam, pen, embedded"),
    ('data.batch_size', 0, 'config.data.batch_size is 0'),
    ('data.buckets', 0, 'config.data.buckets is 0'),
    ('data.scale_range', 1.0, 'config.data.scale_range is 1.0'),
    ('model.cell.name', 'mgu', "config.model.cell.name is 'mgu'"),
    ('model.layers', 0, r'config.model.layers is 0'),
    ('model.mixtures', 0, r'mixtures is 0'),
    ('model.output_dropout_rate', 1.5, 'output_dropout_rate is 1.5'),
  ],
)
def test_a_bad_config_is_named_before_data_are_read(
  field, value, message, tmp_path
):
  config = shrunk('iam_lstm', **{field: value})
  with pytest.raises(ValueError, match=message):
    Handwriting(config, '/nowhere', str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()
