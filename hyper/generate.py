"""Generates from a trained run.

  python -m hyper.generate text --workdir=runs/ptb_hyper --prompt='the '
  python -m hyper.generate translate --workdir=runs/nmt_hyper --input=FILE

Text is written as it is drawn; sentences to translate are read one a line, from
standard input or from a file. The run folder holds all that is needed.
"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from absl import app, flags, logging

from hyper import configuration, trained
from hyper.decode import sample_symbols
from hyper.tasks.char_lm import CharLM
from hyper.tasks.translate import Translate


def text(
  workdir: str,
  prompt: str,
  length: int,
  temperature: float,
  seed: int,
  which: str = 'best',
) -> Iterator[str]:
  """The symbols that a trained character model draws after a prompt.

  Raises:
    ValueError: the run is no character model, or the prompt has a symbol
      that the training text does not have.
    FileNotFoundError: it is no run folder, or has no checkpoint.
  """
  config = configuration.load(workdir)
  task, _, state = trained.load(config, workdir, '', which)
  if not isinstance(task, CharLM):
    raise ValueError(
      f'{workdir} is a run of the task {config.task!r}; text needs char_lm.'
    )
  symbols = np.frombuffer(prompt.encode(), np.uint8)
  start = [task.vocabulary.start]
  numbers = sample_symbols(
    lambda carry, x: task.model.apply({'params': state.params}, carry, x),
    task.model.zeros(1),
    [*start, *task.vocabulary.encode(symbols, 'the prompt')],
    length,
    temperature,
    seed,
  )
  return (task.vocabulary.decode([number]) for number in numbers)


def translate(
  workdir: str,
  sentences: Sequence[str],
  which: str = 'best',
  beam_size: int | None = None,
) -> list[str]:
  """The translation of each sentence by a trained model.

  Raises:
    ValueError: the run does not translate.
    FileNotFoundError: it is no run folder, or has no checkpoint.
  """
  config = configuration.load(workdir)
  if beam_size and config.task == 'translate':
    config.decoding.beam_size = beam_size
  task, _, state = trained.load(config, workdir, '', which)
  if not isinstance(task, Translate):
    raise ValueError(
      f'{workdir} is a run of the task {config.task!r}; it does not translate.'
    )
  return task.translate(state.params, sentences)


def read_sentences(path: str) -> list[str]:
  """The lines of a file, or of standard input where there is no path.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is not UTF-8.
  """
  if path:
    with open(path, 'rb') as file:
      lines = file.read().split(b'\n')
  else:
    lines = sys.stdin.buffer.read().split(b'\n')
  if not lines[-1]:
    lines.pop()
  try:
    return [line.decode().rstrip('\r') for line in lines]
  except UnicodeDecodeError as error:
    raise ValueError(f'{path or "the input"} is not UTF-8: {error}') from error


def write_text() -> None:
  """Writes the prompt and what follows it."""
  symbols = text(
    flags.FLAGS.workdir,
    flags.FLAGS.prompt,
    flags.FLAGS.length,
    flags.FLAGS.temperature,
    flags.FLAGS.seed,
    flags.FLAGS.checkpoint,
  )
  print(flags.FLAGS.prompt, end='', flush=True)
  for symbol in symbols:
    print(symbol, end='', flush=True)
  print()


def write_translations() -> None:
  """Writes a line for each line of the input."""
  sentences = read_sentences(flags.FLAGS.input)
  for line in translate(
    flags.FLAGS.workdir,
    sentences,
    flags.FLAGS.checkpoint,
    flags.FLAGS.beam_size,
  ):
    print(line)


WRITERS = {'text': write_text, 'translate': write_translations}


def main(argv: list[str]) -> int:
  """Writes what the first argument names."""
  if len(argv) != 2 or argv[1] not in WRITERS:
    raise app.UsageError(
      f'say what to generate: {" or ".join(WRITERS)} (not {argv[1:]})'
    )
  try:
    WRITERS[argv[1]]()
  except (ValueError, FileNotFoundError) as error:
    logging.debug('traceback', exc_info=True)
    print(f'error: {error}', file=sys.stderr)
    return 1
  return 0


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  flags.DEFINE_string('prompt', '', 'Text to go on from.')
  flags.DEFINE_integer('length', 500, 'Symbols to draw.', lower_bound=1)
  flags.DEFINE_float(
    'temperature',
    1.0,
    'Divides the logits: below 1 is more cautious, 0 takes the most probable.',
    lower_bound=0.0,
  )
  flags.DEFINE_integer('seed', 0, 'Of the draws.')
  flags.DEFINE_string(
    'input', '', 'File of sentences to translate; otherwise standard input.'
  )
  flags.DEFINE_integer(
    'beam_size',
    None,
    "Hypotheses of a translation, if not the config's number; 1 is greedy.",
    lower_bound=1,
  )
  flags.DEFINE_enum('checkpoint', 'best', ['best', 'latest'], 'Which one.')
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  define_flags()
  app.run(main)
