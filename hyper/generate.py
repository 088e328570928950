"""Generates text, handwriting or translations with a trained run.

  python -m hyper.generate text --workdir=runs/ptb_hyper --prompt='the '
  python -m hyper.generate strokes --workdir=runs/iam_hyper --bias=0.5
  python -m hyper.generate translate --workdir=runs/nmt_hyper --input=FILE
  python -m hyper.generate text --workdir=trained.safetensors

Text is printed while it is drawn; handwriting is written as pictures. Sentences
to translate are read from standard input or a file, one on each line. Only the
run folder, or a file that `hyper.export` has written, is read, except that
--prime=NAME reads a line of the data.
"""

import codecs
import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from hyper.runs import commands

if TYPE_CHECKING:
  from hyper.tasks.handwriting import Handwriting
else:  # takes a second, which --help need not wait for
  Handwriting = Any

FLAGS = flags.FLAGS
LINES = 8  # of handwriting


def text(
  workdir: str,
  prompt: str = '',
  length: int = 500,
  temperature: float = 1.0,
  seed: int = 0,
  checkpoint: str | int = 'best',
) -> Iterator[str]:
  """Draws text after a prompt, symbol by symbol.

  Args:
    workdir: the folder of a character model's run.
    prompt: the text to continue.
    length: the number of symbols.
    temperature: divides the logits; 0 takes the most probable symbol.
    seed: of the draws.
    checkpoint: 'best', 'latest' or a step.

  Returns:
    An iterator over the text of each symbol. Some symbols are drawn at once,
    when the iterator reaches the first of them; a character of several bytes
    comes with the last.

  Raises:
    ValueError: the run has another task, the temperature is below 0 or not
      finite, or the prompt has a symbol that is not in the vocabulary.
    FileNotFoundError: `workdir` is no run folder, or has no checkpoint.
  """
  from hyper import trained

  run = trained.load(workdir, checkpoint, task='char_lm')
  task = run.task
  drawn = task.sample(run.params, prompt, length, temperature, seed)
  return _decoded(task.vocabulary.to_bytes(x) for x in drawn)


def _decoded(parts: Iterable[bytes]) -> Iterator[str]:
  """Yields the text of each part, and of a character that is cut off."""
  decoder = codecs.getincrementaldecoder('utf-8')(errors='replace')
  for part in parts:
    yield decoder.decode(part)
  if rest := decoder.decode(b'', final=True):
    yield rest


def texts(
  workdir: str,
  count: int,
  prompt: str = '',
  length: int = 500,
  temperature: float = 1.0,
  seed: int = 0,
  checkpoint: str | int = 'best',
) -> list[str]:
  """Returns several texts that follow a prompt, all drawn at once.

  Args:
    workdir: see `text`, as for the other arguments.
    count: the number of texts.
    prompt: see there.
    length: see there, of each text.
    temperature: see there.
    seed: see there.
    checkpoint: see there.

  Raises:
    ValueError: see there.
    FileNotFoundError: see there.
  """
  from hyper import trained

  run = trained.load(workdir, checkpoint, task='char_lm')
  drawn = run.task.sample(run.params, prompt, length, temperature, seed, count)
  rows = np.stack([*drawn], axis=1)
  vocabulary = run.task.vocabulary
  return [vocabulary.to_bytes(x).decode(errors='replace') for x in rows]


def strokes(
  workdir: str,
  count: int = LINES,
  length: int = 500,
  bias: float = 0.0,
  seed: int = 0,
  prime: str = '',
  data_dir: str = 'data',
  output: str = '',
  checkpoint: str | int = 'best',
) -> list[str]:
  """Draws lines of handwriting from a trained model, as pictures.

  There are three pictures, each as SVG and PNG: the lines; the densities from
  which the first was drawn; and, if the cell scales its weights, their changes
  (figure 7).

  Args:
    workdir: the run folder, or a file of `hyper.export`, beside which the
      pictures are then written.
    count: the number of lines.
    length: the number of moves of each.
    bias: 0 samples from the model's density; larger values are tidier.
    seed: of the draws.
    prime: the line that all lines continue. Either a JSON or CSV file of your
      own pen, whose first line is scaled to moves as long as in the training
      lines, or the name of a line of the run's data, such as a01-000u-01.
    data_dir: the folder of that data.
    output: path of the pictures; an ending .svg or .png is replaced by both. By
      default it is WORKDIR/strokes.
    checkpoint: 'best', 'latest' or a step.

  Returns:
    The paths of the pictures.

  Raises:
    ValueError: the run has another task, the bias is below 0 or not finite, or
      there is no such line.
    FileNotFoundError: `workdir` is no run folder or has no checkpoint, or the
      data or the file of the prime are missing.
  """
  from hyper import trained
  from hyper.decode import check_finite, weight_scalings
  from hyper.drawing import handwriting as pictures
  from hyper.drawing import weight_change

  check_finite('bias', bias)
  run: trained.Run[Handwriting] = trained.load(
    workdir, checkpoint, data_dir, 'handwriting'
  )
  task, params = run.task, run.params
  first = read_prime(task, prime) if prime else np.zeros((0, 3), np.float32)
  drawn = task.sample(params, count, length, bias, seed, first)
  lines = [np.concatenate([first, line]) for line in drawn]
  path = picture_path(output) or os.path.join(run.workdir, 'strokes')
  title = f'samples at step {run.step:,}, bias {bias:g}'
  paths = pictures.draw_page({title: lines}, path, len(first))
  carries, outputs = task.read(params, lines[0])
  paths += pictures.draw_density(
    lines[0], f'{path}_density', **task.expected(outputs[:-1], bias)
  )
  gates = task.model.cells[-1].scaled_gates
  if gates:
    scaled = weight_scalings(task.model, params, carries)
    rows = weight_change.intensities(*map(np.asarray, scaled))[1:]
    paths += pictures.draw_weight_change(
      lines[0], rows, gates, f'{path}_weight_change'
    )
  return paths


def picture_path(output: str) -> str:
  """Returns the path of pictures without the ending .svg or .png.

  >>> picture_path('my/page.png'), picture_path('my/page.2')
  ('my/page', 'my/page.2')
  """
  root, ending = os.path.splitext(output)
  return root if ending in ('.svg', '.png') else output


def read_prime(task: Handwriting, prime: str) -> np.ndarray:
  """Returns the offsets of a line, from a file or by its name in the data."""
  from hyper.data import pen

  if prime.endswith(pen.KINDS):
    return task.normalisation.fit(pen.read(prime)[0].offsets)
  return task.find(prime).offsets


def translate(
  workdir: str,
  sentences: Sequence[str],
  checkpoint: str | int = 'best',
  beam_size: int | None = None,
) -> list[str]:
  """Translates each sentence.

  Args:
    workdir: the folder of a translation run.
    sentences: in the source language.
    checkpoint: 'best', 'latest' or a step.
    beam_size: hypotheses of a translation; None means the config's number.

  Raises:
    ValueError: the run has another task.
    FileNotFoundError: `workdir` is no run folder, or has no checkpoint.
  """
  from hyper import trained

  run = trained.load(workdir, checkpoint, task='translate')
  task = run.task
  if beam_size:
    task.decoding = dataclasses.replace(task.decoding, beam_size=beam_size)
  return task.translate(run.params, sentences)


def read_sentences(path: str) -> list[str]:
  """Returns the lines of a file, or of standard input if `path` is empty.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is not UTF-8.
  """
  if path:
    with open(path, 'rb') as file:
      content = file.read()
  else:
    content = sys.stdin.buffer.read()
  lines = content.removeprefix(codecs.BOM_UTF8).split(b'\n')
  if not lines[-1]:
    lines.pop()
  sentences = []
  for number, line in enumerate(lines, 1):
    try:
      sentences.append(line.decode().rstrip('\r'))
    except UnicodeDecodeError as error:
      raise ValueError(
        f'{path or "the input"}, line {number:,} is not UTF-8: {error}'
      ) from error
  return sentences


def write_text() -> None:
  """Prints the prompt, and then what follows it while it is drawn.

  Several texts are printed at the end, with an empty line after each.
  """
  how = (FLAGS.prompt, FLAGS.length, FLAGS.temperature, FLAGS.seed)
  if FLAGS.count and FLAGS.count > 1:
    for drawn in texts(FLAGS.workdir, FLAGS.count, *how, FLAGS.checkpoint):
      print(f'{FLAGS.prompt}{drawn}\n')
    return
  symbols = text(FLAGS.workdir, *how, FLAGS.checkpoint)
  print(FLAGS.prompt, end='', flush=True)
  for symbol in symbols:
    print(symbol, end='', flush=True)
  print()


def draw_strokes() -> None:
  """Draws handwriting, and prints the paths of the pictures."""
  paths = strokes(
    FLAGS.workdir,
    FLAGS.count or LINES,
    FLAGS.length,
    FLAGS.bias,
    FLAGS.seed,
    FLAGS.prime,
    FLAGS.data_dir,
    FLAGS.output,
    FLAGS.checkpoint,
  )
  print(*paths, sep='\n')


def write_translations() -> None:
  """Prints a translation for each line of the input."""
  sentences = read_sentences(FLAGS.input)
  for line in translate(
    FLAGS.workdir,
    sentences,
    FLAGS.checkpoint,
    FLAGS.beam_size,
  ):
    print(line)


GENERATE = {
  'text': write_text,
  'strokes': draw_strokes,
  'translate': write_translations,
}
READ = {  # the flags of each
  'text': ('workdir', 'count', *commands.SAMPLING),
  'strokes': (
    *('workdir', 'checkpoint', 'count', 'length', 'bias', 'seed'),
    *('prime', 'data_dir', 'output'),
  ),
  'translate': ('workdir', 'checkpoint', 'input', 'beam_size'),
}


def main(what: str) -> None:
  """Generates what the argument names."""
  from hyper.runs import compilation

  commands.prepare_output(FLAGS.output)
  compilation.keep()
  GENERATE[what]()


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  commands.define_run_flag()
  commands.define_sampling_flags()
  flags.DEFINE_integer(
    'count',
    None,
    f'Texts, by default 1, or lines of handwriting, by default {LINES}.',
    lower_bound=1,
  )
  flags.DEFINE_float(
    'bias',
    0.0,
    'Makes handwriting tidier: 0 samples from the model as it is, 1 or 2 is '
    'tidy.',
    lower_bound=0.0,
  )
  flags.DEFINE(
    commands.PATH,
    'prime',
    '',
    'Line of handwriting to continue: a .json or .csv file of your own pen, or '
    "the name of a line of the run's data. Your own has the right size if the "
    'pen is read about as often for each letter.',
  )
  flags.DEFINE(
    commands.PATH,
    'data_dir',
    'data',
    'Folder of the data sets; for --prime=NAME only.',
  )
  flags.DEFINE(
    commands.PATH,
    'output',
    '',
    'Pictures of handwriting, written as .svg and .png.',
  )
  flags.DEFINE(
    commands.PATH,
    'input',
    '',
    'File of sentences to translate; otherwise standard input.',
  )
  flags.DEFINE_integer(
    'beam_size',
    None,
    "Hypotheses of a translation, if not the config's number; 1 is greedy.",
    lower_bound=1,
  )
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  commands.start(main, define_flags, READ)
