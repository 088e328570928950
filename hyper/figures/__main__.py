"""Draws figures of trained runs.

  python -m hyper.figures curves --workdir=runs/a --workdir=runs/b
  python -m hyper.figures attention --workdir=runs/a --sentence='I see.'
  python -m hyper.figures examples --workdir=runs/a --workdir=runs/b

The last is a table of translations. Without --output the result goes into the
first run folder.
"""

import os
import sys

from absl import app, flags

from hyper import configuration
from hyper.figures import attention, curves
from hyper.tasks import TASKS


def draw_curves(path: str) -> None:
  """Draws a metric of the runs over steps."""
  task = configuration.load(flags.FLAGS.workdir[0]).task
  metric = flags.FLAGS.metric or TASKS[task].selection[0]
  curves.draw(flags.FLAGS.workdir, metric, path)


def draw_attention(path: str) -> None:
  """Draws the attention of the runs for a sentence."""
  attention.draw(
    flags.FLAGS.workdir, flags.FLAGS.sentence, flags.FLAGS.checkpoint, path
  )


def write_examples(path: str) -> None:
  """Writes what the runs make of the same sentences."""
  attention.write_examples(
    flags.FLAGS.workdir,
    flags.FLAGS.data_dir,
    flags.FLAGS.split,
    flags.FLAGS.count,
    flags.FLAGS.checkpoint,
    path,
  )


FIGURES = {
  'curves': (draw_curves, 'curves.png'),
  'attention': (draw_attention, 'attention.png'),
  'examples': (write_examples, 'examples.md'),
}


def main(argv: list[str]) -> int:
  """Draws what the first argument names."""
  if len(argv) != 2 or argv[1] not in FIGURES:
    raise app.UsageError(
      f'say what to draw: {", ".join(FIGURES)} (not {argv[1:]})'
    )
  draw, name = FIGURES[argv[1]]
  path = flags.FLAGS.output or os.path.join(flags.FLAGS.workdir[0], name)
  try:
    draw(path)
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
  flags.DEFINE_string('output', '', 'The picture, .png or .svg; or the table.')
  flags.DEFINE_string('sentence', '', 'What is translated, for attention.')
  flags.DEFINE_enum('checkpoint', 'best', ['best', 'latest'], 'Which one.')
  flags.DEFINE_string('data_dir', 'data', 'Folder of the data, for examples.')
  flags.DEFINE_enum(
    'split', 'test', ['validation', 'test'], 'Where examples are from.'
  )
  flags.DEFINE_integer('count', 6, 'Of the examples.', lower_bound=1)
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  define_flags()
  app.run(main)
