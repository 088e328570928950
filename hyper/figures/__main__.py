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

import jax.numpy as jnp
import numpy as np
from absl import flags

from hyper import configuration, generate, trained
from hyper.decode import read_symbols
from hyper.drawing import attention, curves, kernels, saturation, weight_change
from hyper.figures import run_names
from hyper.runs import commands
from hyper.tasks import TASKS
from hyper.tasks.char_lm import CharLM

FLAGS = flags.FLAGS


def draw_curves(path: str) -> None:
  """Learning curves of all run folders."""
  task = configuration.load(FLAGS.workdir[0]).task
  metric = FLAGS.metric or TASKS[task].selection[0]
  curves.draw(FLAGS.workdir, metric, path)


def draw_weight_change(path: str) -> None:
  """The weight changes of the topmost HyperLSTM of a run."""
  if len(FLAGS.workdir) > 1:
    raise ValueError('weight_change is of one run; give --workdir once.')
  task, params, text, carries = read(FLAGS.workdir[0], needs_scalings=True)
  intensities = weight_change.of_top_layer(task.model, params, carries)
  symbols = [
    task.vocabulary.to_bytes([k]).decode(errors='replace') for k in text
  ]
  weight_change.draw_text(symbols, intensities[1:], path)


def draw_saturation(path: str) -> None:
  """A histogram for the topmost cell of each run."""
  values = {}
  for workdir, name in zip(
    FLAGS.workdir, run_names(FLAGS.workdir), strict=True
  ):
    task, params, _, carries = read(workdir)
    weights = params[f'cells_{len(task.model.cells) - 1}']
    hidden = task.model.cells[-1].hidden(weights, carries[-1])
    values[name] = np.asarray(hidden).reshape(-1, hidden.shape[-1])
  saturation.draw(values, path)


def draw_kernels(path: str) -> None:
  """Kernels of all runs side by side."""
  kernels.draw(FLAGS.workdir, FLAGS.kernel, FLAGS.checkpoint, path)


def draw_attention(path: str) -> None:
  """The attention of all runs for a sentence."""
  attention.draw(FLAGS.workdir, FLAGS.sentence, FLAGS.checkpoint, path)


def write_examples(path: str) -> None:
  """A table of what all runs make of the same sentences."""
  attention.write_examples(
    *(FLAGS.workdir, FLAGS.data_dir, FLAGS.split),
    *(FLAGS.count, FLAGS.checkpoint, path),
  )


def read(
  workdir: str, needs_scalings: bool = False
) -> tuple[CharLM, dict, np.ndarray, tuple]:
  """Task, parameters, a text in numbers, and the carries of reading it.

  The text is the one given, or what the run generates. The first carries are
  those after the start symbol, which is read before the text.

  Raises:
    ValueError: `needs_scalings`, and the topmost cell scales no weights.
  """
  task, params = trained.load_text_model(workdir, FLAGS.checkpoint)
  if needs_scalings and not task.model.cells[-1].scaled_gates:
    raise ValueError(
      f'{workdir} is a run of {type(task.model.cells[-1]).__name__}, whose '
      'weights do not change; give a run of a cell with a hypernetwork.'
    )
  if FLAGS.text and FLAGS.prompt:
    raise ValueError('give --text, which is read, or --prompt, not both.')
  if FLAGS.text:
    text = task.encode(FLAGS.text, 'the text')
  else:
    drawn = generate.draw_numbers(
      *(task, params, FLAGS.prompt),
      *(FLAGS.length, FLAGS.temperature, FLAGS.seed),
    )
    text = np.array([*task.encode(FLAGS.prompt, 'the prompt'), *drawn])
  carries, _ = read_symbols(
    *(task.reader(params), task.model.zeros(1)),
    jnp.array([task.vocabulary.start, *text]),
  )
  return task, params, text, carries


PICTURE = ('png', 'svg', 'pdf')
TEXT = ('checkpoint', 'text', *generate.TEXT_FLAGS)
DRAW = {  # by name: what draws it, endings (by default the first), its flags
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
  """Draws what the argument names, and prints where it is."""
  draw, endings, _ = DRAW[what]
  commands.prepare_output(FLAGS.output, endings)
  path = FLAGS.output or os.path.join(FLAGS.workdir[0], f'{what}.{endings[0]}')
  draw(path)
  print(path)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string('workdir', None, 'Folders of runs.')
  flags.DEFINE_string(
    'metric', '', 'Of curves; by default what the best checkpoint is of.'
  )
  flags.DEFINE_string(
    'text', '', 'What is read; by default what the run itself generates.'
  )
  flags.DEFINE_multi_string(
    'kernel',
    [],
    'Of kernels: path patterns; by default the first generated of each shape.',
  )
  generate.define_text_flags()
  flags.adopt_module_key_flags(generate)  # so that --help shows them
  flags.DEFINE_string(
    'output',
    '',
    'The picture, .png, .svg or .pdf; of weight_change also .html, of examples '
    '.md.',
  )
  flags.DEFINE_string('sentence', '', 'What is translated, for attention.')
  flags.DEFINE_string('data_dir', 'data', 'Folder of the data, for examples.')
  flags.DEFINE_enum(
    'split', 'test', ['validation', 'test'], 'Where examples are from.'
  )
  flags.DEFINE_integer('count', 6, 'Of the examples.', lower_bound=1)
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  commands.start(main, define_flags, READ)
