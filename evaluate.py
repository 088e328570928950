"""Scores a checkpoint of a run on a split, and prints one line of JSON.

  python evaluate.py --workdir=runs/ptb_hyper

The run folder holds everything but the data. What the task reports beyond its
means goes into the same line. --set replaces a field of the saved config for
this evaluation, for example `--set=data.eval_streams=1` for one pass over the
whole text. The line is also appended to evaluations.jsonl in the run folder.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

from absl import flags, logging

from hyper.runs import commands, folder


def evaluate(
  workdir: str,
  which: str | int = 'best',
  data_dir: str = 'data',
  split: str | None = None,
  changes: Sequence[str] = (),
) -> dict[str, Any]:
  """Returns the scores of a checkpoint, with what was scored and how.

  Args:
    workdir: the run folder.
    which: 'best', 'latest', or a step.
    data_dir: of the data sets.
    split: by default the one that the paper reports: test, or validation of
      data without a test part.
    changes: fields of the saved config to replace, each FIELD=VALUE.

  Raises:
    ValueError: the checkpoint is damaged, or the data do not fit the config.
    FileNotFoundError: there is no such checkpoint, or the data are missing.
  """
  from hyper import trained  # takes a second, which --help need not wait for

  run = trained.load(workdir, which, data_dir, changes=changes)
  task = run.task
  if split is None:
    split = task.reported_split
    if split != 'test':
      logging.info('There is no test part; what is scored is %s.', split)
  data = task.fingerprint(split)
  other = folder.data_changes(workdir, {split: data})
  if other:
    logging.warning('%s was begun with %s.', workdir, other)
  scores = trained.score(run, split)
  logging.info('%s at step %d: %s', split, run.step, scores)
  return {
    'workdir': workdir,
    'checkpoint': run.step,
    'split': split,
    **scores,
    **task.report(run, split),
    'data': data,
    **({'other_data': True} if other else {}),
    **({'set': list(changes)} if changes else {}),
  }


def finite(scores: dict[str, Any]) -> dict[str, Any]:
  """Returns scores as JSON can hold them: NaN and infinity are None."""
  return {
    name: None if isinstance(x, float) and not math.isfinite(x) else x
    for name, x in scores.items()
  }


def main() -> None:
  """Reads the flags, evaluates, prints."""
  args = flags.FLAGS
  which = args.checkpoint
  if which not in ('best', 'latest') and not which.isdecimal():
    raise ValueError(
      f"--checkpoint is {which!r}; it is 'best', 'latest', or a step."
    )
  scores = evaluate(
    args.workdir,
    int(which) if which.isdecimal() else which,
    args.data_dir,
    args.split,
    [*args.override, *args.set],
  )
  print(json.dumps(finite(scores), allow_nan=False), flush=True)
  folder.note_evaluation(args.workdir, finite(scores))


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
    'set', [], 'FIELD=VALUE of the saved config, for this evaluation.'
  )
  flags.DEFINE_multi_string('override', [], 'The former name of --set.')
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  commands.start(main, define_flags)
