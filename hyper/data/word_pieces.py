"""Word pieces: a vocabulary of parts of words for both languages.

As in GNMT (Wu et al. 2016, section 4.1) one vocabulary is learned on source and
target together, a piece knows whether a blank stands before it, and so a
sentence can be put together again without rules of any language.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

# What is no part of a sentence; the numbers are the places.
SPECIAL = ('<pad>', '<s>', '</s>', '<unk>')
PAD, START, END, UNKNOWN = range(len(SPECIAL))
BLANK = '▁'  # stands for the blank before a word
# Letters and digits hold together, every other character stands alone.
WORDS = (
  rf'{BLANK}?[\p{{L}}\p{{M}}]+|{BLANK}?\p{{N}}+|{BLANK}?[^{BLANK}]|{BLANK}'
)
# The rarest characters of a large corpus are left to <unk>.
MOST_CHARACTERS = 1000


class WordPieces:
  """The pieces of a run, numbered from 0 on; the first are SPECIAL.

  Args:
    text: what `to_text` returned.
  """

  def __init__(self, text: str):
    # Takes 0.1 s, which commands without sentences need not spend.
    from tokenizers import Tokenizer

    self._text = text
    self._tokenizer = Tokenizer.from_str(text)
    vocabulary = self._tokenizer.get_vocab()
    self.pieces = sorted(vocabulary, key=vocabulary.__getitem__)

  def __len__(self) -> int:
    return len(self.pieces)

  @property
  def fingerprint(self) -> str:
    """Twelve digits that tell these pieces from others."""
    return hashlib.sha256(self._text.encode()).hexdigest()[:12]

  def encode(self, sentences: Sequence[str]) -> list[np.ndarray]:
    """Each sentence as numbers, int32 [n], the last of which is END.

    Blanks of every kind become one plain blank, as a French no-break space
    before a colon does; a word with a character that training did not show is
    UNKNOWN as a whole, with the blank before it.
    """
    encoded = self._tokenizer.encode_batch_fast(list(sentences))
    return [np.array([*entry.ids, END], np.int32) for entry in encoded]

  def decode(self, numbers: Iterable[int]) -> str:
    """The sentence of some numbers, up to the first END."""
    parts = []
    for number in numbers:
      if number == END:
        break
      if number == UNKNOWN:
        parts.append(BLANK)  # most words have one
      if number not in (PAD, START):
        parts.append(self.pieces[number])
    return ''.join(parts).replace(BLANK, ' ').strip()

  def to_text(self) -> str:
    """Returns the JSON from which `WordPieces(text)` makes the same pieces."""
    return self._text


def train(sentences: Callable[[], Iterable[str]], size: int) -> WordPieces:
  """Learns at most `size` pieces; the same sentences give the same pieces.

  Few sentences may have fewer pieces in them than asked for.

  Args:
    sentences: gives all sentences, and again when called again.
    size: of the vocabulary.

  Raises:
    ValueError: the size leaves no room for the characters of the sentences.
  """
  from tokenizers import models, trainers

  # The trainer of word pieces numbers what goes on within a word in an order
  # that changes from run to run, and so breaks ties differently; this one does
  # not. Both join the most frequent pair of neighbours again and again.
  learner = _tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]))
  # Nor would it choose alike among characters that are equally rare.
  counts: Counter[str] = Counter()
  for sentence in sentences():
    counts.update(learner.normalizer.normalize_str(sentence))
  ranked = sorted(counts, key=lambda x: (-counts[x], x))[:MOST_CHARACTERS]
  learner.train_from_iterator(
    sentences(),
    trainers.BpeTrainer(
      vocab_size=size,
      initial_alphabet=ranked,
      limit_alphabet=len(ranked),
      special_tokens=list(SPECIAL),
      show_progress=False,
    ),
  )
  numbers = learner.get_vocab()
  if len(numbers) > size:
    raise ValueError(
      f'A vocabulary of {size} word pieces has no room for the characters of '
      f'the text alone, which need {len(numbers)}; choose a larger '
      'config.data.vocabulary_size.'
    )
  model = models.WordPiece(
    numbers,
    unk_token=SPECIAL[UNKNOWN],
    continuing_subword_prefix='',
    max_input_chars_per_word=1000,
  )
  return WordPieces(_tokenizer(model).to_str())


def _tokenizer(model: Any) -> Any:
  """Text to words, and words to what the model makes of them."""
  from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

  tokenizer = Tokenizer(model)
  tokenizer.normalizer = normalizers.Sequence(
    [
      normalizers.NFC(),
      normalizers.Replace(Regex(r'\s+'), ' '),
      normalizers.Strip(),
      normalizers.Replace(Regex('^(?=.)'), ' '),
      normalizers.Replace(' ', BLANK),
    ]
  )
  tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), 'isolated')
  return tokenizer
