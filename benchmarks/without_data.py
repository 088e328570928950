"""Makes tasks at full size without reading any data."""

import numpy as np
from ml_collections import ConfigDict

from hyper.data.strokes import Normalisation
from hyper.data.vocabulary import Vocabulary
from hyper.data.word_pieces import SPECIAL
from hyper.runs import folder
from hyper.runs.task import Task
from hyper.tasks import make_task

SYMBOLS = {'ptb': 50, 'enwik8': 205}  # of a text
PIECES = 32_000


def make(config: ConfigDict, workdir: str) -> Task:
  """Returns the task of a config, as if its run had begun in `workdir`.

  Args:
    config: of a run. A text has SYMBOLS, a corpus of sentence pairs PIECES.
    workdir: an empty folder.
  """
  folder.rebuild(workdir, config, kept(config))
  return make_task(config, '', workdir)


def kept(config: ConfigDict) -> dict[str, str]:
  """Returns the files that a run keeps of its data, by name."""
  if config.task == 'char_lm':
    symbols = np.arange(SYMBOLS[config.data.source], dtype=np.uint8)
    return {folder.VOCABULARY: Vocabulary(symbols).to_text()}
  if config.task == 'handwriting':
    unit = Normalisation(np.zeros(2, 'f'), np.ones(2, 'f'))
    return {folder.NORMALISATION: unit.to_text()}
  if config.task == 'translate':
    return {folder.WORD_PIECES: tokenizer()}
  return {}


def tokenizer() -> str:
  """Returns the JSON of a tokenizer whose pieces are numbers."""
  from tokenizers import Tokenizer, models, pre_tokenizers

  pieces = [*SPECIAL, *map(str, range(len(SPECIAL), PIECES))]
  numbers = {piece: k for k, piece in enumerate(pieces)}
  made = Tokenizer(models.WordPiece(numbers, unk_token=SPECIAL[-1]))
  made.pre_tokenizer = pre_tokenizers.Sequence([])
  return made.to_str()
