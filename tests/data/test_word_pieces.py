"""Word pieces: sentences come back, and the same text gives the same pieces."""

import json

import numpy as np
import pytest

from hyper.data import embedded, word_pieces
from hyper.data.word_pieces import END, PAD, START, UNKNOWN

SENTENCES = [
  'Deux hommes, près de la mer.',
  'Two men near the sea; it is "calm".',
  "L'été, à 30 % (environ) !",
  'the men, the sea, the summer',
] * 3


@pytest.fixture(scope='module')
def pieces():
  return word_pieces.train(lambda: SENTENCES, 90)


def test_sentences_come_back(pieces):
  for sentence, numbers in zip(
    SENTENCES, pieces.encode(SENTENCES), strict=True
  ):
    assert numbers.dtype == np.int32 and numbers[-1] == END
    assert not set(numbers[:-1].tolist()) & {PAD, START, END, UNKNOWN}
    assert pieces.decode(numbers) == sentence


def test_number_names_come_back():
  pairs = embedded.load_number_names('', 'train').take(range(300))
  sides = [side for pair in pairs for side in pair]
  pieces = word_pieces.train(lambda: sides, 120)
  assert [pieces.decode(x) for x in pieces.encode(sides)] == sides


def test_blanks_of_every_kind_are_one_blank(pieces):
  plain, french, many, line = pieces.encode(
    ['mer !', 'mer\u202f!', '  mer \u00a0\t !\n', 'mer\u2028!']
  )
  for other in (french, many, line):
    np.testing.assert_array_equal(plain, other)


def test_an_empty_sentence_is_only_an_end(pieces):
  for numbers in pieces.encode(['', '  ']):
    assert numbers.tolist() == [END]
  assert pieces.decode([END]) == pieces.decode([]) == ''


def test_a_letter_with_a_combining_accent_is_one_character(pieces):
  one, two = pieces.encode(['été', 'e\u0301te\u0301'])
  np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
  'sentence, wanted',
  [
    ('the 漢 sea', 'the <unk> sea'),
    ('the s漢ea', 'the s<unk>ea'),
    ('漢漢the', '<unk><unk>the'),
  ],
)
def test_only_the_unknown_character_is_unknown(pieces, sentence, wanted):
  (numbers,) = pieces.encode([sentence])
  assert pieces.decode(numbers) == wanted


def test_pieces_of_earlier_versions_read_as_they_did(pieces):
  fields = json.loads(pieces.to_text())
  fields['pre_tokenizer'] = fields['pre_tokenizer']['pretokenizers'][1]
  old = word_pieces.WordPieces(json.dumps(fields))
  np.testing.assert_array_equal(
    old.encode(SENTENCES)[0], pieces.encode(SENTENCES)[0]
  )
  (numbers,) = old.encode(['the s漢ea is'])
  assert (numbers == UNKNOWN).sum() == 1
  assert old.decode(numbers) == 'the <unk> is'


def test_a_large_alphabet_without_blanks_is_covered():
  rng = np.random.default_rng(0)
  letters = [chr(0x4E00 + k) for k in range(1500)]
  p = 1 / np.arange(1, 1501)
  drawn = rng.choice(letters, (1000, 120), p=p / p.sum())
  sentences = [''.join(row) for row in drawn]
  for coverage, least, most in ((0.9995, 0, 0.001), (0.99, 0.005, 0.02)):
    found = word_pieces.train(lambda: sentences, 2000, coverage)
    encoded = np.concatenate([x[:-1] for x in found.encode(sentences)])
    assert least <= (encoded == UNKNOWN).mean() <= most
    assert UNKNOWN not in found.encode([letters[0] * 2000])[0]


def test_sentences_are_normalised(pieces):
  sentence = ' e\u0301te\u0301\u202f: \u00e9\n'
  assert pieces.normalise(sentence) == 'été : é'
  assert pieces.normalise('') == ''


def test_special_pieces_cannot_be_written_as_text(pieces):
  (numbers,) = pieces.encode(['the <pad></s> sea'])
  assert not set(numbers[:-1].tolist()) & {PAD, START, END}


def test_decoding_stops_at_the_first_end(pieces):
  sea, men = pieces.encode(['sea', 'men'])
  assert pieces.decode(np.array([START, *sea, *men, PAD])) == 'sea'


def test_the_same_text_gives_the_same_pieces(pieces):
  again = word_pieces.train(lambda: iter(SENTENCES), 90)
  assert again.pieces == pieces.pieces and len(pieces) == 90
  assert again.fingerprint == pieces.fingerprint
  assert (
    word_pieces.train(lambda: SENTENCES, 89).fingerprint != pieces.fingerprint
  )


def test_ties_of_rare_characters_are_broken_alike(monkeypatch):
  monkeypatch.setattr(word_pieces, 'KEPT_CHARACTERS', 300)
  letters = [chr(0x4E00 + k) for k in range(400)]
  rng = np.random.default_rng(0)
  sentences = ['the ' + ''.join(rng.permutation(letters)) for _ in range(3)]
  kept = [
    set(word_pieces.train(lambda s=s: s, 305, 0.7).pieces) & set(letters)
    for s in (sentences, sentences[::-1])
  ]
  assert kept[0] == kept[1] == set(letters[: len(kept[0])])
  assert 290 < len(kept[0]) < 300


def test_pieces_survive_as_text(pieces):
  again = word_pieces.WordPieces(pieces.to_text())
  assert again.pieces == pieces.pieces
  assert again.fingerprint == pieces.fingerprint


def test_a_vocabulary_without_room_for_the_characters_is_refused():
  with pytest.raises(ValueError, match='vocabulary_size'):
    word_pieces.train(lambda: SENTENCES, 12)
