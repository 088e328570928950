"""Configs: checked as they are used, saved as JSON, read back exactly."""

import dataclasses
import inspect
import json
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

CONFIG_FILE = 'config.json'
_LEAVES = (bool, int, float, str)


def build(
  table: Mapping[str, Any],
  section: str,
  fields: Mapping[str, Any],
  **given: Any,
) -> Any:
  """Calls the entry of a table that the field `name` names.

  Args:
    table: what there is to choose from.
    section: where in the config the fields stand, for error messages.
    fields: `name`, and the keyword arguments of the entry.
    **given: further keyword arguments, not of the config.

  Raises:
    ValueError: an unknown name, or a field too many or too few.
  """
  arguments = dict(fields)
  name = arguments.pop('name', None)
  if name not in table:
    raise ValueError(
      f'{section}.name is {name!r}; allowed: {", ".join(sorted(table))}.'
    )
  return splat(table[name], f'{section} ({name})', arguments, **given)


def splat(
  target: Callable[..., Any],
  section: str,
  fields: Mapping[str, Any],
  **given: Any,
) -> Any:
  """Calls the target with a section's fields as its keyword arguments.

  Raises:
    ValueError: a field too many or too few, or, where the target's annotation
      is a plain type or a tuple of one, of another type.
  """
  signature = inspect.signature(target)
  allowed = [k for k in signature.parameters if k not in (*given, *_FLAX)]
  unknown = sorted(set(fields) - set(allowed))
  if unknown:
    raise ValueError(
      f'{section} has {", ".join(unknown)}, which is not among its fields: '
      f'{", ".join(allowed) or "it has none"}.'
    )
  try:
    signature.bind(**fields, **given)
  except TypeError as error:
    raise ValueError(f'{section}: {error}.') from error
  for name, value in fields.items():
    check_type(
      f'{section}.{name}', value, signature.parameters[name].annotation
    )
  return target(**fields, **given)


def check_type(place: str, value: Any, wanted: Any) -> None:
  """Raises a ValueError where a value is of another type than wanted.

  Args:
    place: of the value, for the message.
    value: of a config.
    wanted: an annotation; what is neither one of bool, int, float and str nor
      a tuple of them fits always. A union that has float stands for float.
  """
  if typing.get_origin(wanted) in (typing.Union, types.UnionType):
    wanted = float if float in typing.get_args(wanted) else Any
  kinds = typing.get_args(wanted) if typing.get_origin(wanted) is tuple else ()
  if kinds and kinds[0] in _LEAVES and isinstance(value, tuple | list):
    if ... not in kinds and len(value) != len(kinds):
      raise ValueError(
        f'{place} is {value}; it must have {len(kinds)} entries.'
      )
    if not all(is_of(entry, kinds[0]) for entry in value):
      raise ValueError(
        f'{place} is {value}; its entries must be of type {kinds[0].__name__}.'
      )
  elif wanted in _LEAVES and not is_of(value, wanted):
    raise ValueError(
      f'{place} is {value!r}; it must be of type {wanted.__name__}.'
    )


def is_of(value: Any, kind: type) -> bool:
  """True if a value is of a type. A bool is no int; an int may be a float.

  So may an array, the argument of a compiled step in the place of a number
  (see `hyper.runs.numbers`).
  """
  if hasattr(value, 'dtype'):
    return kind is float
  is_bool = isinstance(value, bool)
  fits = isinstance(value, (int, float) if kind is float else kind)
  return fits and is_bool == (kind is bool)


_FLAX = ('parent', 'name')  # fields that every Flax module has


def check_positive(section: str, **sizes: int) -> None:
  """Raises a ValueError that names the first size of a section below 1."""
  for name, size in sizes.items():
    if size < 1:
      raise ValueError(f'{section}.{name} is {size}; it must be positive.')


def check_source(data: Any, sources: Mapping[str, Iterable[str]]) -> None:
  """Checks the source of a data section, and the fields of other sources.

  Args:
    data: a dataclass with the field `source`.
    sources: the names allowed, each with the fields that only it reads.

  Raises:
    ValueError: the source is unknown, or a field that it does not read has
      another value than its default.
  """
  if data.source not in sources:
    raise ValueError(
      f'config.data.source is {data.source!r}; allowed: {", ".join(sources)}.'
    )
  defaults = {x.name: x.default for x in dataclasses.fields(data)}
  for source, names in sources.items():
    for name in set(names) - set(sources[data.source]):
      if getattr(data, name) != defaults[name]:
        raise ValueError(
          f'config.data.{name} is {getattr(data, name)!r}, which the source '
          f'{data.source!r} does not read; set it to {defaults[name]!r}, or '
          f'config.data.source to {source!r}.'
        )


CHANGEABLE = (  # of a run that goes on
  'train_steps',
  'eval_every_steps',
  'save_every_steps',
  'log_every_steps',
  'paper',  # a sentence in folders of older versions
)


def check_run(config: ConfigDict, workdir: str) -> None:
  """Checks that a config can be saved, and is that of a run begun before.

  A run may be made longer or shorter, and be evaluated, saved and logged more
  or less often: none of that changes what its next step does.

  Raises:
    ValueError: the folder holds a run of another config, or a value of the
      config cannot be saved exactly.
  """
  text = to_json(config)
  if not is_run(workdir):
    return
  changes = [
    change
    for change in difference(load(workdir), from_json(text))
    if change.partition(':')[0] not in CHANGEABLE
  ]
  if changes:
    raise ValueError(
      f'{workdir} holds a run of another config. In the folder -> now:\n'
      + ''.join(f'  {line}\n' for line in changes)
      + 'Give a new --workdir, or the old values to go on with that run.'
    )


def save(config: ConfigDict, workdir: str) -> None:
  """Writes the config into a run folder, whole or not at all."""
  path, text = os.path.join(workdir, CONFIG_FILE), to_json(config)
  os.makedirs(workdir, exist_ok=True)
  with open(path + '.partial', 'w', encoding='utf-8') as file:
    file.write(text)
  os.replace(path + '.partial', path)


def is_run(workdir: str) -> bool:
  """Whether a run has begun in a folder."""
  return os.path.exists(os.path.join(workdir, CONFIG_FILE))


def forget(workdir: str) -> None:
  """Takes the config away, so that the folder is no run's any more."""
  os.remove(os.path.join(workdir, CONFIG_FILE))


def load(workdir: str) -> ConfigDict:
  """The config of a run folder, locked.

  Raises:
    FileNotFoundError: it is no run folder.
    ValueError: the file there is damaged.
  """
  path = os.path.join(workdir, CONFIG_FILE)
  if not is_run(workdir):
    raise FileNotFoundError(
      f'{workdir} is no run folder: it has no {CONFIG_FILE}. Give the '
      '--workdir of a run that train.py has started.'
    )
  with open(path, encoding='utf-8') as file:
    try:
      return from_json(file.read())
    except ValueError as error:  # not UTF-8, no JSON, or no JSON object
      raise ValueError(f'{path} is damaged: {error}') from error


def to_json(config: ConfigDict) -> str:
  """JSON of a config whose sequences are tuples, so that it reads back."""
  _check_leaves(config.to_dict(), 'config')
  return json.dumps(config.to_dict(), indent=2, allow_nan=False) + '\n'


def _check_leaves(value: Any, path: str) -> None:
  if isinstance(value, dict):
    for key, entry in value.items():
      _check_leaves(entry, f'{path}.{key}')
  elif isinstance(value, tuple):
    for k, entry in enumerate(value):
      _check_leaves(entry, f'{path}[{k}]')
  elif type(value) not in _LEAVES:
    raise ValueError(
      f'{path} is a {type(value).__name__}; a config holds only bool, int, '
      'float, str, tuples and sections of these.'
    )
  elif isinstance(value, float) and not math.isfinite(value):
    raise ValueError(f'{path} is {value}; a config holds only finite numbers.')


def from_json(text: str) -> ConfigDict:
  """The locked config that `to_json` wrote."""
  fields = json.loads(text)
  if not isinstance(fields, dict):
    raise ValueError(f'a config is a JSON object, not {text[:40]!r}.')
  return ConfigDict(_with_tuples(upgrade(fields))).lock()


def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
  """Returns the fields of a saved config under the names of today.

  Fields that did not exist when the config was saved get the value that trains
  as it did then.
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
  return _merge(added, fields | {'data': data})


def _merge(added: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
  """Returns `fields` with the entries of `added` that they lack."""
  merged = dict(fields)
  for name, value in added.items():
    if not isinstance(value, dict):
      merged.setdefault(name, value)
    elif isinstance(fields.get(name), dict):
      merged[name] = _merge(value, fields[name])
  return merged


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
  if isinstance(value, dict):
    return {key: _with_tuples(entry) for key, entry in value.items()}
  if isinstance(value, list):
    return tuple(_with_tuples(entry) for entry in value)
  return value


def difference(old: ConfigDict, new: ConfigDict) -> list[str]:
  """A line for each field that differs: `path: old -> new`."""
  before, after = _flatten(old.to_dict()), _flatten(new.to_dict())
  return [
    f'{path}: {before.get(path, "absent")!r} -> {after.get(path, "absent")!r}'
    for path in sorted(before.keys() | after.keys())
    if before.get(path, _ABSENT) != after.get(path, _ABSENT)
  ]


_ABSENT = object()


def _flatten(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
  flat: dict[str, Any] = {}
  for key, value in tree.items():
    if isinstance(value, dict) and value:
      flat |= _flatten(value, f'{prefix}{key}.')
    else:
      flat[prefix + key] = value
  return flat


def select(variants: Mapping[str, Any], variant: str, config: str) -> Any:
  """The entry of a config file's variants that the argument names.

  Raises:
    ValueError: there is no such variant.
  """
  if variant not in variants:
    named = ', '.join(f'{config}:{name}' for name in variants if name)
    raise ValueError(
      f'{config} has no variant {variant!r}; there are: {config}, {named}.'
    )
  return variants[variant]
