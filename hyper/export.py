"""Writes the network of a trained run as one safetensors file.

  python -m hyper.export --workdir=runs/ptb_hyper
  python -m hyper.export --workdir=runs/hyper_40_1 --baked

With --baked the file has the plain network of an image classifier, with its
generated kernels, and needs no hypernetwork. Otherwise it has the network as it
was trained.

The file also has, as text, what is needed to use and to judge the network:
`config`, `step`, `commit`, `scores` (by split, if known), `baked`, and the
files that the run keeps of its data, such as `vocabulary.json`. In Python

  module, variables = hyper.trained.load_network('trained.safetensors')

loads the network; `hyper.weights` reads only the arrays or only the text.
"""

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from absl import flags

from hyper import configuration
from hyper.runs import commands, folder, metrics, record

if TYPE_CHECKING:
  from hyper import trained

  Run: TypeAlias = trained.Run[Any]
else:  # takes a second, which --help need not wait for
  Run = Any


def export(
  workdir: str, path: str, checkpoint: str | int = 'best', baked: bool = False
) -> None:
  """Writes the network of a run.

  Args:
    workdir: the run folder.
    path: the file.
    checkpoint: 'best', 'latest' or a step.
    baked: whether to write the plain network of an image classifier, with its
      generated kernels.

  Raises:
    FileNotFoundError: `workdir` is no run folder, or has no such checkpoint.
    ValueError: the checkpoint is damaged, `baked` does not apply, or `workdir`
      is a file of this command.
  """
  from hyper import trained, weights

  if folder.is_export(workdir):
    raise ValueError(
      f'{workdir} has been exported already; give the folder of its run.'
    )
  run = trained.load(workdir, checkpoint)
  _, variables = trained.network(run, baked)
  weights.save(variables, path, describe(run, baked))


def describe(run: Run, baked: bool) -> dict[str, str]:
  """Returns the text of a file: the config of the run, its scores and so on."""
  starts = record.read_lines(run.workdir, record.STARTS)
  commits = [  # a later start at this step resumed from the checkpoint
    x.get('commit', '') for x in starts if x.get('step', 0) < max(run.step, 1)
  ]
  return {
    'config': configuration.to_json(run.config),
    'step': str(run.step),
    'commit': commits[-1] if commits else '',
    'scores': json.dumps(scores(run)),
    'baked': str(baked).lower(),
    **folder.kept(run.workdir),
  }


def scores(run: Run) -> dict[str, dict[str, float]]:
  """Returns the scores of a checkpoint by split, as far as they are known.

  Training knows those of validation, `evaluate.py` those that it was asked for.
  """
  lines = record.read_lines(run.workdir, record.METRICS)
  found = [
    x
    for x in lines
    if x.get('step') == run.step and x.get('split') == 'validation'
  ]
  found += record.evaluations(run.workdir, run.step)
  return {x['split']: numbers(x) for x in found}


def numbers(line: Mapping[str, Any]) -> dict[str, float]:
  """Returns the scores in a line, which are its fractional numbers."""
  return {
    name: x
    for name, x in line.items()
    if isinstance(x, float) and name not in metrics.RESERVED
  }


def main() -> None:
  """Writes the file and prints its path."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('safetensors',))
  name = 'baked' if args.baked else 'trained'
  path = args.output or os.path.join(args.workdir, f'{name}.safetensors')
  export(args.workdir, path, args.checkpoint, args.baked)
  print(path)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE(commands.PATH, 'workdir', None, 'Folder of a trained run.')
  flags.DEFINE_bool(
    'baked',
    False,
    'Write the plain network of an image classifier, its kernels generated.',
  )
  flags.DEFINE(
    commands.PATH, 'output', '', 'The file; by default in the run folder.'
  )
  flags.DEFINE_enum('checkpoint', 'best', ['best', 'latest'], 'Which one.')
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  commands.start(main, define_flags)
