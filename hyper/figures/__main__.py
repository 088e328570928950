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

WORKDIR = flags.DEFINE_multi_string('workdir', None, 'Folders of runs.')
METRIC = flags.DEFINE_string(
  'metric', '', 'What is drawn; by default what the best checkpoint is of.'
)
OUTPUT = flags.DEFINE_string('output', '', 'The picture, .png or .svg.')


def main(argv: list[str]) -> int:
  """Draws what the first argument names."""
  if argv[1:] != ['curves']:
    raise app.UsageError(f'say what to draw: curves (not {argv[1:]})')
  path = OUTPUT.value or os.path.join(WORKDIR.value[0], 'curves.png')
  try:
    task = configuration.load(WORKDIR.value[0]).task
    metric = METRIC.value or TASKS[task].selection[0]
    curves.draw(WORKDIR.value, metric, path)
  except (ValueError, FileNotFoundError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print(path)
  return 0


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  app.run(main)
