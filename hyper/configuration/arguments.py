"""The fields of a config as arguments, checked when they are used."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
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
  """Calls the entry of `table` that the field `name` names.

  Args:
    table: the entries to choose from.
    section: where in the config the fields stand, for error messages.
    fields: `name`, and the keyword arguments of the entry.
    **given: further keyword arguments, not of the config.

  Raises:
    ValueError: the name is unknown, a field is missing or not among the
      entry's, or its value is of another type.
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
  """Calls `target` with a section's fields as its keyword arguments.

  Raises:
    ValueError: a field is missing or not among the target's, or its value is
      not of the annotated type, if that is a plain type or a tuple of one.
  """
  check_section(section, fields)
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


def check_section(place: str, fields: Any) -> None:
  """Raises a ValueError if `fields`, at `place` in a config, is no section."""
  if not isinstance(fields, Mapping | ConfigDict):
    raise ValueError(f'{place} is {fields!r}; it must be a section.')


def check_type(place: str, value: Any, wanted: Any) -> None:
  """Raises a ValueError if `value` is not of the type `wanted`.

  Args:
    place: where the value stands, for the message.
    value: of a config.
    wanted: an annotation. Only bool, int, float, str, and tuples of one of
      them, are checked. A union that has float stands for float.
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
  """Returns whether a value is of a type; a bool is no int, an int a float.

  An array is a float too: it is the argument of a compiled step in the place of
  a number, see `hyper.runs.numbers`.
  """
  if hasattr(value, 'dtype'):
    return kind is float
  is_bool = isinstance(value, bool)
  fits = isinstance(value, (int, float) if kind is float else kind)
  return fits and is_bool == (kind is bool)


_FLAX = ('parent', 'name')  # fields that every Flax module has


def check_positive(section: str, **sizes: int) -> None:
  """Raises a ValueError that names the first size of `section` below 1."""
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


def select(variants: Mapping[str, Any], variant: str, config: str) -> Any:
  """Returns the entry of a config file's variants that the argument names.

  Raises:
    ValueError: there is no such variant.
  """
  if variant not in variants:
    named = ', '.join(f'{config}:{name}' for name in variants if name)
    raise ValueError(
      f'{config} has no variant {variant!r}; there are: {config}, {named}.'
    )
  return variants[variant]
