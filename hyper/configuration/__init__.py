"""Configs: from a file or the command line to arguments and JSON, and back.

A config is a locked `ConfigDict`. A section of it becomes the arguments of a
function or a class (`build`, `splat`), which checks them; the whole of it is
saved with a run (`to_json`, `from_json`), and read back exactly.
"""

from hyper.configuration.arguments import (
  Fields,
  build,
  check_positive,
  check_source,
  check_type,
  is_of,
  select,
  splat,
)
from hyper.configuration.saved import (
  CHANGEABLE,
  FORMAT,
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
  'Fields',
  'build',
  'change',
  'check',
  'check_fields',
  'check_positive',
  'check_source',
  'check_type',
  'difference',
  'flatten',
  'from_json',
  'is_of',
  'select',
  'splat',
  'to_json',
  'upgrade',
]
