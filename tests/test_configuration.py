"""Configs: exact round trips, and errors that name what is wrong."""

import importlib
import json
import math
import pathlib
import re
from typing import Any

import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from hyper import configuration

CONFIGS = pathlib.Path(__file__).parent.parent / 'configs'
RESULTS = sorted(CONFIGS.parent.glob('results/*/config.json'))
NAMES = sorted({path.stem for path in CONFIGS.glob('*_*.py')} - {'__init__'})


def shipped() -> list[tuple[str, str]]:
  return [
    (name, variant)
    for name in NAMES
    for variant in importlib.import_module(f'configs.{name}').VARIANTS
  ]


def get(name: str, variant: str = '') -> ConfigDict:
  return importlib.import_module(f'configs.{name}').get_config(variant)


def typed(value: Any) -> Any:
  """The value with the type of each leaf, so that 1, 1.0 and True differ."""
  if isinstance(value, dict):
    return {key: typed(entry) for key, entry in value.items()}
  if isinstance(value, tuple):
    return tuple(typed(entry) for entry in value)
  return type(value), value


def small(**fields: Any) -> ConfigDict:
  return ConfigDict({'seed': 0, 'model': {'units': 4}} | fields).lock()


def test_the_four_configs_are_found():
  assert {'ptb_lstm', 'ptb_hyperlstm', 'mnist_cnn', 'mnist_hyper'} <= set(NAMES)


@pytest.mark.parametrize('name, variant', shipped())
def test_round_trip_of_shipped_configs_is_exact(name, variant, tmp_path):
  config = get(name, variant)
  configuration.save(config, str(tmp_path))
  again = configuration.load(str(tmp_path))
  assert typed(again.to_dict()) == typed(config.to_dict())
  assert list(again) == list(config)
  assert not configuration.difference(config, again)


def test_round_trip_keeps_types_and_hard_floats(tmp_path):
  config = small(
    one=1,
    unit=1.0,
    yes=True,
    nested=((1, 2.0), ('a',)),
    tiny=5e-324,
    third=1 / 3,
  )
  again = configuration.from_json(configuration.to_json(config))
  assert typed(again.to_dict()) == typed(config.to_dict())


@pytest.mark.parametrize('name, variant', shipped())
def test_a_shipped_config_is_locked(name, variant):
  config = get(name, variant)
  for section in (config, config.data, config.model, config.schedule):
    with pytest.raises(AttributeError):
      section.no_such_field = 1


def test_a_loaded_config_is_locked(tmp_path):
  configuration.save(small(), str(tmp_path))
  config = configuration.load(str(tmp_path))
  with pytest.raises(AttributeError):
    config.model.no_such_field = 1


@pytest.mark.parametrize('name', NAMES)
def test_an_unknown_variant_is_named_with_those_there_are(name):
  variants = importlib.import_module(f'configs.{name}').VARIANTS
  with pytest.raises(ValueError) as error:
    get(name, 'embeded')
  assert "'embeded'" in str(error.value)
  for variant in filter(None, variants):
    assert f'{name}.py:{variant}' in str(error.value)


def circle(radius: float, colour: str = 'red') -> tuple[float, str]:
  return radius, colour


SHAPES = {'circle': circle, 'point': lambda: None}


def test_build_calls_the_named_entry():
  fields = ConfigDict({'name': 'circle', 'radius': 2.0})
  assert configuration.build(SHAPES, 'config.shape', fields) == (2.0, 'red')
  assert fields.name == 'circle'  # the config itself is left as it is


@pytest.mark.parametrize(
  'fields, said',
  [
    ({'name': 'square'}, ['config.shape.name', "'square'", 'circle, point']),
    (
      {'name': 'circle', 'radius': 1.0, 'radios': 2.0},
      ['config.shape (circle)', 'radios', 'radius, colour'],
    ),
    ({'name': 'circle'}, ['config.shape (circle)', "'radius'"]),
  ],
  ids=['unknown name', 'unknown field', 'missing field'],
)
def test_build_names_what_is_wrong(fields, said):
  with pytest.raises(ValueError) as error:
    configuration.build(SHAPES, 'config.shape', fields)
  for part in said:
    assert part in str(error.value)


def test_a_config_cannot_set_what_is_given():
  fields = {'name': 'circle', 'radius': 1.0, 'colour': 'blue'}
  with pytest.raises(ValueError, match='colour'):
    configuration.build(SHAPES, 'config.shape', fields, colour='green')


@pytest.mark.parametrize(
  'value, said',
  [
    (None, 'config.model.units is a NoneType'),
    ((1, None), 'config.model.units[1] is a NoneType'),
    ([1, 2], 'config.model.units is a list'),
    (((1, [2]),), 'config.model.units[0][1] is a list'),
  ],
)
def test_a_value_that_json_would_change_is_named(value, said, tmp_path):
  config = ConfigDict({'model': {'units': value}})
  for save in (configuration.save, configuration.check_run):
    with pytest.raises(ValueError, match=re.escape(said)):
      save(config, str(tmp_path))
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_cannot_be_saved(value, tmp_path):
  config = ConfigDict({'model': {'rate': value}})
  with pytest.raises(ValueError):
    configuration.save(config, str(tmp_path))
  assert not list(tmp_path.iterdir())


def test_difference_has_a_line_for_each_changed_field():
  old = small(gone=True, same=(1, 2), schedule={'name': 'constant'})
  new = small(came='x', same=(1, 2), schedule={'name': 'exponential'})
  new.model.units = 5
  assert configuration.difference(old, new) == [
    "came: 'absent' -> 'x'",
    "gone: True -> 'absent'",
    'model.units: 4 -> 5',
    "schedule.name: 'constant' -> 'exponential'",
  ]


def test_check_run_takes_a_new_folder_and_the_same_config(tmp_path):
  configuration.check_run(small(), str(tmp_path / 'new'))
  assert not (tmp_path / 'new').exists()
  configuration.save(small(), str(tmp_path))
  configuration.check_run(small(), str(tmp_path))


def test_check_run_refuses_another_config_and_shows_the_change(tmp_path):
  configuration.save(small(), str(tmp_path))
  with pytest.raises(ValueError) as error:
    configuration.check_run(small(model={'units': 8}), str(tmp_path))
  assert str(tmp_path) in str(error.value)
  assert 'model.units: 4 -> 8\n' in str(error.value)
  assert 'seed' not in str(error.value)


def test_a_folder_that_is_no_run_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='no run folder') as error:
    configuration.load(str(tmp_path))
  assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize('text', ['', '{"seed": 0', 'seed = 0', '[]', '\xff'])
def test_a_damaged_config_file_is_named(text, tmp_path):
  path = tmp_path / configuration.CONFIG_FILE
  path.write_text(text, encoding='latin-1')
  with pytest.raises(ValueError, match=re.escape(str(path))):
    configuration.load(str(tmp_path))


def test_saving_leaves_one_file_of_readable_json(tmp_path):
  configuration.save(small(), str(tmp_path / 'a' / 'run'))
  configuration.save(small(seed=1), str(tmp_path / 'a' / 'run'))
  (path,) = (tmp_path / 'a' / 'run').iterdir()
  assert path.name == configuration.CONFIG_FILE
  assert json.loads(path.read_text(encoding='utf-8')) == {
    'seed': 1,
    'model': {'units': 4},
  }


def takes(
  sizes: tuple[int, ...],
  rates: tuple[float, float],
  word: str,
  count: int,
  is_on: bool = False,
  other: Any = None,
) -> tuple:
  return sizes, rates, word, count, is_on, other


GOOD = {'sizes': (1, 2), 'rates': (1, 0.5), 'word': 'a', 'count': 3}


@pytest.mark.parametrize(
  'field, value, message',
  [
    ('sizes', (1, 2.5), r'section.sizes is \(1, 2.5\); .* of type int'),
    ('sizes', ('a',), r'its entries must be of type int'),
    ('rates', (1.0,), 'section.rates is .* must have 2 entries'),
    ('rates', (True, 1.0), 'of type float'),
    ('word', 1, 'section.word is 1; it must be of type str'),
    ('count', True, 'section.count is True; it must be of type int'),
    ('count', 1.5, 'of type int'),
    ('is_on', 1, 'of type bool'),
  ],
)
def test_a_value_of_another_type_is_named(field, value, message):
  assert configuration.splat(takes, 'section', GOOD)[:2] == ((1, 2), (1, 0.5))
  with pytest.raises(ValueError, match=message):
    configuration.splat(takes, 'section', GOOD | {field: value})


def fields_of(config):
  return set(flatten_dict(config.to_dict(), sep='.'))


@pytest.mark.parametrize('path', RESULTS, ids=lambda path: path.parent.name)
def test_a_saved_config_is_read_with_the_fields_of_today(path):
  saved = configuration.load(str(path.parent))
  run = json.loads((path.parent / 'run.json').read_text())
  name, variant = re.search(
    r'configs/(\w+)\.py:?(\w*)', run['command']
  ).groups()
  assert fields_of(saved) == fields_of(get(name, variant))
  again = configuration.to_json(saved)
  assert configuration.from_json(again) == saved


def test_old_names_of_sources_are_read():
  def read(task, **data):
    text = json.dumps({'task': task, 'data': data})
    return configuration.from_json(text).data.to_dict()

  found = read('char_lm', source='enwik8:4154064')
  assert (found['source'], found['prefix_bytes']) == ('enwik8', 4_154_064)
  assert read('char_lm', source='enwik8')['prefix_bytes'] == 0
  files = {'train': ['a', 'b'], 'validation': ['c', 'd'], 'test': ['e', 'f']}
  found = read('translate', text={'name': 'files'} | files, batch_size=3)
  assert found.pop('source') == 'files' and found.pop('batch_size') == 3
  assert {k: list(found[k]) for k in files} == files
  assert read('translate', text={'name': 'wmt14'})['train'] == ()
