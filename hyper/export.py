"""Writes the weights of a trained image classifier as safetensors.

  python -m hyper.export --workdir=runs/hyper_40_1 --baked

With --baked these are the variables of the plain network, its kernels
generated: whoever loads them needs no hypernetwork. Without it they are those
of the network as it was trained. `hyper.weights.load` reads both.
"""

import os
from typing import Any

from absl import flags

from hyper import trained, weights
from hyper.runs import commands


def variables(workdir: str, which: str | int, baked: bool) -> Any:
  """Returns the variables of a trained network, ready for its `apply`.

  Raises:
    ValueError: the run is not of image classification, or the checkpoint is
      damaged.
    FileNotFoundError: it is no run folder, or has no checkpoint.
  """
  run = trained.load(workdir, which, task='classify')
  task = run.task
  if baked or task.hypernetwork is None:
    return {'params': task.main_params(run.params)} | run.model_state
  collections = {k: {'network': x} for k, x in run.model_state.items()}
  return {'params': run.params} | collections


def main() -> None:
  """Writes the file and prints its path."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('safetensors',))
  name = 'baked' if args.baked else 'trained'
  path = args.output or os.path.join(args.workdir, f'{name}.safetensors')
  weights.save(variables(args.workdir, args.checkpoint, args.baked), path)
  print(path)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  flags.DEFINE_bool('baked', False, 'Generate the kernels, once and for all.')
  flags.DEFINE_string('output', '', 'The file; by default in the run folder.')
  flags.DEFINE_enum('checkpoint', 'best', ['best', 'latest'], 'Which one.')
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  commands.start(main, define_flags)
