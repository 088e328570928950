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
from hyper.tasks import make_task

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
  """Returns `value` with the type of each leaf: 1, 1.0 and True differ."""
  if isinstance(value, dict):
    return {key: typed(entry) for key, entry in value.items()}
  if isinstance(value, tuple):
    return tuple(typed(entry) for entry in value)
  return type(value), value


def small(**fields: Any) -> ConfigDict:
  return ConfigDict({'seed': 0, 'model': {'units': 4}} | fields).lock()


def test_shipped_configs_are_found():
  assert {'ptb_lstm', 'ptb_hyperlstm', 'mnist_cnn', 'mnist_hyper'} <= set(NAMES)


@pytest.mark.parametrize('name, variant', shipped())
def test_round_trip_of_shipped_configs_is_exact(name, variant):
  config = get(name, variant)
  again = configuration.from_json(configuration.to_json(config))
  assert typed(again.to_dict()) == typed(config.to_dict())
  assert list(again) == list(config)
  assert not configuration.difference(config, again)


def test_round_trip_keeps_types_and_hard_floats():
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


def test_a_config_that_was_read_is_locked():
  config = configuration.from_json(configuration.to_json(small()))
  with pytest.raises(AttributeError):
    config.model.no_such_field = 1


@pytest.mark.parametrize('name', NAMES)
def test_an_unknown_variant_is_named_with_those_there_are(name):
  variants = importlib.import_module(f'configs.{name}').VARIANTS
  with pytest.raises(ValueError) as error:
    get(name, 'embeded')
  assert "'embeded'" in str(error.value)
  assert str(error.value).endswith("Did you mean 'embedded'?")
  for variant in filter(None, variants):
    assert f'{name}.py:{variant}' in str(error.value)


def circle(radius: float, colour: str = 'red') -> tuple[float, str]:
  return radius, colour


SHAPES = {'circle': circle, 'point': lambda: None}


def test_build_calls_the_named_entry():
  fields = ConfigDict({'name': 'circle', 'radius': 2.0})
  assert configuration.build(SHAPES, 'config.shape', fields) == (2.0, 'red')
  assert fields.name == 'circle'  # the config itself is unchanged


@pytest.mark.parametrize(
  'fields, said',
  [
    ({'name': 'square'}, ['config.shape.name', "'square'", 'circle, point']),
    (
      {'name': 'circle', 'radius': 1.0, 'radios': 2.0},
      ['config.shape (circle)', 'radios', 'radius, colour'],
    ),
    ({'name': 'circle'}, ['config.shape (circle)', "'radius'"]),
    ({'name': {}}, ['config.shape.name is {}', 'circle, point']),
    (3, ['config.shape is 3; it must be a section']),
  ],
  ids=['unknown name', 'unknown field', 'missing field', 'name', 'no section'],
)
@pytest.mark.usefixtures('unchecked')
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
def test_a_value_that_json_would_change_is_named(value, said):
  config = get('mnist_cnn').unlock()
  configuration.check(config)
  config.model.units = value
  for refuse in (configuration.to_json, configuration.check):
    with pytest.raises(ValueError, match=re.escape(said)):
      refuse(config)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_cannot_be_saved(value):
  with pytest.raises(ValueError, match='config.model.rate is'):
    configuration.to_json(ConfigDict({'model': {'rate': value}}))


@pytest.mark.parametrize(
  'change, said',
  [
    (lambda fields: fields.pop('schedule'), "has no section 'schedule'"),
    (lambda fields: fields.pop('seed'), "has no field 'seed'"),
    (lambda fields: fields.pop('paper'), "has no field 'paper'"),
    (lambda fields: fields.update(model=3), 'config.model is 3; it must be'),
    (lambda fields: fields.update(seed=True), 'config.seed is True'),
  ],
)
def test_what_every_config_has_is_asked_for(change, said):
  fields = get('mnist_cnn').to_dict()
  configuration.check(ConfigDict(fields))
  change(fields)
  with pytest.raises(ValueError, match=said):
    configuration.check(ConfigDict(fields))


@pytest.mark.parametrize(
  'name, field, said',
  [
    ('mnist_hyper', 'hypernetwork', "no section 'hypernetwork'"),
    ('mnist_hyper', 'l2_rate', "no field 'l2_rate'"),
    ('nmt_lstm', 'decoding', "no section 'decoding'"),
  ],
)
def test_what_a_task_needs_is_asked_for(name, field, said, tmp_path):
  config = get(name).unlock()
  del config[field]
  with pytest.raises(ValueError, match=said):
    make_task(config, '', str(tmp_path))


def test_a_format_newer_than_the_code_is_refused_with_both_numbers():
  fields = json.loads(configuration.to_json(small()))
  assert fields['format'] == configuration.FORMAT
  for number in (configuration.FORMAT + 1, 0, '2', True, None):
    text = json.dumps(fields | {'format': number})
    with pytest.raises(ValueError) as error:
      configuration.from_json(text)
    assert f'of format {number!r}' in str(error.value)
    assert f'formats 1 to {configuration.FORMAT}' in str(error.value)


@pytest.mark.parametrize(
  'assignment, path, value',
  [
    ('data.batch_size=7', 'data.batch_size', 7),
    ('l2_rate=1', 'l2_rate', 1.0),
    ('data.source=embedded', 'data.source', 'embedded'),
    ("data.source='a b'", 'data.source', 'a b'),
    ('data.source=12', 'data.source', '12'),
    ('paper=a=b', 'paper', 'a=b'),
    ('data.flip=False', 'data.flip', False),
    ('data.mean=[1.0, 2.0]', 'data.mean', (1.0, 2.0)),
    ('data.mean=1.0', 'data.mean', (1.0,)),
  ],
)
def test_a_field_is_changed_in_a_copy(assignment, path, value):
  config = get('cifar10_wrn')
  before = config.to_dict()
  changed = configuration.change(config, [assignment])
  found = flatten_dict(changed.to_dict(), sep='.')[path]
  assert typed(found) == typed(value)
  assert config.to_dict() == before != changed.to_dict()
  assert changed.is_locked


@pytest.mark.parametrize(
  'assignment, said',
  [
    ('data.batchsize=7', "no field 'data.batchsize'. Did you mean 'data.batch"),
    ('xyz=7', "no field 'xyz'. The fields are: "),
    ('data=7', "no field 'data'"),
    ('data.batch_size=x', "value is 'x'; it must be of type int"),
    ('data.batch_size=None', 'value is None; it must be of type int'),
    ('data.batch_size={[]:1}', 'it must be of type int'),
    ('data.batch_size', 'it must be of type int'),
    ('data.mean=None', 'value is None; it must be of type tuple'),
  ],
)
def test_a_change_that_does_not_fit_is_named(assignment, said):
  with pytest.raises(ValueError) as error:
    configuration.change(get('cifar10_wrn'), [assignment])
  assert str(error.value).startswith(f'--set={assignment}: ')
  assert said in str(error.value)


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
    ('sizes', 3, 'section.sizes is 3; it must be a tuple'),
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
def test_a_saved_config_is_read_with_todays_fields(path):
  saved = configuration.from_json(path.read_text())
  run = json.loads((path.parent / 'run.json').read_text())
  name, variant = re.search(
    r'configs/(\w+)\.py:?(\w*)', run['command']
  ).groups()
  if name in ('mnist_cnn', 'mnist_hyper') and 'decayed' not in str(path):
    variant = 'paper'  # its name since then
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
