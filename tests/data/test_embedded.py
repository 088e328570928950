"""Embedded text, digits and lines: always the same, of the promised sizes."""

import os
import pydoc_data.topics

import numpy as np
import pytest

from hyper.data import embedded, number_names, prepared, strokes
from hyper.drawing.handwriting import to_strokes


@pytest.fixture
def few(monkeypatch):
  monkeypatch.setattr(
    embedded, 'SIZES', {'train': 300, 'validation': 40, 'test': 50}
  )


def load_all(load, data_dir):
  return {split: load(str(data_dir), split) for split in prepared.SPLITS}


def test_text_is_the_manual_cut_in_three(tmp_path):
  parts = load_all(embedded.load_text, tmp_path)
  topics = pydoc_data.topics.topics
  whole = '\n'.join(topics[key] for key in sorted(topics)).encode()
  assert b''.join(parts[split]['text'].tobytes() for split in parts) == whole
  assert len(whole) > 400_000
  shares = [len(parts[split]['text']) / len(whole) for split in parts]
  np.testing.assert_allclose(shares, [0.9, 0.05, 0.05], atol=1e-5)


def test_another_manual_gets_a_copy_of_its_own(tmp_path, monkeypatch):
  embedded.load_text(str(tmp_path), 'train')
  monkeypatch.setattr(
    pydoc_data.topics, 'topics', {'b': 'x' * 50, 'a': 'y' * 49}
  )
  parts = load_all(embedded.load_text, tmp_path)
  text = b''.join(parts[split]['text'].tobytes() for split in parts)
  assert text == b'y' * 49 + b'\n' + b'x' * 50
  assert [len(parts[split]['text']) for split in parts] == [90, 5, 5]
  assert len(os.listdir(tmp_path / 'prepared')) == 2


def test_digits_are_always_the_same(tmp_path, few):
  one = load_all(embedded.load_digits, tmp_path / 'one')
  two = load_all(embedded.load_digits, tmp_path / 'two')
  for split in prepared.SPLITS:
    for key in 'image', 'label':
      np.testing.assert_array_equal(one[split][key], two[split][key])


def test_digits_have_the_form_of_mnist(tmp_path, few):
  for split, digits in load_all(embedded.load_digits, tmp_path).items():
    n = embedded.SIZES[split]
    image, label = digits['image'], digits['label']
    assert (image.shape, image.dtype) == ((n, 28, 28, 1), np.uint8)
    assert (label.shape, label.dtype) == ((n,), np.int32)
    assert set(label.tolist()) == set(range(10))
    assert np.all(image.max((1, 2, 3)) > 150)  # white ink in every one
    assert 0.08 < image.mean() / 255 < 0.2  # on black; MNIST has 0.13
    assert image[:, 0].max() < 64 and image[:, 0].std() > 1  # faint noise
    assert len(np.unique(image, axis=0)) == n  # each distorted its own way


def test_digits_stay_inside_the_frame_and_near_its_middle(tmp_path, few):
  image = embedded.load_digits(str(tmp_path), 'train')['image'][..., 0]
  ink = (image > 64).astype(float)
  inner = ink[:, 1:-1, 1:-1]
  assert inner.sum() / ink.sum() > 0.999
  place = np.arange(28) - 13.5
  weight = ink.sum((1, 2))
  for axis in (1, 2):
    middle = (ink.sum(axis) * place).sum(1) / weight
    assert np.abs(middle).max() < 6
    assert middle.std() > 0.5  # shifted


def test_every_font_draws_ten_different_digits():
  for font in embedded.FONTS:
    drawn = [np.asarray(embedded._draw(font, digit)) for digit in range(10)]
    assert all(picture.max() == 255 for picture in drawn)
    assert len({picture.tobytes() for picture in drawn}) == 10


def test_digits_can_be_told_apart(tmp_path):
  """The nearest training picture almost always has the right label."""
  splits = load_all(embedded.load_digits, tmp_path)
  assert [len(splits[split]['label']) for split in splits] == [6000, 1000, 1000]
  train, test = splits['train'], splits['test']
  known = train['image'].reshape(6000, -1).astype(np.float32)
  asked = test['image'][:300].reshape(300, -1).astype(np.float32)
  distance = (known**2).sum(1) - 2 * asked @ known.T
  guess = train['label'][distance.argmin(1)]
  assert np.mean(guess == test['label'][:300]) > 0.9


@pytest.mark.parametrize('load', [embedded.load_text, embedded.load_digits])
def test_an_unknown_split_is_refused(load, tmp_path):
  with pytest.raises(ValueError, match="'dev'.*'validation'"):
    load(str(tmp_path), 'dev')
  assert not os.listdir(tmp_path)


def load_lines(data_dir):
  return {
    split: strokes.unpack(embedded.load_strokes(str(data_dir), split))
    for split in strokes.SPLITS
  }


def test_handwriting_is_always_the_same_and_no_line_occurs_twice(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(embedded, 'LINES', {'train': 30, 'validation': 9})
  one, two = load_lines(tmp_path / 'one'), load_lines(tmp_path / 'two')
  assert [len(one[split]) for split in one] == [30, 9]
  for split in strokes.SPLITS:
    for a, b in zip(one[split], two[split], strict=True):
      assert a.text == b.text and len(a.text) == embedded.LINE_LETTERS
      np.testing.assert_array_equal(a.offsets, b.offsets)
  every = [line.offsets.tobytes() for split in one for line in one[split]]
  assert len(set(every)) == 39
  with pytest.raises(ValueError, match='no test part'):
    embedded.load_strokes(str(tmp_path / 'one'), 'test')


def test_drawing_says_how_far_it_is(tmp_path, few, monkeypatch, caplog):
  monkeypatch.setattr('hyper.terminal.LINE_SECONDS', 0.0)
  monkeypatch.setattr(embedded, 'LINES', {'train': 2, 'validation': 1})
  with caplog.at_level('INFO', logger='absl'):
    embedded.load_digits(str(tmp_path), 'test')
    embedded.load_strokes(str(tmp_path), 'train')
  lines = '\n'.join(caplog.messages)
  assert 'Drawing digits: 300 of 300, ' in lines
  assert 'Writing the train lines: 2 of 2, ' in lines


@pytest.mark.parametrize('letter, contours', [('l', 1), ('i', 2), ('B', 3)])
def test_a_letter_is_traced_along_its_contours(letter, contours):
  strokes_of_letter, width = embedded._trace('DejaVuSans', letter)
  assert len(strokes_of_letter) == contours
  for stroke in strokes_of_letter:
    np.testing.assert_allclose(stroke[0], stroke[-1], atol=1e-9)  # closed
    steps = np.hypot(*np.diff(stroke, axis=0).T)
    assert steps.max() < 1.3 * embedded.PEN_MOVE
    assert stroke[:, 0].argmin() in (0, len(stroke) - 1)
    assert 0 <= stroke[:, 0].max() <= width < embedded.EM
    assert stroke[:, 1].max() < 1  # above the base line: y is downwards


def test_a_line_has_its_letters_from_left_to_right():
  rng = np.random.default_rng(0)
  letters = [embedded._trace('DejaVuSans', letter) for letter in 'lol']
  line = to_strokes(embedded._write(letters, rng))
  assert len(line) == 1 + 2 + 1
  assert line[0][:, 0].max() < line[1][:, 0].min() < line[3][:, 0].min()


# By hand: hyphens as before 1990, plural only at the end.
NAMES = {
  1: ('one', 'un'),
  16: ('sixteen', 'seize'),
  17: ('seventeen', 'dix-sept'),
  21: ('twenty-one', 'vingt et un'),
  30: ('thirty', 'trente'),
  71: ('seventy-one', 'soixante et onze'),
  80: ('eighty', 'quatre-vingts'),
  81: ('eighty-one', 'quatre-vingt-un'),
  91: ('ninety-one', 'quatre-vingt-onze'),
  99: ('ninety-nine', 'quatre-vingt-dix-neuf'),
  100: ('one hundred', 'cent'),
  200: ('two hundred', 'deux cents'),
  215: ('two hundred fifteen', 'deux cent quinze'),
  380: ('three hundred eighty', 'trois cent quatre-vingts'),
  1_000: ('one thousand', 'mille'),
  1_001: ('one thousand one', 'mille un'),
  80_000: ('eighty thousand', 'quatre-vingt mille'),
  200_000: ('two hundred thousand', 'deux cent mille'),
  572_300: (
    'five hundred seventy-two thousand three hundred',
    'cinq cent soixante-douze mille trois cents',
  ),
}


@pytest.mark.parametrize('number', NAMES)
def test_names_of_numbers(number):
  assert (number_names.english(number), number_names.french(number)) == NAMES[
    number
  ]


def test_no_two_numbers_have_the_same_name():
  numbers = [*range(1, 2_000), *range(2_000, 1_000_000, 997)]
  for name in (number_names.english, number_names.french):
    assert len({name(n) for n in numbers}) == len(numbers)


def test_splits_of_number_names():
  splits = {}
  for split, size in embedded.NUMBERS.items():
    pairs = embedded.load_number_names('', split)
    assert len(pairs) == size and pairs.folder is None
    splits[split] = pairs.take(range(size))
    again = embedded.load_number_names('', split).take([0, size - 1])
    assert again == [splits[split][0], splits[split][-1]]
  # The draws never change, since a run may be scored years later.
  assert splits['test'][1] == ('fifty-six', 'cinquante-six')
  everything = [pair for pairs in splits.values() for pair in pairs]
  assert len(set(everything)) == len(everything) == 13_000
  short, thousands = 0, 0
  for english, _ in everything:
    short += 'thousand' not in english
    thousands += 'hundred' in english.split('thousand')[0]
  assert short > 800 and thousands > 3_000
  with pytest.raises(ValueError, match="'dev'.*'validation'"):
    embedded.load_number_names('', 'dev')
