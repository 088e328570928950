"""Reads run folders, of finished runs or runs in training."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from hyper import paper
from hyper.compare import hardware, places, timing
from hyper.compare.measures import selection_of
from hyper.paper import recipes
from hyper.runs import metrics
from hyper.runs.folder import CONFIG, load_config
from hyper.runs.record import (
  INIT_FROM,
  STARTS,
  evaluations,
  known_data,
  read_lines,
)

# In a command: the folder, the file and the variant.
CONFIG_FILE = re.compile(r'--?config[= ](\S*?)(\w+)\.py(:[^\s\'"]+)?')
BEGIN, DRAWN = 'parameters at the start', 'drawn'


@dataclasses.dataclass(frozen=True)
class Run:
  """A run, as read from its folder.

  Attributes:
    workdir: its folder.
    config: as saved.
    row: the config of the row of the paper that the run belongs to; '' if there
      is none, see `row_of`.
    changes: from that config to the one of the run, see `recipes.changes`.
    scores: by split and metric, at the best checkpoint.
    parameters: the number of trained parameters; 0 if unknown.
    steps: the number of steps taken.
    seconds: in training steps up to each of `lines`, see `timing.seconds`.
    speed: the median number of `unit` a second; 0 if unknown, or on several
      kinds of hardware.
    unit: such as 'characters'.
    hardware: a description of each kind, the first one first; () if unknown.
    lines: of metrics.jsonl.
    data: the fingerprint of the training data; '' if unknown.
    origin: where the first parameters are from; {} if the run drew them.
  """

  workdir: str
  config: ConfigDict
  row: str
  changes: dict[str, tuple[Any, Any]]
  scores: dict[tuple[str, str], float]
  parameters: int
  steps: int
  seconds: list[float]
  speed: float
  unit: str
  hardware: tuple[str, ...]
  lines: list[dict[str, Any]]
  data: str
  origin: dict[str, Any]

  @property
  def name(self) -> str:
    """Returns the last part of the folder's path."""
    return os.path.basename(os.path.normpath(self.workdir))

  @property
  def total_seconds(self) -> float:
    """Returns the seconds spent in training steps; 0 if unknown."""
    return self.seconds[-1] if self.seconds else 0.0

  @property
  def has_the_papers_data(self) -> bool:
    """Returns whether the run uses the data set of its row's table."""
    found = paper.find(self.row)
    return found is not None and found[0].data == self.config.data.source


def find(folders: Sequence[str]) -> list[str]:
  """Returns the run folders in `folders`, at any depth, each of them once.

  Raises:
    FileNotFoundError: a folder does not exist or has no run.
  """
  found: list[str] = []
  for folder in folders:
    inside = [root for root, files in places.walk(folder) if CONFIG in files]
    if not inside:
      raise FileNotFoundError(
        f'{folder} is no run folder, and there is none in it; give folders '
        f'that have a {CONFIG}, or folders of these.'
      )
    found += inside
  return places.once(found)


def read(workdir: str) -> Run:
  """Returns the run in a run folder.

  Raises:
    ValueError: a file in it is damaged, its task is unknown, or there is no
      folder configs/.
  """
  config = load_config(workdir)
  record, origin = record_in(workdir), origin_of(workdir)
  starts = read_lines(workdir, STARTS)
  row = row_in(workdir, config)
  lines = read_metrics(workdir)
  best = best_of(selection_in(workdir, config), lines)
  steps = max((line['step'] for line in lines), default=0)
  unit, speed = timing.speed_of(lines)
  named = record.get('hardware')
  kinds = [named] if named else hardware.kinds_of(starts, steps)
  return Run(
    workdir,
    config,
    row,
    changes_from(row, config, steps) | begun_elsewhere(origin),
    scores_of(best) | recorded_scores(record) | evaluated(workdir, best),
    record.get('parameters') or (starts or [{}])[-1].get('parameters') or 0,
    steps,
    timing.seconds(lines),
    speed if len(kinds) < 2 else 0.0,
    unit,
    tuple(kinds),
    lines,
    training_data(workdir),
    origin,
  )


def selection_in(workdir: str, config: ConfigDict) -> tuple[str, str]:
  """Returns the score that selects checkpoints of a run, and 'min' or 'max'.

  Raises:
    ValueError: its task is unknown; the folder is named.
  """
  try:
    return selection_of(config.task)
  except ValueError as error:
    raise ValueError(f'{os.path.join(workdir, CONFIG)}: {error}') from error


def record_in(workdir: str) -> dict[str, Any]:
  """Returns run.json, which folders in results/ have; {} if there is none."""
  return read_json(os.path.join(workdir, 'run.json'))


def row_in(workdir: str, config: ConfigDict) -> str:
  """Returns the config of the paper's row that a run folder is closest to."""
  starts = [record_in(workdir), *reversed(read_lines(workdir, STARTS))]
  commands = [start.get('command') for start in starts]
  return row_of(config, [x for x in commands if isinstance(x, str)])


def row_of(config: ConfigDict, commands: Sequence[str]) -> str:
  """Returns the config of the paper's row that a run is closest to.

  Args:
    config: of the run; its field `paper` names the row.
    commands: those that started the run, the last one first. If the field names
      no row, as in a variant or an earlier version, the first of them with a
      config file decides; a command that resumes a run by its folder has none.
      A file outside a folder configs/, or with an unknown variant, has no row.
  """
  if paper.find(config.paper):
    return config.paper
  named = next(filter(None, map(CONFIG_FILE.search, commands)), None)
  if not named or os.path.basename(named[1].rstrip('/')) != 'configs':
    return ''
  try:
    shipped = recipes.load(named[2] + (named[3] or ''))
  except ValueError:
    return ''
  names = [shipped.paper if shipped else '', named[2]]
  return next((name for name in names if paper.find(name)), '')


def changes_from(
  row: str, config: ConfigDict, steps: int
) -> dict[str, tuple[Any, Any]]:
  """Returns the changes from a row's config to a run's; {} without a row.

  A run that has not taken all its steps differs in `train_steps`.

  Raises:
    ValueError: there is no folder configs/.
  """
  recipe = recipes.load(row) if row else config
  if recipe is None:
    raise ValueError(
      'the runs cannot be compared with the configs of the paper: there is no '
      'configs/ here. Run this in the root of the repository.'
    )
  so_far = config.copy_and_resolve_references()
  so_far.train_steps = min(steps, config.train_steps)
  return recipes.changes(recipe, so_far)


def origin_of(workdir: str) -> dict[str, Any]:
  """Returns where a run's first parameters are from; {} if it drew them."""
  begun = [x.get(INIT_FROM) for x in read_lines(workdir, STARTS)]
  known = [x for x in begun if isinstance(x, dict) and 'path' in x]
  return known[-1] if known else {}


def training_data(workdir: str) -> str:
  """Returns the fingerprint of a run's training data; '' if unknown."""
  return known_data(workdir).get('train', '')


def begun_elsewhere(origin: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
  """Returns the change of a run that began with parameters of another one.

  No row of the paper begins so.
  """
  if not origin:
    return {}
  return {BEGIN: (DRAWN, os.path.basename(origin['path']))}


def read_metrics(workdir: str) -> list[dict[str, Any]]:
  """Returns the lines of a run's metrics; [] if there are none yet."""
  try:
    return metrics.read(workdir)
  except FileNotFoundError:
    return []


def best_of(
  selection: tuple[str, str], lines: Sequence[dict[str, Any]]
) -> dict[str, Any]:
  """Returns the line of the best validation, the first of ties; {} if none.

  Args:
    selection: the score that decides, and 'min' or 'max'.
    lines: of metrics.
  """
  metric, mode = selection
  found = [
    line
    for line in lines
    if line['split'] == 'validation'
    and math.isfinite(line.get(metric, math.nan))
  ]
  best = min if mode == 'min' else max
  return best(found, key=lambda line: line[metric], default={})


def scores_of(line: dict[str, Any]) -> dict[tuple[str, str], float]:
  """Returns the scores in a line of metrics or of evaluations."""
  return {
    (line['split'], name): value
    for name, value in line.items()
    if isinstance(value, float) and name != 'time'
  }


def recorded_scores(record: dict[str, Any]) -> dict[tuple[str, str], float]:
  """Returns the scores that a file run.json holds."""
  return {
    (split, metric): value
    for split, scores in record.get('scores_at_best_validation', {}).items()
    for metric, value in scores.items()
    if isinstance(value, float) and metric != 'checkpoint'
  }


def evaluated(
  workdir: str, best: dict[str, Any]
) -> dict[tuple[str, str], float]:
  """Returns the scores of the best checkpoint that evaluate.py has written.

  The last evaluation of a split counts, see `record.evaluations`.
  """
  scores: dict[tuple[str, str], float] = {}
  for line in evaluations(workdir, best.get('step', -1)):
    scores |= scores_of(line)
  return scores


def read_json(path: str) -> dict[str, Any]:
  """Returns the object in a JSON file; {} if there is no such file.

  Raises:
    ValueError: the file is damaged.
  """
  if not os.path.exists(path):
    return {}
  with open(path, 'rb') as file:
    content = file.read()
  try:
    return dict(json.loads(content))
  except (ValueError, TypeError, RecursionError) as error:
    raise ValueError(f'{path} is damaged: {error}') from error
