"""What the fields of a config are, from the docstrings of what they feed."""

import inspect
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from ml_collections import ConfigDict

from hyper.configuration.saved import flatten

# What a section feeds: classes and functions, of which the first that describes
# a field in its docstring counts; or a table of these, by the section's `name`.
Fed: TypeAlias = Mapping[str, Any] | tuple[Any, ...] | type

WHOLE = {  # the fields of every config
  'task': 'what is trained: data, model and loss',
  'paper': 'the row of hyper.paper that the config trains; empty for none',
  'seed': 'of the first parameters, the order of the data, and dropout',
  'accumulate_steps': 'parts of a batch whose gradients are added up',
  'precision': 'of products: default, float32 or bfloat16',
  'train_steps': 'the last step',
  'eval_every_steps': 'scores the validation split; 0 is only at the end',
  'save_every_steps': 'saves a checkpoint, as each evaluation does',
  'log_every_steps': 'logs the means of the steps since the last time',
  'sample_every_steps': 'shows samples in TensorBoard, at the next evaluation',
}
# The entry of a name, or of several with commas, in `Attributes:` or `Args:`.
ENTRY = re.compile(r'^  ((?:\w+, )*\w+): (.*(?:\n {4,}\S.*)*)', re.M)
PARTS = re.compile(r'^(?:Attributes|Args):\n((?:(?:  .*)?\n)*)', re.M)
SENTENCE = re.compile(r'(?<!et al)\.(?: |$)')
VALUE_WIDTH = 20


def describe(config: ConfigDict, sections: Mapping[str, Fed]) -> list[str]:
  """Returns a line for each field: its path, its value, and what it is.

  Args:
    config: any.
    sections: what each section feeds, by its path; '' is the whole config.
  """
  fields = flatten(config)
  width = max(map(len, fields))
  return [
    f'{path:{width}}  {value!r:{VALUE_WIDTH}}  '
    f'{field(config, sections, path)}'.rstrip()
    for path, value in fields.items()
  ]


def field(config: ConfigDict, sections: Mapping[str, Fed], path: str) -> str:
  """Returns the description of a field; '' if no docstring has one."""
  if path in WHOLE:
    return WHOLE[path]
  section, _, name = path.rpartition('.')
  fed = sections.get(section, ())
  if isinstance(fed, Mapping):
    if name == 'name':
      return f'one of {", ".join(fed)}'
    fed = fed.get(flatten(config).get(f'{section}.name', ''), ())
  for source in fed if isinstance(fed, tuple) else (fed,):
    if text := entries(source).get(name):
      return text
  return ''


def entries(source: Any) -> dict[str, str]:
  """Returns the first sentence on each attribute or argument of `source`.

  Those of base classes count too.

  >>> def scale(x, factor):
  ...   '''Scales `x`.
  ...
  ...   Args:
  ...     x: a number.
  ...     factor: what it is multiplied
  ...       by; not 0.
  ...   '''
  >>> entries(scale)
  {'x': 'a number', 'factor': 'what it is multiplied by; not 0'}
  """
  found: dict[str, str] = {}
  bases = inspect.getmro(source)[::-1] if inspect.isclass(source) else (source,)
  for each in bases:
    doc = inspect.cleandoc(each.__doc__ or '') + '\n'
    for part in PARTS.findall(doc):
      for names, text in ENTRY.findall(part):
        line = SENTENCE.split(' '.join(text.split()))[0]
        found |= dict.fromkeys(names.split(', '), line)
  return found
