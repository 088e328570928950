"""The symbols of a text: bytes, numbered in their order."""

import json

import numpy as np
from numpy.typing import ArrayLike

from hyper.data import run_files

FILE = 'vocabulary.json'


class Vocabulary:
  """The distinct bytes of a text, each with a number from 0 on.

  Attributes:
    symbols: the bytes, sorted, uint8 [v].
  """

  def __init__(self, symbols: np.ndarray):
    self.symbols = np.asarray(symbols, np.uint8)
    self._numbers = np.full(256, -1, np.int32)
    self._numbers[self.symbols] = np.arange(len(self.symbols))

  def __len__(self) -> int:
    return len(self.symbols)

  @property
  def start(self) -> int:
    """What counts as the symbol before a text: the line end, if there is."""
    return max(int(self._numbers[ord('\n')]), 0)

  def encode(self, text: np.ndarray, name: str = 'the text') -> np.ndarray:
    """Bytes, uint8 [n], to numbers, int32 [n].

    Raises:
      ValueError: a byte is not in the vocabulary; `name` is said with it.
    """
    numbers = self._numbers[text]
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
      symbol = bytes(text[unknown[:1]])
      raise ValueError(
        f'{name} has {symbol!r} at position {unknown[0]}, a symbol that is not '
        'in the vocabulary.'
      )
    return numbers

  def to_bytes(self, numbers: ArrayLike) -> bytes:
    """Numbers to the symbols they stand for."""
    return self.symbols[np.asarray(numbers)].tobytes()

  def save(self, workdir: str) -> None:
    """Writes vocabulary.json into a run folder."""
    text = json.dumps({'bytes': self.symbols.tolist()})
    run_files.write(workdir, FILE, text)


def load(workdir: str) -> Vocabulary | None:
  """The vocabulary of a run, see `run_files.read`."""
  return run_files.read(
    workdir,
    FILE,
    lambda text: Vocabulary(np.array(json.loads(text)['bytes'], np.uint8)),
  )


def of_text(text: np.ndarray) -> Vocabulary:
  """The vocabulary of a text, uint8 [n]."""
  return Vocabulary(np.unique(text))
