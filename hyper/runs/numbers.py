"""The numbers that a compiled step takes as arguments, by their config path.

Two configs that differ only in such numbers share one compiled step. Zero is
structure: a rate of 0 leaves its computation out of the program.
"""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ml_collections import ConfigDict

from hyper.configuration import CHANGEABLE, MESH, Fields, flatten

Numbers = Mapping[str, Any]  # floats and tuples of floats, or arrays for them
NONE: Numbers = MappingProxyType({})
# The compiled step reads none of them.
UNSEEN = {*CHANGEABLE, 'seed', 'paper'} - {*MESH}


def numbers_of(config: ConfigDict, paths: Iterable[str]) -> dict[str, Any]:
  """Returns the numbers at `paths` of a config that exist and are not 0.

  >>> config = ConfigDict({'model': {'dropout_rate': 0.1}, 'l2_rate': 0})
  >>> numbers_of(config, ('l2_rate', 'model.dropout_rate', 'x'))
  {'model.dropout_rate': 0.1}
  """
  flat = flatten(config)
  found: dict[str, Any] = {}
  for path in paths:
    value = flat.get(path, 0)
    if isinstance(value, tuple):
      if any(value):
        found[path] = tuple(float(entry) for entry in value)
    elif value:
      found[path] = float(value)
  return found


def with_numbers(
  fields: Fields, section: str, numbers: Numbers
) -> dict[str, Any]:
  """Returns `fields` of a section with those at paths in `numbers` replaced.

  >>> fields = {'units': 8, 'cell': {'dropout_rate': 0.1}}
  >>> with_numbers(fields, 'model', {'model.cell.dropout_rate': 0.2})
  {'units': 8, 'cell': {'dropout_rate': 0.2}}
  """
  return {
    name: with_numbers(value, f'{section}.{name}', numbers)
    if isinstance(value, Mapping)
    else numbers.get(f'{section}.{name}', value)
    for name, value in fields.items()
  }


def structure(config: ConfigDict, numbers: Iterable[str]) -> str:
  """Returns a key, equal for two configs if one compiled step serves both.

  >>> one, other, zero = (
  ...   ConfigDict({'seed': k, 'l2_rate': rate, 'units': 8})
  ...   for k, rate in enumerate((0.1, 0.2, 0.0))
  ... )
  >>> structure(one, ['l2_rate']) == structure(other, ['l2_rate'])
  True
  >>> structure(one, ['l2_rate']) == structure(zero, [])
  False
  """
  flat = flatten(config)
  seen = {path: value for path, value in flat.items() if path not in UNSEEN}
  return json.dumps(seen | dict.fromkeys(numbers), sort_keys=True)
