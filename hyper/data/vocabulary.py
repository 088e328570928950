"""The symbols of a text, bytes or Unicode characters, and their numbers."""

import json

import numpy as np
from numpy.typing import ArrayLike


class Vocabulary:
  """The distinct symbols of a text, numbered from 0 in their order.

  Attributes:
    symbols: sorted; bytes, uint8 [v], or the code points of Unicode characters,
      uint32 [v].
  """

  def __init__(self, symbols: np.ndarray):
    self.symbols = symbols
    # An entry for every byte, and one for all symbols after the last.
    self._numbers = np.full(max(256, int(symbols[-1]) + 2), -1, np.int32)
    self._numbers[symbols] = np.arange(len(symbols))

  def __len__(self) -> int:
    return len(self.symbols)

  @property
  def start(self) -> int:
    """Returns the number of the line end, or 0: it is read before a text."""
    return max(int(self._look_up(np.array([ord('\n')]))[0]), 0)

  def encode(self, text: np.ndarray, name: str = 'the text') -> np.ndarray:
    """Returns the numbers, int32 [n], of symbols [n] of the vocabulary's kind.

    Raises:
      ValueError: a symbol is not in the vocabulary; the message has `name`.
    """
    numbers = self._look_up(text)
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
      symbol = text[unknown[0]]
      shown = chr(symbol) if text.dtype == np.uint32 else bytes([symbol])
      raise _not_in_vocabulary(name, shown, int(unknown[0]))
    return numbers

  def encode_text(self, text: str, name: str = 'the text') -> np.ndarray:
    """Returns the numbers of a string, int32 [n].

    Raises:
      ValueError: a character is not in the vocabulary; the message has `name`.
    """
    kind = self.symbols.dtype
    for place, character in enumerate(text):
      if (self._look_up(to_symbols(character.encode(), kind)) < 0).any():
        raise _not_in_vocabulary(name, character, place)
    return self.encode(to_symbols(text.encode(), kind), name)

  def to_bytes(self, numbers: ArrayLike) -> bytes:
    """Returns the text of `numbers`; characters are encoded as UTF-8."""
    symbols = self.symbols[np.asarray(numbers)]
    if symbols.dtype == np.uint8:
      return symbols.tobytes()
    return symbols.astype('<u4').tobytes().decode('utf-32-le').encode()

  def to_text(self) -> str:
    """Returns JSON that `from_text` reads."""
    if self.symbols.dtype == np.uint8:
      return json.dumps({'bytes': self.symbols.tolist()})
    numbers = np.arange(len(self))
    return json.dumps({'characters': self.to_bytes(numbers).decode()})

  @classmethod
  def from_text(cls, text: str) -> 'Vocabulary':
    """Returns the vocabulary that `to_text` wrote."""
    fields = json.loads(text)
    if 'characters' in fields:
      return cls(to_symbols(fields['characters'].encode(), np.uint32))
    return cls(np.array(fields['bytes'], np.uint8))

  def _look_up(self, text: np.ndarray) -> np.ndarray:
    if text.dtype != np.uint8:
      text = np.minimum(text, len(self._numbers) - 1)
    return self._numbers[text]


def of_text(text: np.ndarray) -> Vocabulary:
  """Returns the vocabulary of a text, uint8 [n] or uint32 [n]."""
  return Vocabulary(np.unique(text))


def to_symbols(text: bytes, kind: np.typing.DTypeLike) -> np.ndarray:
  """Returns UTF-8 as bytes, uint8 [n], or as code points, uint32 [n].

  Raises:
    UnicodeDecodeError: `kind` is uint32, and the text is not UTF-8.
  """
  if kind == np.uint8:
    return np.frombuffer(text, np.uint8)
  encoded = text.decode().encode('utf-32-le')
  return np.frombuffer(encoded, '<u4').astype(np.uint32)


def _not_in_vocabulary(
  name: str, symbol: str | bytes, place: int
) -> ValueError:
  return ValueError(
    f'{name} has {symbol!r} at position {place}, a symbol that is not in the '
    'vocabulary.'
  )
