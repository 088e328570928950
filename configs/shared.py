"""Sections that recipes share, and how a recipe becomes a config or a sweep."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from hyper import paper
from hyper.configuration import select

Fields = dict[str, Any]  # by path in the config, such as 'model.cell.units'
Trial = Any  # of Optuna, which configs do not import

LSTM = {
  'name': 'lstm',
  'units': 1000,
  'layer_norm': False,
  'dropout_rate': 0.1,
  'forget_bias': 1.0,
  'orthogonal': 'whole',
  'dtype': 'float32',
}
HYPERLSTM = {
  'name': 'hyperlstm',
  'units': 1000,
  'hyper_units': 128,
  'embedding_size': 4,
  'layer_norm': True,
  'hyper_layer_norm': True,
  'dropout_rate': 0.1,
  'hyper_dropout_rate': 0.0,
  'forget_bias': 1.0,
  'hyper_state': 'new',
  'orthogonal': 'whole',
  'scaling_noise': 0.0,
  'dtype': 'float32',
}
HYPERGRU = {
  'name': 'hypergru',
  'units': 1000,
  'hyper_units': 128,
  'embedding_size': 4,
  'layer_norm': True,
  'hyper_layer_norm': True,
  'dropout_rate': 0.1,
  'hyper_dropout_rate': 0.0,
  'hyper_state': 'new',
  'scaling_noise': 0.0,
  'dtype': 'float32',
}
NO_LAYER_NORM = {
  'model.cell.layer_norm': False,
  'model.cell.hyper_layer_norm': False,
}
ADAM = {
  'name': 'adam',
  'clip_norm': 0.0,
  'beta1': 0.9,
  'beta2': 0.999,
  'epsilon': 1e-8,
}


OF_ALL = {  # devices: see docs/devices.md
  'mesh': {'data': 0, 'model': 1, 'fsdp': False},
  'accumulate_steps': 1,
  'precision': 'default',
  'sample_every_steps': 1000,
}


def configure(
  name: str,
  recipe: Mapping[str, Any],
  variants: dict[str, Fields],
  variant: str,
) -> ConfigDict:
  """Returns a variant of a recipe, locked.

  Its field `paper` names the row of hyper.paper that the config trains, and
  is empty if there is none.

  Args:
    name: of the config file, without `.py`.
    recipe: all fields but `paper` and those of OF_ALL.
    variants: what each variant changes; '' is the recipe itself.
    variant: one of them.

  Raises:
    ValueError: there is no such variant.
  """
  fields = select(variants, variant, f'{name}.py')
  full_name = f'{name}:{variant}' if variant else name
  config = ConfigDict({**recipe, **OF_ALL})
  config.paper = full_name if paper.find(full_name) else ''
  config.update_from_flattened_dict(fields)
  return config.lock()


def grid(axes: Mapping[str | tuple[str, ...], Sequence[Any]]) -> list[Fields]:
  """Returns every combination of the values of the fields.

  Args:
    axes: values by field; fields in one tuple get the same value.

  >>> grid({('a.rate', 'b.rate'): (0.1, 0.2)})
  [{'a.rate': 0.1, 'b.rate': 0.1}, {'a.rate': 0.2, 'b.rate': 0.2}]
  """
  trials = []
  for values in itertools.product(*axes.values()):
    pairs = zip(axes, values, strict=True)
    trials.append({f: value for key, value in pairs for f in fields_of(key)})
  return trials


def fields_of(key: str | tuple[str, ...]) -> tuple[str, ...]:
  """Returns the fields of an axis as a tuple."""
  return (key,) if isinstance(key, str) else key


def scaled(value: float, *factors: float) -> tuple[float, ...]:
  """Returns the value times each factor, to three digits.

  >>> scaled(0.0001, 0.3, 1, 3)
  (3e-05, 0.0001, 0.0003)
  """
  return tuple(float(f'{value * factor:.3g}') for factor in factors)


def suggest_rate(trial: Trial, low: float, high: float) -> Fields:
  """Returns a learning rate that a trial of Optuna chooses, on a log scale."""
  name = 'schedule.learning_rate'
  return {name: trial.suggest_float(name, low, high, log=True)}


def suggest_dropout(trial: Trial, fields: Sequence[str]) -> Fields:
  """Returns one rate of dropout for all the fields; it is never 0."""
  return dict.fromkeys(fields, trial.suggest_float('dropout_rate', 0.02, 0.3))


def suggest_one_of(
  trial: Trial, choices: Mapping[str, Sequence[Any]]
) -> Fields:
  """Returns one of the choices of each field."""
  return {
    name: trial.suggest_categorical(name, values)
    for name, values in choices.items()
  }
