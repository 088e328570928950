"""The section config.data of character models: which text, in what batches."""

import dataclasses
import platform
from collections.abc import Callable

import numpy as np

from hyper.configuration import check_positive, check_source
from hyper.data import (
  embedded,
  enwik8,
  own_text,
  ptb,
  vocabulary,
)
from hyper.data.vocabulary import Vocabulary

SPLITS = ('train', 'validation', 'test')
TEXTS: dict[str, Callable[..., dict[str, np.ndarray]]] = {
  'ptb': ptb.load,
  'enwik8': enwik8.load,
  'text': own_text.load,
  'embedded': embedded.load_text,
}
# The fields of config.data that only one source reads, by that source.
FIELDS: dict[str, tuple[str, ...]] = {
  'enwik8': ('prefix_bytes',),
  'text': ('files', 'split', 'symbols'),
}


@dataclasses.dataclass(frozen=True)
class TextData:
  """The section config.data.

  Attributes:
    source: the text, a name of TEXTS.
    batch_size: streams that are trained on at once.
    window_steps: symbols of a stream in a training step.
    eval_streams: streams that are evaluated at once; 1 is one pass over the
      whole split.
    eval_warmup_steps: symbols read, and not scored, before each stream.
    prefix_bytes: of the source 'enwik8', the length of the prefix that is used
      and split; 0 uses the whole file.
    files, split, symbols: of the source 'text', see `own_text.load`.
  """

  source: str
  batch_size: int
  window_steps: int
  eval_streams: int
  eval_warmup_steps: int
  prefix_bytes: int = 0
  files: tuple[str, ...] = ()
  split: tuple[float, ...] = (0.9, 0.05, 0.05)
  symbols: str = 'bytes'

  def __post_init__(self) -> None:
    check_source(self, TEXTS, FIELDS)
    if self.source == 'text':
      own_text.check(self.files, self.split, self.symbols)
    check_positive(
      'config.data',
      batch_size=self.batch_size,
      window_steps=self.window_steps,
      eval_streams=self.eval_streams,
    )
    if self.eval_warmup_steps < 0:
      raise ValueError(
        f'config.data.eval_warmup_steps is {self.eval_warmup_steps}; it cannot '
        'be below 0.'
      )

  def load(self, data_dir: str, split: str, **options: bool) -> np.ndarray:
    """Returns the symbols of a split: bytes, or code points of characters."""
    fields = {name: getattr(self, name) for name in FIELDS.get(self.source, ())}
    return TEXTS[self.source](data_dir, split, **fields, **options)['text']

  def encode(
    self, data_dir: str, vocabulary: Vocabulary, split: str
  ) -> np.ndarray:
    """Returns the numbers of a split's symbols.

    A byte order mark is one of them only if the vocabulary has it, as those of
    runs from before marks were left out do.
    """
    options = {}
    if self.source == 'text' and own_text.MARK in vocabulary.symbols:
      options['keep_mark'] = True
    name = f'the {split} text of {self.source}'
    if self.source == 'embedded':  # it differs between versions of Python
      name += f' (the manual of Python {platform.python_version()})'
    return vocabulary.encode(self.load(data_dir, split, **options), name)

  def make_vocabulary(self, data_dir: str) -> Vocabulary:
    """Returns the symbols of all splits: of enwik8 there are 205."""
    texts = [self.load(data_dir, split) for split in SPLITS]
    return vocabulary.of_text(np.concatenate(texts))
