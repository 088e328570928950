"""Draws figures of trained runs.

  python -m hyper.figures curves --workdir=runs/a --workdir=runs/b
  python -m hyper.figures kernels --workdir=runs/plain --workdir=runs/hyper

Without --output the pictures go into the first run folder.
"""

import os
import sys

from absl import app, flags

from hyper import configuration
from hyper.figures import curves, kernels
from hyper.tasks import TASKS


def main(argv: list[str]) -> int:
  """Draws what the first argument names, and prints the paths."""
  if len(argv) != 2 or argv[1] not in FIGURES:
    raise app.UsageError(
      f'say what to draw: {" or ".join(FIGURES)} (not {argv[1:]})'
    )
  try:
    paths = FIGURES[argv[1]](flags.FLAGS.workdir, flags.FLAGS.output)
  except (ValueError, FileNotFoundError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print('\n'.join(paths))
  return 0


def draw_curves(workdirs: list[str], output: str) -> list[str]:
  """Learning curves of the runs, in one picture."""
  path = output or os.path.join(workdirs[0], 'curves.png')
  task = configuration.load(workdirs[0]).task
  metric = flags.FLAGS.metric or TASKS[task].selection[0]
  curves.draw(workdirs, metric, path)
  return [path]


def draw_kernels(workdirs: list[str], output: str) -> list[str]:
  """A picture for each kernel, the runs side by side."""
  folder = output or os.path.join(workdirs[0], 'kernels')
  return kernels.draw(
    workdirs, flags.FLAGS.kernel, flags.FLAGS.checkpoint, folder
  )


FIGURES = {'curves': draw_curves, 'kernels': draw_kernels}


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string('workdir', None, 'Folders of runs.')
  flags.DEFINE_string(
    'metric',
    '',
    'Of curves: what is drawn; by default what the best checkpoint is of.',
  )
  flags.DEFINE_multi_string(
    'kernel', [], 'Of kernels: path patterns; by default what is generated.'
  )
  flags.DEFINE_enum(
    'checkpoint', 'best', ['best', 'latest'], 'Of kernels: which one.'
  )
  flags.DEFINE_string(
    'output', '', 'The picture, .png or .svg; of kernels, the folder of PNGs.'
  )
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  define_flags()
  app.run(main)
