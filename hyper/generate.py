"""Generates from a trained run.

  python -m hyper.generate text --workdir=runs/ptb_hyper --prompt='the '

Text is written as it is drawn. The run folder holds all that is needed.
"""

import codecs
import sys
from collections.abc import Iterator
from typing import Any

from absl import app, flags, logging

from hyper import trained
from hyper.decode import sample_symbols
from hyper.tasks.char_lm import CharLM


def text(
  workdir: str,
  prompt: str,
  length: int,
  temperature: float,
  seed: int,
  which: str = 'best',
) -> Iterator[str]:
  """The text that a trained character model draws after a prompt.

  A character of several bytes comes with the last of them.

  Raises:
    ValueError: the run is no character model, or the prompt has a symbol
      that the training text does not have.
    FileNotFoundError: it is no run folder, or has no checkpoint.
  """
  task, params = trained.load_text_model(workdir, which)
  decoder = codecs.getincrementaldecoder('utf-8')(errors='replace')
  drawn = draw_numbers(task, params, prompt, length, temperature, seed)
  return (decoder.decode(task.vocabulary.to_bytes([k])) for k in drawn)


def draw_numbers(
  task: CharLM,
  params: Any,
  prompt: str,
  length: int,
  temperature: float,
  seed: int,
) -> Iterator[int]:
  """As `text`, by the numbers that the vocabulary gives to symbols."""
  read = [task.vocabulary.start, *task.encode(prompt, 'the prompt')]
  return sample_symbols(
    task.reader(params), task.model.zeros(1), read, length, temperature, seed
  )


def main(argv: list[str]) -> int:
  """Writes the prompt and what follows it."""
  if argv[1:] != ['text']:
    raise app.UsageError(f'say what to generate: text (not {argv[1:]})')
  try:
    symbols = text(
      flags.FLAGS.workdir,
      flags.FLAGS.prompt,
      flags.FLAGS.length,
      flags.FLAGS.temperature,
      flags.FLAGS.seed,
      flags.FLAGS.checkpoint,
    )
  except (ValueError, FileNotFoundError) as error:
    logging.debug('traceback', exc_info=True)
    print(f'error: {error}', file=sys.stderr)
    return 1
  print(flags.FLAGS.prompt, end='', flush=True)
  for symbol in symbols:
    print(symbol, end='', flush=True)
  print()
  return 0


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  define_text_flags()
  flags.mark_flag_as_required('workdir')


def define_text_flags() -> None:
  """Declares how text is drawn."""
  flags.DEFINE_string('prompt', '', 'Text to go on from.')
  flags.DEFINE_integer('length', 500, 'Symbols to draw.', lower_bound=1)
  flags.DEFINE_float(
    'temperature',
    1.0,
    'Divides the logits: below 1 is more cautious, 0 takes the most probable.',
    lower_bound=0.0,
  )
  flags.DEFINE_integer('seed', 0, 'Of the draws.')
  flags.DEFINE_enum('checkpoint', 'best', ['best', 'latest'], 'Which one.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
