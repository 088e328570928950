"""Data that every installation carries: no download, no raw file.

Text is the reference manual in Python's own `pydoc_data`; digits are drawn from
the fonts in matplotlib, each distorted in its own way; sentence pairs are the
names of numbers. They make every config runnable anywhere as ':embedded'; no
published result belongs to them.
"""

import hashlib
import os
import pydoc_data.topics

import numpy as np

from hyper.data import prepared
from hyper.data.parallel_text import Pairs

# Digits in each split.
SIZES = {'train': 6_000, 'validation': 1_000, 'test': 1_000}
# Numbers named in each split; no number is in two of them.
NUMBERS = {'train': 12_000, 'validation': 500, 'test': 500}
SEED = 1609_09106
# The fonts of matplotlib with digits in them; the others hold symbols only.
FONTS = (
  *('DejaVuSans', 'DejaVuSans-Bold', 'DejaVuSans-Oblique'),
  *('DejaVuSans-BoldOblique', 'DejaVuSansMono', 'DejaVuSansMono-Bold'),
  *('DejaVuSansMono-Oblique', 'DejaVuSansMono-BoldOblique', 'DejaVuSerif'),
  *('DejaVuSerif-Bold', 'DejaVuSerif-Italic', 'DejaVuSerif-BoldItalic'),
  *('STIXGeneral', 'STIXGeneralBol', 'STIXGeneralItalic', 'STIXGeneralBolIta'),
  *('cmr10', 'cmb10', 'cmss10', 'cmti10', 'cmtt10'),
)


def load_text(data_dir: str, split: str) -> dict[str, np.ndarray]:
  """Returns 'text', uint8 [n]: the UTF-8 bytes of the split, in order.

  The whole is some 465,000 bytes and differs between versions of Python; the
  first 90 % of it are for training, then 5 % each for validation and test.

  Raises:
    OSError: data_dir cannot be written.
    ValueError: no such split.
  """
  topics = pydoc_data.topics.topics
  text = '\n'.join(topics[key] for key in sorted(topics)).encode()
  source = prepared.Source(
    # A name of its own for each text, lest another Python's copy be read.
    name=f'hyper_embedded_text_{hashlib.sha256(text).hexdigest()[:12]}',
    version='1.0.0',
    read=lambda _: _cut(text),
    description="Reference manual of Python, from the interpreter's library.",
    homepage='https://docs.python.org/3/reference/',
  )
  return prepared.load(source, data_dir, split)


def load_digits(data_dir: str, split: str) -> dict[str, np.ndarray]:
  """Returns 'image', uint8 [n, 28, 28, 1], and 'label', int32 [n].

  n is 6,000 (train), 1,000 (validation) or 1,000 (test). White on black, about
  20 pixels high and centred, as in MNIST.

  Raises:
    OSError: data_dir cannot be written.
    ValueError: no such split.
  """
  return prepared.load(_DIGITS, data_dir, split)


def load_number_names(data_dir: str, split: str) -> Pairs:
  """Returns the names of numbers below a million, in English and in French.

  They are 12,000 (train), 500 (validation) or 500 (test) numbers of one to six
  digits, nearly all of those below a thousand among them.

  Raises:
    ValueError: no such split.
  """
  del data_dir  # nothing to read, and too little to prepare
  if split not in NUMBERS:
    allowed = ', '.join(map(repr, NUMBERS))
    raise ValueError(f'no split {split!r}; allowed are {allowed}')
  rng = np.random.default_rng(SEED)
  digits = rng.integers(1, 7, size=10 * sum(NUMBERS.values()))
  drawn = dict.fromkeys(rng.integers(10 ** (digits - 1), 10**digits).tolist())
  shuffled = rng.permutation(list(drawn)[: sum(NUMBERS.values())])
  stops = np.cumsum(list(NUMBERS.values()))[:-1]
  part = dict(zip(NUMBERS, np.split(shuffled, stops), strict=True))[split]
  return Pairs([(english(n), french(n)) for n in part.tolist()])


def english(n: int) -> str:
  """The name of a number from 1 to 999,999: 'forty-two thousand seven'."""
  thousands, rest = divmod(n, 1000)
  head = [_english_below_1000(thousands), 'thousand'] if thousands else []
  return ' '.join([*head, *([_english_below_1000(rest)] if rest else [])])


def _english_below_1000(n: int) -> str:
  hundreds, rest = divmod(n, 100)
  words = [_ENGLISH[hundreds], 'hundred'] if hundreds else []
  if rest:
    tens, ones = divmod(rest, 10)
    if rest < 20:
      words.append(_ENGLISH[rest])
    else:
      words.append(
        '-'.join([_ENGLISH_TENS[tens], _ENGLISH[ones]][: 1 + bool(ones)])
      )
  return ' '.join(words)


def french(n: int) -> str:
  """The name of a number from 1 to 999,999, hyphens as before 1990.

  The plural's s of 'cents' and 'quatre-vingts' is there only at the end of the
  whole name, and one thousand is 'mille' alone.
  """
  thousands, rest = divmod(n, 1000)
  words = [_french_below_1000(thousands, False)] if thousands > 1 else []
  words += ['mille'] if thousands else []
  words += [_french_below_1000(rest, True)] if rest else []
  return ' '.join(words)


def _french_below_1000(n: int, is_last: bool) -> str:
  hundreds, rest = divmod(n, 100)
  words = [_FRENCH[hundreds]] if hundreds > 1 else []
  if hundreds:
    words.append('cents' if hundreds > 1 and not rest and is_last else 'cent')
  if rest == 80 and is_last:
    words.append('quatre-vingts')
  elif rest:
    words.append(_french_below_100(rest))
  return ' '.join(words)


def _french_below_100(n: int) -> str:
  if n < 17:
    return _FRENCH[n]
  tens, ones = divmod(n, 10)
  if tens in (7, 9):  # counted on from sixty and from eighty
    tens, ones = tens - 1, ones + 10
  name = _FRENCH_TENS[tens]
  if not ones:
    return name
  if ones in (1, 11) and 2 <= tens <= 6:
    return f'{name} et {_FRENCH[ones]}'
  return f'{name}-{_french_below_100(ones)}'


def _cut(text: bytes) -> dict[str, dict[str, np.ndarray]]:
  symbols = np.frombuffer(text, np.uint8)
  stops = [len(symbols) * 90 // 100, len(symbols) * 95 // 100]
  parts = zip(prepared.SPLITS, np.split(symbols, stops), strict=True)
  return {split: {'text': part} for split, part in parts}


def _draw_digits(data_dir: str) -> dict[str, dict[str, np.ndarray]]:
  del data_dir  # nothing to read
  rng = np.random.default_rng(SEED)
  glyphs = [[_draw(font, digit) for digit in range(10)] for font in FONTS]
  splits = {}
  for split, n in SIZES.items():
    label = rng.integers(10, size=n, dtype=np.int32)
    font = rng.integers(len(FONTS), size=n)
    chosen = [glyphs[f][digit] for f, digit in zip(font, label, strict=True)]
    image = np.stack([_distort(glyph, rng) for glyph in chosen])
    splits[split] = {'image': image[..., None], 'label': label}
  return splits


def _draw(font: str, digit: int):
  """Returns a 56x56 picture of the digit: twice the final size."""
  import matplotlib  # for its font files; slow, and only drawing needs them
  from PIL import Image, ImageDraw, ImageFont

  path = os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', f'{font}.ttf')
  _, top, _, bottom = ImageFont.truetype(path, 100).getbbox('0')
  face = ImageFont.truetype(path, 100 * 40 / (bottom - top))
  left, top, right, bottom = face.getbbox(str(digit))
  picture = Image.new('L', (56, 56))
  corner = 28 - (left + right) / 2, 28 - (top + bottom) / 2
  ImageDraw.Draw(picture).text(corner, str(digit), fill=255, font=face)
  return picture


def _distort(picture, rng: np.random.Generator) -> np.ndarray:
  """Returns a 56x56 picture distorted at random, as uint8 [28, 28]."""
  from PIL import Image

  angle, shear = rng.uniform(-0.25, 0.25, 2)  # radians, and a slope
  scale = rng.uniform(0.75, 1.1, 2)
  shift = rng.uniform(-4, 4, 2)  # half pixels
  cos, sin = np.cos(angle), np.sin(angle)
  # From a place in the new picture to the place in the old one.
  turn = np.array([[cos, -sin], [sin, cos]])
  back = turn @ np.array([[1, shear], [0, 1]]) / scale[:, None]
  offset = 28 - back @ (28 + shift)
  affine = np.column_stack([back, offset]).ravel()
  warped = picture.transform(
    picture.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
  )
  noisy = np.asarray(warped.reduce(2)) + rng.normal(0, 8, (28, 28))
  return noisy.clip(0, 255).astype(np.uint8)


_ENGLISH = (
  *('', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'),
  *('ten', 'eleven', 'twelve', 'thirteen', 'fourteen', 'fifteen', 'sixteen'),
  *('seventeen', 'eighteen', 'nineteen'),
)
_ENGLISH_TENS = (
  *('', 'ten', 'twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy'),
  *('eighty', 'ninety'),
)
_FRENCH = (
  *('', 'un', 'deux', 'trois', 'quatre', 'cinq', 'six', 'sept', 'huit', 'neuf'),
  *('dix', 'onze', 'douze', 'treize', 'quatorze', 'quinze', 'seize'),
)
_FRENCH_TENS = {
  **{1: 'dix', 2: 'vingt', 3: 'trente', 4: 'quarante', 5: 'cinquante'},
  **{6: 'soixante', 8: 'quatre-vingt'},
}
_DIGITS = prepared.Source(
  name='hyper_embedded_digits',
  version='1.0.0',
  read=_draw_digits,
  description="Digits drawn from matplotlib's fonts, distorted at random.",
)
