"""Run folders without training, and what is compared of them."""

import importlib
import json

from hyper.compare import entries, finished, measures, tables
from hyper.runs.folder import save_config


def group(*folders):
  return entries.group([finished.read(x) for x in finished.find(folders)])


def make_run(folder, name, fields=None, test=None, paces=(60,) * 4, **record):
  """Writes a run of a shipped config that has been logged four times.

  Args:
    folder: the run folder.
    name: of the shipped config.
    fields: of the config to change.
    test: the scores of evaluations, in order.
    paces: the seconds before each line of training.
    **record: further entries of the line in starts.jsonl.
  """
  file, _, variant = name.partition(':')
  config = importlib.import_module(f'configs.{file}').get_config(variant)
  config = config.copy_and_resolve_references()
  config.update_from_flattened_dict(fields or {})
  save_config(str(folder), config)
  metric = measures.measure_of(config.task).metric
  time, lines = 0, []
  for k, pace in enumerate(paces, 1):
    time += pace
    line = {'step': config.train_steps * k // len(paces), 'time': time}
    lines += [
      line | {'split': 'train', metric: 9.0, 'images_per_second': 25.0},
      line | {'split': 'validation', metric: 1.0 + abs(3 - k)},
    ]
  write_lines(folder / 'metrics.jsonl', lines)
  write_lines(folder / 'starts.jsonl', [{'devices': 'TPU v5e (tpu)'} | record])
  best = {'split': 'test', 'checkpoint': config.train_steps * 3 // len(paces)}
  scores = [best | {metric: x} for x in test or ()]
  write_lines(folder / 'evaluations.jsonl', scores)


def write_lines(path, lines):
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def column(grid, name):
  """Returns the cells of a column, which is left out if all are empty."""
  if name in tables.HEADER and name not in grid.header:
    return [''] * len(grid.rows)
  return [row[grid.header.index(name)] for row in grid.rows]
