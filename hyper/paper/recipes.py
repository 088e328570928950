"""The shipped config that a config was made from, and what was changed.

`config.paper` names it, as file and variant. The folder configs/ stands beside
the package in the repository and is no part of it; without it, changes are
unknown.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from hyper import paper
from hyper.configuration import flatten

# Fields that change a score only by chance.
IRRELEVANT = (
  *('paper', 'seed', 'eval_every_steps', 'save_every_steps'),
  *('log_every_steps', 'sample_every_steps'),
  *('data.eval_batch_size', 'decoding.batch_size'),
  *('model.remat', 'model.remat_steps'),
  *('mesh.data', 'mesh.model', 'mesh.fsdp', 'accumulate_steps'),
)


def load(name: str) -> ConfigDict | None:
  """Returns a shipped config, or None where configs/ is not at hand.

  Args:
    name: file and variant, such as 'ptb_hyperlstm:large_embedding'.

  Raises:
    ValueError: the file has no such variant, or is no config.
  """
  file, _, variant = name.partition(':')
  try:
    module = importlib.import_module(f'configs.{file}')
  except ModuleNotFoundError:
    return None
  if not hasattr(module, 'get_config'):
    raise ValueError(f'configs/{file}.py is no config: it has no get_config.')
  return module.get_config(variant)


def argument(name: str) -> str:
  """Returns a shipped config as --config takes it.

  >>> argument('ptb_lstm:1250')
  'configs/ptb_lstm.py:1250'
  """
  file, colon, variant = name.partition(':')
  return f'configs/{file}.py{colon}{variant}'


def changes(
  recipe: ConfigDict, config: ConfigDict
) -> dict[str, tuple[Any, Any]]:
  """Returns `(old, new)` for each field that may change the score.

  A field that one of the two lacks counts as None.
  """
  before, after = flatten(recipe), flatten(config)
  return {
    field: (before.get(field), after.get(field))
    for field in sorted(before | after)
    if field not in IRRELEVANT and before.get(field) != after.get(field)
  }


def in_words(changed: Mapping[str, tuple[Any, Any]]) -> str:
  """Returns changes on one line.

  >>> in_words({'model.layers': (1, 2), 'data.path': ('', 'photos')})
  "model.layers 1 -> 2, data.path '' -> photos"
  """
  return ', '.join(
    f'{field} {shown(old)} -> {shown(new)}'
    for field, (old, new) in changed.items()
  )


def shown(value: Any) -> str:
  """Returns a value of a field as text, which is never empty."""
  return str(value) or repr(value)


def describe(config: ConfigDict) -> str:
  """Returns the paper's figure for a config, or why it has none."""
  found, none = paper.find(config.paper), 'paper: no figure for this config'
  if not found:
    return none
  recipe = load(config.paper)
  if recipe is None:
    return f'{none}, since configs/ is not there to compare it with'
  if changed := changes(recipe, config):
    return f'{none}; from {config.paper} it differs in {in_words(changed)}'
  return f'paper: {paper.describe(*found)}'
