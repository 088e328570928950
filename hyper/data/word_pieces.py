"""Word pieces: a vocabulary of parts of words for both languages.

As in GNMT (Wu et al. 2016, section 4.1) one vocabulary is learned on source and
target together. A piece records whether a blank precedes it, so sentences can
be put together again without rules of any language.
"""

import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from absl import logging

from hyper.data import raw_files

# Pieces that are no part of a sentence; their places are their numbers.
SPECIAL = ('<pad>', '<s>', '</s>', '<unk>')
PAD, START, END, UNKNOWN = range(len(SPECIAL))
BLANK = '▁'  # stands for the blank before a word
# Words are letters or digits; every other character is a word of its own. Runs
# are cut after 100 letters, since learning is slow on long words.
WORDS = (
  rf'{BLANK}?[\p{{L}}\p{{M}}]{{1,100}}|{BLANK}?\p{{N}}{{1,100}}|'
  rf'{BLANK}?[^{BLANK}]|{BLANK}'
)
# The most frequent characters are kept whatever their share; nearly all
# alphabets have fewer.
KEPT_CHARACTERS = 1000
LEARNER = 1  # to be raised if `train` learns other pieces from then on


class WordPieces:
  """The pieces of a run, numbered from 0; the first are SPECIAL.

  Args:
    text: JSON that `to_text` returned.
  """

  def __init__(self, text: str):
    # Takes 0.1 s, which commands without sentences need not spend.
    from tokenizers import Tokenizer

    self._text = text
    self._tokenizer = Tokenizer.from_str(text)
    # Pieces learned by earlier versions hide the blank in an unknown word.
    isolates = json.loads(text)['pre_tokenizer']['type'] == 'Sequence'
    self._unknown = SPECIAL[UNKNOWN] if isolates else BLANK + SPECIAL[UNKNOWN]
    vocabulary = self._tokenizer.get_vocab()
    self.pieces = sorted(vocabulary, key=vocabulary.__getitem__)

  def __len__(self) -> int:
    return len(self.pieces)

  @property
  def fingerprint(self) -> str:
    """Returns the first twelve digits of a SHA-256 of these pieces."""
    return _sha256(self._text)[:12]

  def encode(self, sentences: Sequence[str]) -> list[np.ndarray]:
    """Returns each sentence as numbers, int32 [n], the last of which is END.

    Sentences are normalised first. A character without a piece is UNKNOWN; with
    pieces of earlier versions its whole word is UNKNOWN.
    """
    encoded = self._tokenizer.encode_batch_fast(list(sentences))
    return [np.array([*entry.ids, END], np.int32) for entry in encoded]

  def decode(self, numbers: Iterable[int | np.integer]) -> str:
    """Returns the sentence of `numbers`, up to the first END."""
    parts = []
    for number in numbers:
      if number == END:
        break
      if number == UNKNOWN:
        parts.append(self._unknown)
      elif number not in (PAD, START):
        parts.append(self.pieces[number])
    return ''.join(parts).replace(BLANK, ' ').strip()

  def normalise(self, sentence: str) -> str:
    """Returns a sentence as it is encoded: NFC, and one blank between words.

    A French no-break space before a colon becomes a plain blank, too.
    """
    text = self._tokenizer.normalizer.normalize_str(sentence)
    return text.replace(BLANK, ' ').strip()

  def to_text(self) -> str:
    """Returns the JSON from which `WordPieces(text)` makes the same pieces."""
    return self._text


def train(
  sentences: Callable[[], Iterable[str]], size: int, coverage: float = 0.9995
) -> WordPieces:
  """Learns at most `size` pieces; the same sentences give the same pieces.

  There are fewer if the sentences have fewer.

  Args:
    sentences: returns an iterable of all sentences; it is called twice.
    size: of the vocabulary.
    coverage: the share of all characters in the sentences that the pieces must
      cover; other characters, the rarest, are UNKNOWN. The 1,000 most frequent
      characters are kept whatever their share.

  Raises:
    ValueError: the size leaves no room for the characters of the sentences.
  """
  from tokenizers import models, trainers

  # The trainer of word pieces breaks ties in an order that changes from run to
  # run; this one does not. Both repeatedly join the most frequent neighbours.
  alphabet = _alphabet(sentences(), coverage)
  learner = _tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]), alphabet)
  learner.train_from_iterator(
    sentences(),
    trainers.BpeTrainer(
      vocab_size=size,
      initial_alphabet=alphabet,
      limit_alphabet=len(alphabet),
      special_tokens=list(SPECIAL),
      show_progress=False,
    ),
  )
  numbers = learner.get_vocab()
  if len(numbers) > size:
    raise ValueError(
      f'A vocabulary of {size} word pieces has no room for the characters of '
      f'the text alone, which need {len(numbers)}; choose a larger '
      'config.data.vocabulary_size, or a smaller character_coverage where they '
      f'are more than {KEPT_CHARACTERS:,}.'
    )
  model = models.WordPiece(
    numbers,
    unk_token=SPECIAL[UNKNOWN],
    continuing_subword_prefix='',
    max_input_chars_per_word=1000,
  )
  return WordPieces(_tokenizer(model, alphabet).to_str())


def kept(folder: str, name: str, learn: Callable[[], WordPieces]) -> WordPieces:
  """Returns the pieces stored in a folder; learns and stores missing ones.

  Args:
    folder: for a file of pieces and their SHA-256.
    name: of the pieces, different for each set.
    learn: is called if they are not stored.

  Raises:
    ValueError: the file is damaged.
  """
  path = os.path.join(folder, f'pieces_{LEARNER}_{name}.json')
  if os.path.exists(path):
    return _stored(path)
  pieces = learn()
  text = pieces.to_text()
  try:
    raw_files.store(f'{text}\n{_sha256(text)}'.encode(), path)
  except OSError as error:
    logging.info('The word pieces are not kept: %s', error)
  return pieces


def _stored(path: str) -> WordPieces:
  with open(path, encoding='utf-8', errors='replace') as file:
    text, _, digest = file.read().rpartition('\n')
  if digest != _sha256(text):
    raise ValueError(
      f'{path} is damaged (another checksum). Delete it to have it made again.'
    )
  return WordPieces(text)


def _sha256(text: str) -> str:
  return hashlib.sha256(text.encode()).hexdigest()


def _alphabet(sentences: Iterable[str], coverage: float) -> list[str]:
  """Returns the most frequent characters; ties are in alphabetical order."""
  counts: Counter[str] = Counter()
  for sentence in sentences:  # Python's NFC takes a tenth of the time of ours
    counts.update(unicodedata.normalize('NFC', f' {sentence}'))
  blanks = [x for x in counts if x.isspace()]
  counts[BLANK] += sum(counts.pop(x) for x in blanks)
  ranked = sorted(counts, key=lambda x: (-counts[x], x))
  covered = np.cumsum([counts[x] for x in ranked])
  needed = int(np.searchsorted(covered, coverage * counts.total())) + 1
  return ranked[: max(needed, KEPT_CHARACTERS)]


def _tokenizer(model: Any, alphabet: Iterable[str]) -> Any:
  """Returns a tokenizer: text to words, unknown characters apart, to pieces."""
  from tokenizers import Regex, Tokenizer, pre_tokenizers

  known = ''.join(rf'\x{{{ord(x):x}}}' for x in sorted(alphabet))
  tokenizer = Tokenizer(model)
  tokenizer.normalizer = _normaliser()
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(Regex(f'[^{known}]'), 'isolated'),
      pre_tokenizers.Split(Regex(WORDS), 'isolated'),
    ]
  )
  return tokenizer


def _normaliser() -> Any:
  """Returns a normaliser to NFC, with BLANK before each word."""
  from tokenizers import Regex, normalizers

  return normalizers.Sequence(
    [
      normalizers.NFC(),
      normalizers.Replace(Regex(r'\s+'), ' '),
      normalizers.Strip(),
      normalizers.Replace(Regex('^(?=.)'), ' '),
      normalizers.Replace(' ', BLANK),
    ]
  )
