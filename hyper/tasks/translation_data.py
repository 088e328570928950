"""The sections config.data and config.decoding of translation."""

import dataclasses
from collections.abc import Callable, Iterator

from hyper.configuration import check_positive, check_source
from hyper.data import (
  embedded,
  parallel_text,
  wmt,
  word_pieces,
)
from hyper.data.pair_batches import Buckets
from hyper.data.parallel_text import Pairs
from hyper.data.word_pieces import WordPieces
from hyper.terminal import track

SPLITS = ('train', 'validation', 'test')
TEXTS: dict[str, Callable[..., Pairs]] = {
  'wmt14': wmt.load,
  'files': parallel_text.load,
  'embedded': embedded.load_number_names,
}
# The fields of config.data that only one source reads, by that source.
FIELDS = {'files': SPLITS}


@dataclasses.dataclass(frozen=True)
class TranslationData:
  """The section config.data.

  Attributes:
    source: the sentence pairs, a name of TEXTS.
    vocabulary_size: the most word pieces, of both languages together.
    vocabulary_pairs: the most training pairs that the pieces are learned from,
      taken evenly from all of them.
    bucket_lengths: see `Buckets`; training leaves out longer pairs.
    batch_size: the most pairs in a batch.
    batch_tokens: the most pieces of one side of a batch, padding included.
    train, validation, test: of the source 'files', the two files of each split,
      see `parallel_text.load`.
    character_coverage: the share of all characters in the text that word pieces
      cover; see `word_pieces.train`.
  """

  source: str
  vocabulary_size: int
  vocabulary_pairs: int
  bucket_lengths: tuple[int, ...]
  batch_size: int
  batch_tokens: int
  train: tuple[str, ...] = ()
  validation: tuple[str, ...] = ()
  test: tuple[str, ...] = ()
  character_coverage: float = 0.9995

  def __post_init__(self) -> None:
    check_source(self, TEXTS, FIELDS)
    check_positive(
      'config.data',
      vocabulary_size=self.vocabulary_size,
      vocabulary_pairs=self.vocabulary_pairs,
    )
    if not 0 < self.character_coverage <= 1:
      raise ValueError(
        f'config.data.character_coverage is {self.character_coverage}; it must '
        'be above 0 and at most 1.'
      )

  @property
  def buckets(self) -> Buckets:
    """Returns the shapes of batches."""
    return Buckets(self.bucket_lengths, self.batch_size, self.batch_tokens)

  def check_files(self, data_dir: str) -> None:
    """Raises an error that names a file if one of the splits has none."""
    for split in FIELDS.get(self.source, ()):
      parallel_text.find(data_dir, split, getattr(self, split))

  def load(self, data_dir: str, split: str) -> Pairs:
    """Returns the sentence pairs of a split."""
    fields = {name: getattr(self, name) for name in FIELDS.get(self.source, ())}
    return TEXTS[self.source](data_dir, split, **fields)

  def learn_pieces(self, pairs: Pairs) -> WordPieces:
    """Returns word pieces learned from `vocabulary_pairs` of the pairs.

    If the pairs are on the disk, the pieces are stored beside them. So they are
    learned only once.
    """
    if pairs.folder is None:
      return self._learn_pieces(pairs)
    fields = self.vocabulary_size, self.vocabulary_pairs
    name = f'{fields[0]}_{fields[1]}_{self.character_coverage}'
    return word_pieces.kept(
      pairs.folder, name, lambda: self._learn_pieces(pairs)
    )

  def _learn_pieces(self, pairs: Pairs) -> WordPieces:
    every = -(-len(pairs) // self.vocabulary_pairs)
    numbers = range(0, len(pairs), every)

    def sentences() -> Iterator[str]:
      chunks = (numbers[k : k + 1000] for k in range(0, len(numbers), 1000))
      action = 'Reading sentence pairs to learn word pieces'
      for chunk in track(chunks, action, len(numbers), len):
        for pair in pairs.take(chunk):
          yield from pair

    return word_pieces.train(
      sentences, self.vocabulary_size, self.character_coverage
    )


@dataclasses.dataclass(frozen=True)
class Decoding:
  """The section config.decoding: how `translate` searches.

  Attributes:
    batch_size: sentences that are translated at once.
    beam_size: hypotheses of a sentence; 1 is greedy search.
    length_penalty: GNMT's alpha.
    coverage_penalty: GNMT's beta.
    length_factor: a translation of a source of s pieces has at most
      `length_factor * s + length_more` pieces.
    length_more: see `length_factor`.
  """

  batch_size: int
  beam_size: int
  length_penalty: float
  coverage_penalty: float
  length_factor: int
  length_more: int

  def __post_init__(self) -> None:
    for name, least in (
      *(('batch_size', 1), ('beam_size', 1), ('length_penalty', 0)),
      *(('coverage_penalty', 0), ('length_factor', 0), ('length_more', 1)),
    ):
      if getattr(self, name) < least:
        raise ValueError(
          f'config.decoding.{name} is {getattr(self, name)}; it must be at '
          f'least {least}.'
        )
