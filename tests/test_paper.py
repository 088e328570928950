"""The paper's rows: their figures, their configs, and parameter counts."""

import importlib
import pathlib

import jax
import jax.numpy as jnp
import pytest

from hyper import paper
from hyper.configuration import splat
from hyper.paper import recipes
from hyper.runs import folder, training
from hyper.sweeping.search import Search, ends
from hyper.tasks import char_lm, classify, handwriting, translate

ROWS = [(table, row) for table in paper.TABLES for row in table.rows]
OWN = [(table, row) for table, row in ROWS if not row.is_cited]
TRAINED = [row.config for _, row in ROWS if row.config]
SYMBOLS = {'ptb': 50, 'enwik8': 205}
FILES = sorted({config.partition(':')[0] for config in TRAINED})

# Summed over the printed tables, not over ours: label, rows, rows of networks
# that the authors trained, each column of figures, and the column of counts.
SUMS = {
  'Table 7': (2, 2, (1.48,), 16_788),
  'appendix A.1': (2, 2, (8.0,), 201_505),
  'Table 2': (16, 4, (102.85,), 86.244e6),
  'Table 3': (13, 8, (16.664, 11.722), 56.64e6),
  'Table 4': (16, 6, (23.217,), 183.52e6),
  'Table 5': (13, 10, (-13_927.0,), 37.94e6),
  'Table 6': (4, 1, (158.53, 2.020), 0),
}
COUNTED = {
  'mnist_hyper': 4_244,
  'mnist_coordinate': 801,
  'cifar10_hyper_wrn': 96_602,
  'ptb_hyperlstm:two_layer': 14_406_690,
  'enwik8_hyperlstm:2048': 26_539_725,
  'iam_lstm:layers_2': 5_161_771,
}
MISPRINTS = {  # the paper's count, and that of the equations
  'ptb_hyperlstm:large_embedding': ('5.06M', 5_085_170),
  'enwik8_hyperlstm': ('18.78M', 18_727_749),
}


@pytest.mark.parametrize('table', paper.TABLES, ids=lambda table: table.label)
def test_a_table_is_as_printed(table):
  rows, own, figures, counts = SUMS[table.label]
  assert len(table.rows) == rows
  assert len([row for row in table.rows if not row.is_cited]) == own
  columns = zip(*(row.figures for row in table.rows), strict=True)
  found = [sum(x for x in column if x is not None) for column in columns]
  assert found == pytest.approx(figures)
  printed = [paper.number(row.count) for row in table.rows if row.count]
  assert sum(printed) == pytest.approx(counts)


def test_the_authors_trained_31_networks_and_two_of_the_appendix():
  assert len(OWN) == 31 + 2
  assert set(TRAINED) - {row.config for _, row in OWN} == {'nmt_lstm'}
  assert len(set(TRAINED)) == 31 + 2 + 1


def test_computed_counts_are_those_written_out_here():
  for config, count in COUNTED.items():
    assert paper.find(config)[1].computed_count == count


@pytest.mark.parametrize('name', TRAINED)
def test_a_printed_count_is_the_computed_one_rounded(name):
  table, row = paper.find(name)
  if row.config in MISPRINTS:
    assert (row.count, row.parameters) == MISPRINTS[row.config]
    assert not paper.agrees(row)
    assert 'computed: ' in paper.describe(table, row)
  elif row.count:
    assert paper.agrees(row)
    assert 'computed' not in paper.describe(table, row)


def get(name):
  file, _, variant = name.partition(':')
  return importlib.import_module(f'configs.{file}').get_config(variant)


def shapes(table, config):
  """Returns the shapes of the parameters of a config at its full size."""
  key = jax.random.key(0)
  if config.task == 'classify':  # a network needs no data
    return jax.eval_shape(classify.Classify(config, '', '').init, key)[0]
  fields = config.model.to_dict()
  if config.task == 'translate':
    size = config.data.vocabulary_size
    model = translate.make_model(**fields, vocabulary_size=size)
    return jax.eval_shape(model.start, key)
  if config.task == 'handwriting':
    model = handwriting.make_model(**fields, lines=1)
    inputs = jnp.zeros((1, 1, 3))
  else:
    size = SYMBOLS[table.data]
    model = splat(char_lm.make_model, '', fields, vocabulary_size=size)
    inputs = jnp.zeros((1, 1), int)
  return jax.eval_shape(lambda: model.init(key, model.zeros(1), inputs))


@pytest.mark.parametrize('name', TRAINED)
def test_the_config_of_a_row_has_its_parameters_and_data(name):
  (table, row), config = paper.find(name), get(name)
  assert training.count_parameters(shapes(table, config)) == row.parameters
  assert config.data.source == table.data


@pytest.mark.parametrize(
  'config, generated', [('mnist_hyper', 4_244), ('mnist_coordinate', 801)]
)
def test_what_a_count_of_a_part_counts(config, generated):
  _, row = paper.find(config)
  params = shapes(None, get(config))
  free = training.count_parameters(params['network'])
  assert row.parameters - free == row.computed_count == generated


def test_every_variant_that_claims_a_row_trains_it():
  claimed = {}
  for file in FILES:
    for variant in importlib.import_module(f'configs.{file}').VARIANTS:
      name = f'{file}:{variant}' if variant else file
      claimed.setdefault(get(name).paper, []).append(name)
  claimed.pop('')  # other cells, other data, and studies
  assert set(claimed) == set(TRAINED)
  for row, (first, *aliases) in claimed.items():
    assert first == row
    for alias in aliases:
      is_of_mnist = alias.endswith((':paper', ':notebook'))  # other schedules
      assert is_of_mnist or get(alias) == get(row)


def test_a_config_unchanged_has_the_figure_of_its_row():
  config = get('ptb_hyperlstm').copy_and_resolve_references()
  config.seed, config.log_every_steps = 7, 3
  assert recipes.describe(config) == (
    'paper: LN HyperLSTM 1000 (Table 3): test 1.250, validation 1.281 bpc, '
    '4.92M parameters'
  )


def test_a_changed_config_says_in_what_it_differs():
  config = get('mnist_cnn').copy_and_resolve_references()
  config.train_steps, config.optimizer.beta1 = 10, 0.8
  assert recipes.describe(config) == (
    'paper: no figure for this config; from mnist_cnn it differs in '
    'optimizer.beta1 0.9 -> 0.8, train_steps 2750 -> 10'
  )


def test_a_config_without_a_row_has_no_figure(monkeypatch):
  assert 'no figure' in recipes.describe(get('mnist_cnn:embedded'))
  monkeypatch.setattr(recipes, 'load', lambda name: None)
  assert 'configs/ is not there' in recipes.describe(get('mnist_cnn'))


def test_a_missing_shipped_config_is_none():
  assert recipes.load('nothing') is None
  assert recipes.load('mnist_cnn') == get('mnist_cnn')


def test_a_run_of_an_older_version_is_resumed(tmp_path):
  config = get('mnist_cnn').copy_and_resolve_references()
  config.paper = 'test error 0.72 %, 12,544 parameters in the second kernel'
  folder.save_config(str(tmp_path), config)
  folder.check_run(str(tmp_path), get('mnist_cnn'))


@pytest.mark.parametrize('file', FILES)
def test_a_sweep_changes_fields_that_exist(file):
  module = importlib.import_module(f'configs.{file}')
  for variant in module.VARIANTS:
    trials = list(module.get_sweep(variant))
    assert 6 <= len(trials) <= 36
    seen = []
    for fields in trials:
      config = module.get_config(variant).copy_and_resolve_references()
      config.update_from_flattened_dict(fields)  # raises for what is unknown
      assert config not in seen
      seen.append(config)
    if variant == 'embedded':
      shapes(paper.find(file)[0], config)


@pytest.mark.parametrize('file', FILES)
def test_ends_of_what_is_suggested_are_fields_and_values(file):
  path = pathlib.Path(recipes.__file__).parents[2] / f'configs/{file}.py'
  for point in ends(Search('tpe', f'{path}:embedded', {}, 1)):
    shapes(paper.find(file)[0], point.make())
