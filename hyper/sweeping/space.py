"""What varies in a sweep: configs, and the values of their fields.

Beside `get_config(variant)` a config file may have `get_sweep(variant)`, which
returns a grid as fields and values of each trial, and `suggest(trial)`, which
returns the fields of one trial by the `suggest_*` methods of Optuna's trial.
"""

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from hyper import configuration

Fields = Mapping[str, Any]  # by path in the config, such as 'model.cell.units'
# A value of a list: in parentheses, in quotes, or up to a comma.
VALUE = re.compile(r"""(?:\([^()]*\)|'[^']*'|"[^"]*"|[^,()'"])+""")


@dataclasses.dataclass(frozen=True)
class Point:
  """A config and the fields that a trial replaces in it.

  Attributes:
    config: FILE[:variant].
    fields: value by path.
  """

  config: str
  fields: Fields

  @property
  def key(self) -> str:
    """Returns a text that only equal points share."""
    return json.dumps([self.config, dict(self.fields)], sort_keys=True)

  def make(self) -> ConfigDict:
    """Returns the config with its fields replaced.

    Raises:
      ValueError: there is no such field, or a value is of another type.
    """
    given = [f'{path}={value!r}' for path, value in self.fields.items()]
    return configuration.change(load(self.config), given, '')

  def command(self, workdir: str, data_dir: str) -> list[str]:
    """Returns the command that trains the point."""
    fields = [f'--config.{path}={x}' for path, x in self.fields.items()]
    where = [f'--workdir={workdir}', f'--data_dir={data_dir}']
    return ['python', 'train.py', f'--config={self.config}', *fields, *where]

  def line(self, workdir: str, data_dir: str, *flags: str) -> str:
    """Returns the command, with further flags, as a line for a shell."""
    return shlex.join([*self.command(workdir, data_dir), *flags])


def load(config: str) -> ConfigDict:
  """Returns the config that FILE[:variant] names."""
  return call(config, 'get_config')


def call(config: str, name: str) -> Any:
  """Returns what a function of a config file returns for the variant.

  Args:
    config: FILE[:variant].
    name: of the function; if the file does not have it, the result is None.
  """
  path, _, variant = config.partition(':')
  function = getattr(module(path), name, None)
  return function and function(*([variant] if variant else []))


def module(path: str) -> Any:
  """Returns a config file as a module.

  Raises:
    ValueError: it cannot be imported.
    FileNotFoundError: there is no such file.
  """
  configuration.check_file(path)
  spec = importlib.util.spec_from_file_location('sweep_config', path)
  if spec is None or spec.loader is None:
    raise ValueError(f'--config={path} is no Python file.')
  loaded = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(loaded)
  except Exception as error:  # the file may raise anything
    raise ValueError(f'--config={path} cannot be read: {error!r}') from error
  return loaded


def fixed_fields(config: str, assignments: Sequence[str]) -> Fields:
  """Returns the fields that --set replaces, each FIELD=VALUE."""
  return dict(value_of(load(config), text, '--set') for text in assignments)


def value_of(config: ConfigDict, text: str, flag: str) -> tuple[str, Any]:
  """Returns the field and the value of FIELD=VALUE, checked with a config."""
  path = text.partition('=')[0]
  changed = configuration.change(config, [text], f'{flag}=')
  return path, configuration.flatten(changed)[path]


def points(
  configs: Sequence[str],
  grids: Sequence[str],
  assignments: Sequence[str],
  seeds: int,
) -> list[Point]:
  """Returns every trial of a grid, each once.

  Args:
    configs: each FILE[:variant].
    grids: each FIELD=VALUE,VALUE; all combinations are trials. Without any, the
      grid is that of the config file's `get_sweep`.
    assignments: each FIELD=VALUE, for all trials; they replace those of
      `get_sweep`.
    seeds: each trial is repeated with the seeds from 0 on, in place of those of
      `get_sweep`; 0 leaves seeds to the config and the grid.

  Raises:
    ValueError: a field or a value does not fit, or two of the arguments give
      the same field.
  """
  found: dict[str, Point] = {}
  for config in configs:
    fixed = fixed_fields(config, assignments)
    for fields in grid(config, grids, fixed):
      for seed in repeats(seeds, {**fields, **fixed} if grids else fixed):
        point = Point(config, {**fields, **fixed, **seed})
        found.setdefault(point.key, point)
  return list(found.values())


def repeats(seeds: int, fields: Fields) -> list[Fields]:
  """Returns the fields of each repetition of a trial; 0 leaves the seed.

  Raises:
    ValueError: the fields that the flags give have a seed.
  """
  if seeds and 'seed' in fields:
    raise ValueError(
      f'--seeds={seeds} is given, and --grid or --set names seed, too; leave '
      'out one.'
    )
  return [{'seed': k} for k in range(seeds)] or [{}]


def grid(config: str, grids: Sequence[str], fixed: Fields) -> Iterable[Fields]:
  """Returns the fields of each trial of a config, see `points`."""
  if not grids:
    with blamed('get_sweep', config):
      return [*map(fields_of, call(config, 'get_sweep') or [{}])]
  axes = [axis(config, text) for text in grids]
  for path, _ in itertools.chain.from_iterable(axis[:1] for axis in axes):
    if path in fixed:
      raise ValueError(f'both --grid and --set name {path}; leave out one.')
  return [dict(pairs) for pairs in itertools.product(*axes)]


@contextlib.contextmanager
def blamed(function: str, config: str) -> Iterator[None]:
  """Names a function of a config file in errors, which are all ValueErrors."""
  try:
    yield
  except (TypeError, AttributeError, LookupError, ValueError) as error:
    raise ValueError(f'{function} of {config} fails: {error}') from error


def fields_of(returned: Any) -> Fields:
  """Returns the fields of a trial that a config file gives.

  >>> fields_of({'model.units': np.int64(8), 'seed': 3})
  {'model.units': 8, 'seed': 3}

  Raises:
    ValueError: they are no dict.
  """
  if not isinstance(returned, Mapping):
    raise ValueError(
      f'it gives {returned!r}; each trial must be a dict of fields and values.'
    )
  return {path: plain(value) for path, value in returned.items()}


def plain(value: Any) -> Any:
  """Returns NumPy's numbers, also in a tuple, as Python's."""
  if isinstance(value, tuple | list):
    return tuple(map(plain, value))
  return value.item() if isinstance(value, np.generic) else value


def axis(config: str, text: str) -> list[tuple[str, Any]]:
  """Returns the field with each value of FIELD=VALUE,VALUE."""
  path, equals, values = text.partition('=')
  if not equals or not values:
    raise ValueError(f'--grid={text}; give FIELD=VALUE,VALUE.')
  base = load(config)
  return [
    value_of(base, f'{path}={value}', '--grid') for value in split(values)
  ]


def split(values: str) -> list[str]:
  """Returns the values of a list with commas.

  >>> split("1,(2,3),'a,b'")
  ['1', '(2,3)', "'a,b'"]
  """
  return [value.strip() for value in VALUE.findall(values)]


def check(
  points: Sequence[Point], make_task: Callable[..., Any], data_dir: str
) -> None:
  """Checks the trials of a sweep before the first one starts.

  The task is made, which reads data, and its first step is traced for the
  first trial of each value of every field except the seed.

  Raises:
    ValueError: a config does not fit.
    FileNotFoundError: data are missing.
  """
  from hyper.runs import rehearsal  # takes a second, for jax

  for point in points:
    with named(point):
      config = point.make()
      configuration.check(config)
      rehearsal.check(config)
  for point in new_values(points):
    with named(point), tempfile.TemporaryDirectory() as folder:
      config = point.make()
      rehearsal.trace(config, make_task(config, data_dir, folder))


@contextlib.contextmanager
def named(point: Point) -> Iterator[None]:
  """Names the point in errors, which are all ValueErrors."""
  try:
    yield
  except (TypeError, ValueError) as error:  # JAX raises both for shapes
    where = f'{point.config} with {dict(point.fields)}'
    raise ValueError(f'{where}: {error}') from error


def new_values(points: Sequence[Point]) -> Iterator[Point]:
  """Yields the first point of each value of every field except the seed."""
  seen: set[str] = set()
  for point in points:
    varied = [x for x in point.fields.items() if x[0] != 'seed']
    values = {f'{point.config} {x!r}' for x in [*varied, '']}
    if values - seen:
      yield point
    seen |= values
