"""Whole configs: checked, changed field by field, turned into JSON and back."""

import ast
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from hyper.configuration.arguments import (
  LEAVES,
  check_section,
  check_type,
  is_of,
  nearest_or_all,
)

FIELDS: dict[str, type] = {  # that every config has; its task has more
  'task': str,
  'paper': str,
  'seed': int,
  'data': dict,
  'model': dict,
  'optimizer': dict,
  'schedule': dict,
  'mesh': dict,
  'accumulate_steps': int,
  'precision': str,
  'train_steps': int,
  'eval_every_steps': int,
  'save_every_steps': int,
  'log_every_steps': int,
  'sample_every_steps': int,
}

MESH = ('mesh.data', 'mesh.model', 'mesh.fsdp')  # where arrays lie
# Fields that may change in a resumed run: they do not affect its next step.
CHANGEABLE = (
  *('train_steps', 'eval_every_steps', 'save_every_steps'),
  *('log_every_steps', 'sample_every_steps'),
  'paper',  # a sentence in folders of older versions
  *MESH,
)


def check(config: ConfigDict) -> None:
  """Checks that `config` is complete and can be saved exactly.

  Raises:
    ValueError: a field that every config has is missing or of another type, or
      JSON would change a value.
  """
  check_fields(config, FIELDS)
  _check_leaves(config.to_dict(), 'config')


def check_fields(config: ConfigDict, wanted: Mapping[str, type]) -> None:
  """Checks that `config` has the fields `wanted`.

  Args:
    config: a whole config.
    wanted: the type of each field by its name; that of a section is dict.

  Raises:
    ValueError: a field is missing or of another type.
  """
  fields = config.to_dict()
  for name, kind in wanted.items():
    if name not in fields:
      noun = 'section' if kind is dict else 'field'
      raise ValueError(f'the config has no {noun} {name!r}.')
    if kind is dict:
      check_section(f'config.{name}', fields[name])
    check_type(f'config.{name}', fields[name], kind)


FORMAT = 2  # of what `to_json` writes; a file without a number is of format 1


def to_json(config: ConfigDict) -> str:
  """Returns `config` as JSON, with the number of its format.

  Raises:
    ValueError: a value would change when it is read back.

  >>> config = ConfigDict({'model': {'sizes': (25, 25)}})
  >>> from_json(to_json(config)).model.sizes
  (25, 25)
  """
  fields = config.to_dict()
  _check_leaves(fields, 'config')
  content = {'format': FORMAT} | fields
  return json.dumps(content, indent=2, allow_nan=False) + '\n'


def _check_leaves(value: Any, path: str) -> None:
  """Raises a ValueError if `value`, at `path`, would change in JSON."""
  if isinstance(value, dict):
    for key, entry in value.items():
      _check_leaves(entry, f'{path}.{key}')
  elif isinstance(value, tuple):
    for k, entry in enumerate(value):
      _check_leaves(entry, f'{path}[{k}]')
  elif type(value) not in LEAVES:
    raise ValueError(
      f'{path} is a {type(value).__name__}; a config holds only bool, int, '
      'float, str, tuples and sections of these.'
    )
  elif isinstance(value, float) and not math.isfinite(value):
    raise ValueError(f'{path} is {value}; a config holds only finite numbers.')


def from_json(text: str) -> ConfigDict:
  """Returns the config that `to_json` wrote as `text`, locked.

  A config of an older format is upgraded.

  Raises:
    ValueError: `text` is no config, or of a newer format.
  """
  try:
    return _from_json(text)
  except (TypeError, AttributeError, RecursionError) as error:
    raise ValueError(f'it is no config: {error}') from error


def _from_json(text: str) -> ConfigDict:
  fields = json.loads(text)
  if not isinstance(fields, dict):
    raise ValueError(f'a config is a JSON object, not {text[:40]!r}.')
  number = fields.pop('format', 1)
  if not is_of(number, int) or not 1 <= number <= FORMAT:
    raise ValueError(
      f'it is of format {number!r}, and this version of hyper reads formats 1 '
      f'to {FORMAT}. Use the version that wrote it, or a later one.'
    )
  return ConfigDict(_with_tuples(upgrade(fields))).lock()


def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
  """Returns the `fields` of a saved config under today's names.

  Fields that did not exist when the config was saved get the values with which
  it trains as it did then.
  """
  data = fields.get('data')
  if not isinstance(data, dict):
    return fields
  if isinstance(text := data.get('text'), dict):  # of a translation
    rest = {name: x for name, x in data.items() if name != 'text'}
    files = {name: x for name, x in text.items() if name != 'name'}
    data = rest | {'source': text.get('name')} | files
  name, colon, prefix = str(data.get('source')).partition(':')
  if name == 'enwik8' and colon:  # enwik8:4154064
    data = data | {'source': name, 'prefix_bytes': int(prefix)}
  added = _ADDED.get(fields.get('task', ''), {})
  if fields.get('hypernetwork', {}).get('name') == 'static':
    added = added | {'hypernetwork': {'initialisation': 'notebook'}}
  return _merge(added, _OF_ALL | fields | {'data': data})


def _merge(added: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
  """Returns `fields` with the entries of `added` that they lack."""
  merged = dict(fields)
  for name, value in added.items():
    if not isinstance(value, dict):
      merged.setdefault(name, value)
    elif isinstance(fields.get(name), dict):
      merged[name] = _merge(value, fields[name])
  return merged


_OF_ALL: dict[str, Any] = {
  'mesh': {'data': 1, 'model': 1, 'fsdp': False},
  'accumulate_steps': 1,
  'precision': 'default',
  'sample_every_steps': 0,
}
_ADDED: dict[str, dict[str, Any]] = {  # to the configs of a task
  'char_lm': {
    'data': {
      **{'prefix_bytes': 0, 'files': (), 'split': (0.9, 0.05, 0.05)},
      'symbols': 'bytes',
    },
  },
  'classify': {
    'data': {
      **{'mean': (0.0,), 'deviation': (1.0,), 'flip': False},
      **{'path': '', 'split': (0.9, 0.05, 0.05)},
    },
    'l2_rate': 0.0,
  },
  'translate': {
    'data': {
      **{'train': (), 'validation': (), 'test': ()},
      'character_coverage': 0.9995,
    },
    'model': {'bottom_context': False},
  },
}


def _with_tuples(value: Any) -> Any:
  """Returns `value` with tuples in place of lists, at any depth."""
  if isinstance(value, dict):
    return {key: _with_tuples(entry) for key, entry in value.items()}
  if isinstance(value, list):
    return tuple(_with_tuples(entry) for entry in value)
  return value


def difference(old: ConfigDict, new: ConfigDict) -> list[str]:
  """Returns a line for each field that differs between `old` and `new`.

  >>> difference(ConfigDict({'seed': 0}), ConfigDict({'seed': 1}))
  ['seed: 0 -> 1']
  """
  before, after = flatten(old), flatten(new)
  return [
    f'{path}: {before.get(path, "absent")!r} -> {after.get(path, "absent")!r}'
    for path in sorted(before.keys() | after.keys())
    if before.get(path, _ABSENT) != after.get(path, _ABSENT)
  ]


_ABSENT = object()


def flatten(config: ConfigDict, prefix: str = '') -> dict[str, Any]:
  """Returns the value of each field by its path; an empty section is a field.

  >>> flatten(ConfigDict({'seed': 0, 'model': {'units': 8}}))
  {'model.units': 8, 'seed': 0}
  """
  flat: dict[str, Any] = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict) and value:
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[prefix + key] = {} if isinstance(value, ConfigDict) else value
  return flat


def change(
  config: ConfigDict, assignments: Iterable[str], before: str = '--set='
) -> ConfigDict:
  """Returns a copy of `config` with fields replaced, locked.

  Args:
    config: a whole config.
    assignments: each FIELD=VALUE with the whole path of the field, such as
      'data.eval_streams=1'. Values are written as in Python; text needs no
      quotes, and a tuple of one value no brackets.
    before: what stands before the assignments where they come from, for
      messages.

  Raises:
    ValueError: there is no such field, or a value is of another type.

  >>> config = ConfigDict({'model': {'units': 8}})
  >>> change(config, ['model.units=16']).model.units
  16
  """
  changed = config.copy_and_resolve_references()
  for assignment in assignments:
    fields = flatten(changed)
    path, _, text = assignment.partition('=')
    if path not in fields:
      raise ValueError(
        f'{before}{assignment}: there is no field {path!r}.'
        f'{nearest_or_all(path, fields)}'
      )
    value = _parse(text, type(fields[path]))
    check_type(f'{before}{assignment}: the value', value, type(fields[path]))
    changed.update_from_flattened_dict({path: value})
  return changed.lock()


def _parse(text: str, kind: type) -> Any:
  """Returns `text` as a value of type `kind`, else as the value it spells."""
  try:
    value = _with_tuples(ast.literal_eval(text))
  except (ValueError, SyntaxError, TypeError, MemoryError):
    value = text
  if kind is str and not isinstance(value, str):
    return text
  if kind is tuple and isinstance(value, str | int | float):
    return (value,)
  return float(value) if kind is float and is_of(value, int) else value
