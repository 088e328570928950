"""Scores a checkpoint of a run on a split, and prints one line of JSON.

  python evaluate.py --workdir=runs/ptb_hyper

The run folder holds all that is needed but the data. What the task reports
beyond its means goes into the same line. --override replaces a field of the
saved config for this evaluation, for example
`--override=data.eval_streams=1` for one pass over the whole text.
"""

import ast
import json
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict

from hyper import configuration, trained
from hyper.runs import commands, training


def evaluate(
  config: ConfigDict,
  workdir: str,
  data_dir: str,
  split: str | None,
  which: str | int,
) -> dict[str, Any]:
  """The scores of a checkpoint, with what was scored and how.

  Without a split it is the one that the paper reports: test, or validation of
  data that have no test part.

  Raises:
    ValueError: the checkpoint is damaged or not of this config, or the data
      are not as they must be.
    FileNotFoundError: there is no such checkpoint, or the data are missing.
  """
  task, step, state = trained.load(config, workdir, data_dir, which)
  if split is None:
    split = task.reported_split
    if split != 'test':
      logging.info('There is no test part; what is scored is %s.', split)
  eval_step = training.make_eval_step(task.loss)
  scores = training.evaluate(task, eval_step, state, split)
  logging.info('%s at step %d: %s', split, step, scores)
  return {
    'workdir': workdir,
    'checkpoint': step,
    'split': split,
    **scores,
    **task.report(state, split),
  }


def override(config: ConfigDict, assignments: list[str]) -> ConfigDict:
  """The config with fields replaced, each given as FIELD=VALUE.

  Raises:
    ValueError: no such field, or a value of another type.
  """
  config = config.copy_and_resolve_references()
  for assignment in assignments:
    field, _, text = assignment.partition('=')
    try:
      value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
      value = text
    try:
      if value is None:
        raise TypeError('None is not a value')
      config.update_from_flattened_dict({field: value})
    except (KeyError, TypeError, AttributeError) as error:
      reason = commands.in_one_line(error)
      raise ValueError(f'--override={assignment}: {reason}') from error
  return config


def main() -> None:
  """Reads the flags, evaluates, prints."""
  args = flags.FLAGS
  which = args.checkpoint
  if which not in ('best', 'latest') and not which.isdecimal():
    raise ValueError(
      f"--checkpoint is {which!r}; it is 'best', 'latest', or a step."
    )
  config = override(configuration.load(args.workdir), args.override)
  scores = evaluate(
    *(config, args.workdir, args.data_dir, args.split),
    int(which) if which.isdecimal() else which,
  )
  if args.override:
    scores['override'] = args.override
  print(json.dumps(scores))


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  flags.DEFINE_string(
    'data_dir', 'data', 'Folder of the data sets, see hyper/data/README.md.'
  )
  flags.DEFINE_enum(
    'split',
    None,
    ['validation', 'test'],
    'What is scored; by default test, or validation where there is no test.',
  )
  flags.DEFINE_string(
    'checkpoint', 'best', "Which one: 'best', 'latest', or a step."
  )
  flags.DEFINE_multi_string(
    'override', [], 'FIELD=VALUE of the saved config, for this evaluation.'
  )
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  commands.start(main, define_flags)
