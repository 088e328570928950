"""Vocabularies of bytes and of characters: numbers, texts, unknown symbols."""

import numpy as np
import pytest

from hyper.data import vocabulary
from hyper.data.vocabulary import Vocabulary, to_symbols

TEXT = 'été 漢字\n🙂 fini'


@pytest.mark.parametrize('kind', [np.uint8, np.uint32])
def test_a_text_comes_back(kind):
  symbols = to_symbols(TEXT.encode(), kind)
  found = vocabulary.of_text(symbols)
  numbers = found.encode(symbols)
  assert numbers.dtype == np.int32 and numbers.min() >= 0
  assert numbers.max() == len(found) - 1
  assert found.to_bytes(numbers).decode() == TEXT
  np.testing.assert_array_equal(found.encode_text(TEXT), numbers)
  again = Vocabulary.from_text(found.to_text())
  assert again.symbols.dtype == kind
  np.testing.assert_array_equal(again.symbols, found.symbols)


def test_characters_are_one_symbol_each():
  symbols = to_symbols(TEXT.encode(), np.uint32)
  assert len(symbols) == len(TEXT)
  assert len(vocabulary.of_text(symbols)) == len(set(TEXT))


def test_old_files_are_read():
  assert Vocabulary.from_text('{"bytes": [10, 97]}').to_bytes([1, 0]) == b'a\n'


@pytest.mark.parametrize('kind', [np.uint8, np.uint32])
@pytest.mark.parametrize('letter', ['\x00', 'm', 'é', '漢', '\U0010ffff'])
def test_an_unknown_letter_is_named_by_name_and_place(kind, letter):
  found = vocabulary.of_text(to_symbols('xyz\xe8\n'.encode(), kind))
  with pytest.raises(ValueError, match='the prompt has') as error:
    found.encode_text(f'xy{letter}', 'the prompt')
  assert f'{letter!r} at position 2' in str(error.value)


def test_an_unknown_byte_is_named():
  every = np.arange(256, dtype=np.uint8)
  assert vocabulary.of_text(every).encode(every).tolist() == list(range(256))
  found = vocabulary.of_text(every[[5, 9, 255]])
  with pytest.raises(ValueError, match=r"the text has b'\\xfe' at position 1"):
    found.encode(every[[255, 254]])


def test_the_start_is_the_line_end_where_there_is_one():
  assert vocabulary.of_text(to_symbols(b'b\na', np.uint32)).start == 0
  assert vocabulary.of_text(to_symbols(b'\tb\na', np.uint8)).start == 1
  assert vocabulary.of_text(to_symbols(b'ba', np.uint8)).start == 0
  assert vocabulary.of_text(np.array([1, 2], np.uint8)).start == 0
