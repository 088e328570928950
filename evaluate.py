"""Scores a checkpoint of a run on a split, and prints one line of JSON.

  python evaluate.py --workdir=runs/ptb_hyper
  python evaluate.py --workdir=results/ptb_hyperlstm/trained.safetensors

The run folder holds everything but the data. Further scores of the task, such
as BLEU, are in the same line. --set replaces a field of the saved config for
this evaluation, for example `--set=data.eval_streams=1` for one pass over the
whole text. The line is also appended to evaluations.jsonl in the run folder. A
file that `hyper.export` has written holds everything but the data, too.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from hyper.runs import commands, record

DIGITS = 6  # that are printed; evaluations.jsonl has all


def evaluate(
  workdir: str,
  checkpoint: str | int = 'best',
  data_dir: str = 'data',
  split: str | None = None,
  changes: Sequence[str] = (),
) -> dict[str, Any]:
  """Returns the scores of a checkpoint; see `hyper.trained.evaluate`."""
  from hyper import trained  # takes a second, which --help need not wait for

  return trained.evaluate(workdir, checkpoint, data_dir, split, changes)


def rounded(x: Any) -> Any:
  """Returns a fraction with DIGITS significant digits, and others as they are.

  >>> rounded(1.68123456), rounded(40_000), rounded('multi30k')
  (1.68123, 40000, 'multi30k')
  """
  return float(f'{x:.{DIGITS}g}') if isinstance(x, float) else x


def main() -> None:
  """Reads the flags, evaluates, records, prints."""
  from hyper.runs import compilation

  args = flags.FLAGS
  checkpoint = args.checkpoint
  if checkpoint not in ('best', 'latest') and not checkpoint.isdecimal():
    raise ValueError(
      f"--checkpoint is {checkpoint!r}; it is 'best', 'latest', or a step."
    )
  compilation.keep()
  scores = evaluate(
    args.workdir,
    int(checkpoint) if checkpoint.isdecimal() else checkpoint,
    args.data_dir,
    args.split,
    [*args.override, *args.set],
  )
  if os.path.isdir(args.workdir):  # before printing, which a pipe may refuse
    record.note_evaluation(args.workdir, scores)
  shown = {name: rounded(x) for name, x in record.finite(scores).items()}
  print(json.dumps(shown, allow_nan=False), flush=True)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  commands.define_run_flag()
  flags.DEFINE(
    commands.PATH,
    'data_dir',
    'data',
    'Folder of the data sets, see hyper/data/README.md.',
  )
  flags.DEFINE_enum(
    'split',
    None,
    ['train', 'validation', 'test'],
    'Split to score; by default test, or validation if there is no test part.',
  )
  flags.DEFINE_string(
    'checkpoint', 'best', "Checkpoint to score: 'best', 'latest', or a step."
  )
  flags.DEFINE_multi_string(
    'set', [], 'FIELD=VALUE of the saved config, for this evaluation.'
  )
  flags.DEFINE_multi_string('override', [], 'The former name of --set.')
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  commands.start(main, define_flags)
