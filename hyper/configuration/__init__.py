"""Configs: from a file or the command line to arguments and JSON, and back.

A config is a locked `ConfigDict`. `build` and `splat` turn a section of it into
the arguments of a function or a class, which checks them. `to_json` and
`from_json` save a whole config with a run and read it back exactly.
"""

from hyper.configuration.arguments import (
  Fields,
  build,
  check_file,
  check_positive,
  check_source,
  check_type,
  is_of,
  nearest_or_all,
  select,
  splat,
)
from hyper.configuration.described import Fed, describe
from hyper.configuration.saved import (
  CHANGEABLE,
  FORMAT,
  MESH,
  change,
  check,
  check_fields,
  difference,
  flatten,
  from_json,
  to_json,
  upgrade,
)

__all__ = [
  'CHANGEABLE',
  'FORMAT',
  'Fed',
  'Fields',
  'MESH',
  'build',
  'change',
  'check',
  'check_fields',
  'check_file',
  'check_positive',
  'check_source',
  'check_type',
  'describe',
  'difference',
  'flatten',
  'from_json',
  'is_of',
  'nearest_or_all',
  'select',
  'splat',
  'to_json',
  'upgrade',
]
