"""Draws figures of trained runs.

  python -m hyper.figures curves --workdir=runs/a --workdir=runs/b
  python -m hyper.figures weight_change --workdir=runs/a --text='the given text'
  python -m hyper.figures saturation --workdir=runs/a --workdir=runs/b
  python -m hyper.figures kernels --workdir=runs/plain --workdir=runs/hyper
  python -m hyper.figures attention --workdir=runs/a --sentence='I see.'
  python -m hyper.figures examples --workdir=runs/a --workdir=runs/b

`curves` shows a metric over the steps of runs (figure 6 of the paper).
`weight_change` shows how much a HyperLSTM changes its weights at each symbol of
a text, its own or a given one (figure 4). `saturation` shows how the hidden
states of runs are distributed (figure 5). `kernels` shows kernels of image
classifiers, free and generated, side by side (figures 2, 8, 12 and 13).
`attention` shows where runs look while they translate a sentence, `examples` is
a table of their translations (appendix A.6). Without --output the result goes
into the first run folder.
"""

import os
from typing import TYPE_CHECKING, Any

from absl import flags

from hyper.runs import commands

if TYPE_CHECKING:
  from hyper.figures.texts import Text
else:  # takes a second, which --help need not wait for
  Text = Any

FLAGS = flags.FLAGS


def draw_curves(path: str) -> None:
  """Draws learning curves of all run folders."""
  from hyper.figures import curves

  curves.draw(FLAGS.workdir, path, FLAGS.metric)


def draw_weight_change(path: str) -> None:
  """Draws the weight changes of one run."""
  from hyper.figures import texts

  if len(FLAGS.workdir) > 1:
    raise ValueError('weight_change is of one run; give --workdir once.')
  texts.draw_weight_change(FLAGS.workdir[0], path, text(), FLAGS.checkpoint)


def draw_saturation(path: str) -> None:
  """Draws a histogram of the hidden states of each run."""
  from hyper.figures import texts

  texts.draw_saturation(FLAGS.workdir, path, text(), FLAGS.checkpoint)


def text() -> Text:
  """Returns the text that the flags describe."""
  from hyper.figures import texts

  return texts.Text(
    *(FLAGS.text, FLAGS.prompt, FLAGS.length, FLAGS.temperature, FLAGS.seed)
  )


def draw_kernels(path: str) -> None:
  """Draws kernels of all runs side by side."""
  from hyper.figures import kernels

  kernels.draw(FLAGS.workdir, path, FLAGS.kernel, FLAGS.checkpoint)


def draw_attention(path: str) -> None:
  """Draws the attention of all runs for a sentence."""
  from hyper.figures import translations

  translations.draw_attention(
    FLAGS.workdir, path, FLAGS.sentence, FLAGS.checkpoint
  )


def write_examples(path: str) -> None:
  """Writes a table of the translations of the same sentences by all runs."""
  from hyper.figures import translations

  translations.write_examples(
    *(FLAGS.workdir, path, FLAGS.data_dir),
    *(FLAGS.split, FLAGS.count, FLAGS.checkpoint),
  )


PICTURE = ('png', 'svg', 'pdf')
TEXT = ('text', *commands.SAMPLING)
DRAW = {  # by name: the function, file endings (first: the default), flags
  'curves': (draw_curves, PICTURE, ('metric',)),
  'weight_change': (draw_weight_change, ('html', *PICTURE), TEXT),
  'saturation': (draw_saturation, PICTURE, TEXT),
  'kernels': (draw_kernels, PICTURE, ('checkpoint', 'kernel')),
  'attention': (draw_attention, PICTURE, ('checkpoint', 'sentence')),
  'examples': (
    *(write_examples, ('md',)),
    ('checkpoint', 'data_dir', 'split', 'count'),
  ),
}
READ = {
  name: ('workdir', 'output', *read) for name, (_, _, read) in DRAW.items()
}


def main(what: str) -> None:
  """Draws the figure `what`, and prints its path."""
  from hyper.runs import compilation

  draw, endings, _ = DRAW[what]
  commands.prepare_output(FLAGS.output, endings)
  first = FLAGS.workdir[0]
  place = first if os.path.isdir(first) else os.path.dirname(first)
  path = FLAGS.output or os.path.join(place, f'{what}.{endings[0]}')
  if what != 'curves':  # which compiles nothing
    compilation.keep()
  draw(path)
  print(path)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi(
    commands.PATH,
    flags.ArgumentSerializer(),
    'workdir',
    None,
    'Folders of runs, or files of hyper.export.',
  )
  flags.DEFINE_string(
    'metric',
    '',
    'Metric of curves; by default the one that selects the best checkpoint.',
  )
  flags.DEFINE_string(
    'text',
    '',
    'Text that the run reads; by default it generates one itself.',
  )
  flags.DEFINE_multi_string(
    'kernel',
    [],
    'Path patterns of kernels; by default the first generated kernel of each '
    'shape.',
  )
  commands.define_sampling_flags()
  flags.DEFINE(
    commands.PATH,
    'output',
    '',
    'File of the picture, .png, .svg or .pdf; for weight_change also .html, '
    'for examples .md.',
  )
  flags.DEFINE_string('sentence', '', 'Sentence to translate, for attention.')
  flags.DEFINE(
    commands.PATH, 'data_dir', 'data', 'Folder of the data, for examples.'
  )
  flags.DEFINE_enum(
    'split', 'test', ['validation', 'test'], 'Split of the examples.'
  )
  flags.DEFINE_integer('count', 6, 'Number of examples.', lower_bound=1)
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  commands.start(main, define_flags, READ)
