"""The fields of a config as arguments, checked when they are used."""

import dataclasses
import difflib
import inspect
import pathlib
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

from ml_collections import ConfigDict

Fields: TypeAlias = Mapping[str, Any] | ConfigDict  # a section of a config
LEAVES = (bool, int, float, str)


def build(
  table: Mapping[str, Any],
  section: str,
  fields: Fields,
  **given: Any,
) -> Any:
  """Calls the entry of `table` that the field `name` chooses.

  Args:
    table: the entries to choose from, by name.
    section: the place of the fields in the config, for messages.
    fields: `name`, and the keyword arguments of the entry.
    **given: further keyword arguments, which are not in the config.

  Returns:
    The result of the call.

  Raises:
    ValueError: the name is unknown, a field is missing or unknown, or a value
      is of another type than annotated.

  >>> from hyper.cells import CELLS
  >>> build(CELLS, 'model.cell', {'name': 'gru', 'units': 5}).units
  5
  """
  check_section(section, fields)
  arguments = dict(fields)
  name = arguments.pop('name', None)
  if not isinstance(name, str) or name not in table:
    raise ValueError(
      f'{section}.name is {name!r}; allowed: {", ".join(sorted(table))}.'
    )
  return splat(table[name], f'{section} ({name})', arguments, **given)


def splat(
  target: Callable[..., Any],
  section: str,
  fields: Fields,
  **given: Any,
) -> Any:
  """Calls `target` with the fields of a section as its keyword arguments.

  Args:
    target: a function or a class.
    section: the place of the fields in the config, for messages.
    fields: keyword arguments of `target`.
    **given: further keyword arguments, which are not in the config.

  Returns:
    The result of the call.

  Raises:
    ValueError: a field is missing or unknown, or its value is not of the
      annotated type, if that is a plain type or a tuple of one.

  >>> layers = lambda units, count: [units] * count
  >>> splat(layers, 'model', {'units': 8}, count=2)
  [8, 8]
  """
  check_section(section, fields)
  signature = inspect.signature(target)
  allowed = [k for k in signature.parameters if k not in (*given, *_FLAX)]
  unknown = sorted(set(fields) - set(allowed))
  if unknown:
    raise ValueError(
      f'{section} has {", ".join(unknown)}, which is not among its fields: '
      f'{", ".join(allowed) or "there are none"}.{nearest(unknown[0], allowed)}'
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


def check_section(place: str, fields: Any) -> None:
  """Raises a ValueError if `fields`, at `place` in a config, is no section."""
  if not isinstance(fields, Mapping | ConfigDict):
    raise ValueError(f'{place} is {fields!r}; it must be a section.')


def nearest(path: str, fields: Iterable[str]) -> str:
  """Returns a question that suggests the names nearest to a mistyped one.

  >>> nearest('unit', ['seed', 'model.units'])
  " Did you mean 'model.units'?"
  >>> nearest('x', ['seed'])
  ''
  """
  known = list(fields)
  near = difflib.get_close_matches(path, known, 3, 0.8)
  last = {name.rpartition('.')[2] for name in known}
  alike = difflib.get_close_matches(path.rpartition('.')[2], last, 2, 0.8)
  near += [x for x in known if x.rpartition('.')[2] in alike and x not in near]
  return _question(near[:4])


def nearest_or_all(path: str, fields: Iterable[str]) -> str:
  """Returns what `nearest` does, or a sentence that lists all fields.

  >>> nearest_or_all('x', ['seed', 'task'])
  ' The fields are: seed, task.'
  """
  known = list(fields)
  return nearest(path, known) or f' The fields are: {", ".join(known)}.'


def check_file(config: str) -> None:
  """Raises a FileNotFoundError unless the file of FILE[:variant] exists.

  The message suggests files of similar names, in `configs` or in its folder.
  """
  path = pathlib.Path(config.partition(':')[0])
  if path.is_file():
    return
  known = {
    other.stem: str(other)
    for folder in (path.parent, pathlib.Path('configs'))
    for other in sorted(folder.glob('*.py'))
  }
  near = difflib.get_close_matches(path.stem, known)
  raise FileNotFoundError(
    f'--config={path}: there is no such file.'
    f'{_question([known[stem] for stem in near])}'
  )


def _question(near: list[str]) -> str:
  return f' Did you mean {" or ".join(map(repr, near))}?' if near else ''


def check_type(place: str, value: Any, wanted: Any) -> None:
  """Raises a ValueError if `value` is not of the type `wanted`.

  Args:
    place: the place of the value in the config, for the message.
    value: the value of a field.
    wanted: an annotation. Only bool, int, float, str, and tuples of one of
      them are checked. A union with float counts as float.

  >>> check_type('config.seed', 1.5, int)
  Traceback (most recent call last):
  ValueError: config.seed is 1.5; it must be of type int.
  """
  wanted = without_arrays(wanted)
  is_tuple = typing.get_origin(wanted) is tuple
  kinds = [without_arrays(x) for x in typing.get_args(wanted)] * is_tuple
  if is_tuple and not isinstance(value, tuple | list):
    raise ValueError(f'{place} is {value!r}; it must be a tuple.')
  if kinds and kinds[0] in LEAVES:
    if ... not in kinds and len(value) != len(kinds):
      raise ValueError(
        f'{place} is {value}; it must have {len(kinds)} entries.'
      )
    if not all(is_of(entry, kinds[0]) for entry in value):
      raise ValueError(
        f'{place} is {value}; its entries must be of type {kinds[0].__name__}.'
      )
  elif wanted in (*LEAVES, tuple) and not is_of(value, wanted):
    raise ValueError(
      f'{place} is {value!r}; it must be of type {wanted.__name__}.'
    )


def without_arrays(wanted: Any) -> Any:
  """Returns float for a union with float, Any for another, else `wanted`."""
  if typing.get_origin(wanted) in (typing.Union, types.UnionType):
    return float if float in typing.get_args(wanted) else Any
  return wanted


def is_of(value: Any, kind: type) -> bool:
  """Returns whether `value` is of type `kind`.

  A bool is no int, and an int is a float. An array is a float too: it replaces
  a number as an argument of a compiled step, see `hyper.runs.numbers`.

  >>> is_of(True, int), is_of(1, float)
  (False, True)
  """
  if hasattr(value, 'dtype'):
    return kind is float
  is_bool = isinstance(value, bool)
  fits = isinstance(value, (int, float) if kind is float else kind)
  return fits and is_bool == (kind is bool)


_FLAX = ('parent', 'name')  # fields that every Flax module has


def check_positive(section: str, **sizes: int) -> None:
  """Raises a ValueError if one of `sizes` in `section` is below 1.

  >>> check_positive('data', batch_size=0)
  Traceback (most recent call last):
  ValueError: data.batch_size is 0; it must be positive.
  """
  for name, size in sizes.items():
    if size < 1:
      raise ValueError(f'{section}.{name} is {size}; it must be positive.')


def check_source(
  data: Any,
  sources: Collection[str],
  fields: Mapping[str, Collection[str]] = types.MappingProxyType({}),
) -> None:
  """Raises a ValueError unless the source of `data` and its fields agree.

  Args:
    data: a dataclass with the field `source`.
    sources: the allowed names.
    fields: by source, those that only it reads; a source without any is absent.

  Raises:
    ValueError: the source is unknown, or a field that it does not read has
      another value than its default.
  """
  if data.source not in sources:
    raise ValueError(
      f'config.data.source is {data.source!r}; allowed: {", ".join(sources)}.'
    )
  defaults = {x.name: x.default for x in dataclasses.fields(data)}
  for source, names in fields.items():
    for name in set(names) - set(fields.get(data.source, ())):
      if getattr(data, name) != defaults[name]:
        raise ValueError(
          f'config.data.{name} is {getattr(data, name)!r}, which the source '
          f'{data.source!r} does not read; set it to {defaults[name]!r}, or '
          f'config.data.source to {source!r}.'
        )


def select(variants: Mapping[str, Any], variant: str, config: str) -> Any:
  """Returns the entry of `variants` that `variant` names.

  Args:
    variants: the variants of a config file; '' is the plain one.
    variant: the name after the colon of --config.
    config: the file, for the message.

  Raises:
    ValueError: there is no such variant.

  >>> select({'': 1, 'large': 2}, 'large', 'configs/ptb_lstm.py')
  2
  """
  if variant not in variants:
    named = (f'{config}:{name}' if name else config for name in variants)
    raise ValueError(
      f'{config} has no variant {variant!r}; there are: {", ".join(named)}.'
      f'{nearest(variant, filter(None, variants))}'
    )
  return variants[variant]
