"""Draws figures of trained runs.

  python -m hyper.figures curves --workdir=runs/a --workdir=runs/b

Without --output the picture goes into the first run folder.
"""

import os
import sys

from absl import app, flags

from hyper import configuration
from hyper.figures import curves
from hyper.tasks import TASKS


def main(argv: list[str]) -> int:
  """Draws what the first argument names."""
  if argv[1:] != ['curves']:
    raise app.UsageError(f'say what to draw: curves (not {argv[1:]})')
  path = flags.FLAGS.output or os.path.join(
    flags.FLAGS.workdir[0], 'curves.png'
  )
  try:
    task = configuration.load(flags.FLAGS.workdir[0]).task
    metric = flags.FLAGS.metric or TASKS[task].selection[0]
    curves.draw(flags.FLAGS.workdir, metric, path)
  except (ValueError, FileNotFoundError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print(path)
  return 0


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string('workdir', None, 'Folders of runs.')
  flags.DEFINE_string(
    'metric', '', 'What is drawn; by default what the best checkpoint is of.'
  )
  flags.DEFINE_string('output', '', 'The picture, .png or .svg.')
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  define_flags()
  app.run(main)
