"""The numbers of every recipe: those of appendix A.3, else our choices.

They are written out here again, so that no slip in a config goes unnoticed.
"""

import importlib

import pytest
from flax.traverse_util import flatten_dict

from hyper.runs import optimization

ADAM = {'optimizer.name': 'adam', 'optimizer.beta1': 0.9}
ADAM |= {'optimizer.beta2': 0.999, 'optimizer.epsilon': 1e-8}


def dropout(in_and_out, recurrent, **others):
  """Returns the dropout rates of a character model, each 1 - keep."""
  return {
    'model.input_dropout_rate': in_and_out,
    'model.output_dropout_rate': in_and_out,
    'model.cell.dropout_rate': recurrent,
  } | others


def hyper_dropout(in_and_out, recurrent, hyper=0.0, **others):
  """Returns the same, with the rate of the hyper cell."""
  others['model.cell.hyper_dropout_rate'] = hyper
  return dropout(in_and_out, recurrent, **others)


TEXT = ADAM | {'optimizer.clip_norm': 1.0, 'schedule.learning_rate': 0.001}
PTB = TEXT | {'data.batch_size': 128, 'data.window_steps': 100}
ENWIK8 = TEXT | {'data.batch_size': 128, 'data.window_steps': 250}
PEN = ADAM | {
  'optimizer.clip_norm': 5.0,
  'schedule.learning_rate': 0.0001,
  'data.batch_size': 32,
  'data.scale_range': 0.1,
  'model.mixtures': 20,
  'model.derivative_limit': 10.0,
  'model.output_dropout_rate': 0.05,
  'model.cell.dropout_rate': 0.05,
}
UNREGULARISED = PEN | {
  'data.scale_range': 0.0,
  'model.output_dropout_rate': 0.0,
  'model.cell.dropout_rate': 0.0,
}
MNIST = ADAM | {
  'optimizer.clip_norm': 0.0,
  'schedule.learning_rate': 0.001,
  'data.batch_size': 1000,
  'data.crop_padding': 1,
  'train_steps': 50 * 55,
}
NOTEBOOK = MNIST | {
  'schedule.learning_rate': 0.005,
  'schedule.decay': 0.999,
  'schedule.minimum': 0.0001,
}
HE, NORMAL = (
  {'hypernetwork.initialisation': name} for name in ('he', 'notebook')
)
PERCEPTRON = MNIST | {'data.crop_padding': 0}
CIFAR10 = {
  'data.batch_size': 128,
  'data.crop_padding': 2,
  'data.flip': True,
  'l2_rate': 0.0005,
  'optimizer.clip_norm': 0.0,
}
PLAIN = CIFAR10 | {
  'optimizer.name': 'sgd',
  'optimizer.momentum': 0.9,
  'optimizer.nesterov': True,
  'schedule.learning_rates': (0.1, 0.02, 0.004, 0.0008, 0.00016),
  'schedule.until_steps': (28_000, 56_000, 84_000, 112_000, 140_000),
  'train_steps': 140_000,
}
GENERATED = {
  **(CIFAR10 | ADAM),
  'hypernetwork.embedding_size': 64,
  'hypernetwork.hidden_size': 64,
  'hypernetwork.tile': (3, 3, 16, 16),
  'schedule.learning_rates': (0.002, 0.001, 0.0002, 0.00005),
  'schedule.until_steps': (168_000, 336_000, 504_000, 672_000),
  'train_steps': 672_000,
}
GNMT = ADAM | {
  'optimizer.clip_norm': 5.0,
  'schedule.learning_rate': 0.0002,
  'data.batch_size': 128,
  'data.vocabulary_size': 32_000,
  'model.layers': 8,
  'model.cell.units': 1024,
  'model.dropout_rate': 0.2,
  'model.start_limit': 0.04,
  'decoding.length_penalty': 0.2,
  'decoding.coverage_penalty': 0.2,
}
RECIPES = {
  'ptb_lstm': PTB | dropout(0.1, 0.1),
  'ptb_lstm:1250': PTB | dropout(0.1, 0.1),
  'ptb_lstm:two_layer': PTB | dropout(0.1, 0.1),
  'ptb_lstm:layer_norm': PTB | dropout(0.1, 0.1),
  'ptb_hyperlstm': PTB | hyper_dropout(0.1, 0.1),
  'ptb_hyperlstm:no_layer_norm': PTB | hyper_dropout(0.1, 0.1),
  'ptb_hyperlstm:large_embedding': PTB | hyper_dropout(0.15, 0.15),
  'ptb_hyperlstm:two_layer': PTB | hyper_dropout(0.2, 0.2),
  'ptb_hyperlstm:hypergru': PTB | hyper_dropout(0.1, 0.1),
  'ptb_hyperlstm:open_questions': PTB
  | hyper_dropout(0.1, 0.1, **{'train_steps': 1_000}),
  'enwik8_lstm': ENWIK8 | dropout(0.0, 0.0),
  'enwik8_lstm:2000': ENWIK8 | dropout(0.0, 0.0),
  'enwik8_lstm:layer_norm': ENWIK8 | dropout(0.0, 0.1),
  'enwik8_hyperlstm': ENWIK8 | hyper_dropout(0.0, 0.1),
  'enwik8_hyperlstm:no_layer_norm': ENWIK8 | hyper_dropout(0.0, 0.1),
  'enwik8_hyperlstm:2048': ENWIK8
  | hyper_dropout(0.0, 0.15, 0.15, **{'data.window_steps': 300}),
  'iam_lstm': PEN,
  'iam_lstm:units_1000': PEN,
  'iam_lstm:layers_2': PEN,
  'iam_lstm:layers_3': PEN,
  'iam_lstm:layer_norm': PEN,
  'iam_lstm:layer_norm_1000': PEN,
  'iam_lstm:unregularised': UNREGULARISED,
  'iam_lstm:layers_3_unregularised': UNREGULARISED,
  'iam_hyperlstm': PEN,
  'iam_hyperlstm:layer_norm': PEN,
  'mnist_cnn': NOTEBOOK,
  'mnist_cnn:notebook': NOTEBOOK,
  'mnist_cnn:paper': MNIST,
  'mnist_hyper': NOTEBOOK | HE,
  'mnist_hyper:notebook': NOTEBOOK | NORMAL,
  'mnist_hyper:paper': MNIST | NORMAL,
  'mnist_mlp': PERCEPTRON,
  'mnist_coordinate': PERCEPTRON,
  'cifar10_wrn': PLAIN,
  'cifar10_wrn:40_1': PLAIN,
  'cifar10_wrn:40_2': PLAIN,
  'cifar10_hyper_wrn': GENERATED,
  'cifar10_hyper_wrn:40_1': GENERATED,
  'cifar10_hyper_wrn:40_2': GENERATED,
  'nmt_lstm': GNMT | {'model.uniform_cells': True},
  'nmt_hyperlstm': GNMT
  | {'model.cell.hyper_units': 128, 'model.cell.embedding_size': 32},
}


def config_of(recipe):
  name, _, variant = recipe.partition(':')
  return importlib.import_module(f'configs.{name}').get_config(variant)


@pytest.mark.parametrize('recipe', RECIPES)
def test_the_numbers_of_a_recipe(recipe):
  fields = flatten_dict(config_of(recipe).to_dict(), sep='.')
  assert {name: fields[name] for name in RECIPES[recipe]} == RECIPES[recipe]


@pytest.mark.parametrize('recipe', RECIPES)
def test_the_schedule_changes_where_it_says(recipe):
  config = config_of(recipe)
  schedule = optimization.make_schedule(config.schedule)
  if config.schedule.name == 'exponential':
    rates = [float(schedule(step)) for step in (0, 1, 1_000_000)]
    assert rates == pytest.approx([0.005, 0.005 * 0.999, 0.0001])
    return
  if config.schedule.name == 'constant':
    pieces = [(config.schedule.learning_rate, config.train_steps)]
  else:
    pieces = zip(
      config.schedule.learning_rates, config.schedule.until_steps, strict=True
    )
  begin = 0
  for rate, end in pieces:
    found = [float(schedule(step)) for step in (begin, end - 1)]
    assert found == pytest.approx([rate, rate])
    begin = end
  assert begin == config.train_steps


def test_every_variant_of_the_paper_has_its_numbers():
  named = {recipe.partition(':')[0] for recipe in RECIPES}
  for name in named:
    module = importlib.import_module(f'configs.{name}')
    published = {x for x in module.VARIANTS if module.get_config(x).paper}
    tested = {x.partition(':')[2] for x in RECIPES if x.split(':')[0] == name}
    assert published <= tested


def test_every_variant_is_long_enough_to_show_a_sample():
  for name in {recipe.partition(':')[0] for recipe in RECIPES}:
    module = importlib.import_module(f'configs.{name}')
    for variant in module.VARIANTS:
      config = module.get_config(variant)
      assert 0 < config.sample_every_steps <= config.train_steps, variant
