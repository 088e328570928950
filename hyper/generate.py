"""Generates from a trained run.

  python -m hyper.generate text --workdir=runs/ptb_hyper --prompt='the '

Text is written as it is drawn. The run folder holds all that is needed.
"""

import sys
from collections.abc import Iterator

import numpy as np
from absl import app, flags, logging

from hyper import configuration, trained
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
  flags.mark_flag_as_required('workdir')


if __name__ == '__main__':
  define_flags()
  app.run(main)
