"""Data that every installation carries: no download, no raw file.

Text is the reference manual in Python's own `pydoc_data`. Digits are drawn from
the fonts in matplotlib, each with its own distortion. Handwriting follows the
outlines of letters of the same fonts. Sentence pairs are the names of numbers.
With these every config runs anywhere as ':embedded'; no published result is on
them.
"""

import hashlib
import os
import pydoc_data.topics
import string

import numpy as np

from hyper.data import number_names, prepared, strokes
from hyper.data.parallel_text import Pairs
from hyper.terminal import track

DIGIT_SHAPE = (28, 28, 1)
# Digits in each split.
SIZES = {'train': 6_000, 'validation': 1_000, 'test': 1_000}
# Lines of handwriting in each split.
LINES = {'train': 2_000, 'validation': 200}
LETTERS = string.ascii_letters
LINE_LETTERS = 5
EM, PEN_MOVE = 100.0, 12.0  # the size of the fonts, and of a move of the pen
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

  The whole has about 465,000 bytes and differs between versions of Python; the
  first 90 % of it are for training, then 5 % each for validation and test.

  Raises:
    OSError: data_dir cannot be written.
    ValueError: no such split.
  """
  topics = pydoc_data.topics.topics
  text = '\n'.join(topics[key] for key in sorted(topics)).encode()
  source = prepared.Source(
    # The name has a hash, so that another Python's copy is not read.
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


def load_strokes(data_dir: str, split: str) -> dict[str, np.ndarray]:
  """Returns the lines of a split as `strokes.pack` packs them.

  There are 2,000 lines (train) or 200 (validation), each of five letters of one
  font. A pen follows their outlines in moves of about equal length; each
  contour is a stroke. Slant and width differ from line to line, and the pen
  trembles.

  Raises:
    OSError: data_dir cannot be written.
    ValueError: no such split.
  """
  strokes.check_split(split, 'embedded handwriting')
  return prepared.load(_STROKES, data_dir, split)


def load_number_names(data_dir: str, split: str) -> Pairs:
  """Returns the names of numbers below a million, in English and in French.

  There are 12,000 (train), 500 (validation) or 500 (test) numbers of one to six
  digits, among them nearly all numbers below a thousand.

  Raises:
    ValueError: no such split.
  """
  del data_dir  # nothing to read, and too little to prepare
  prepared.check_split(split, NUMBERS)
  # Drawn at every start; a Generator may draw otherwise in a later NumPy.
  rng = np.random.RandomState(SEED)
  digits = rng.randint(1, 7, size=10 * sum(NUMBERS.values()))
  drawn = dict.fromkeys(rng.randint(10 ** (digits - 1), 10**digits).tolist())
  shuffled = rng.permutation(list(drawn)[: sum(NUMBERS.values())])
  stops = np.cumsum(list(NUMBERS.values()))[:-1]
  part = dict(zip(NUMBERS, np.split(shuffled, stops), strict=True))[split]
  return Pairs([number_names.both(n) for n in part.tolist()])


def _cut(text: bytes) -> dict[str, dict[str, np.ndarray]]:
  symbols = np.frombuffer(text, np.uint8)
  stops = [len(symbols) * 90 // 100, len(symbols) * 95 // 100]
  parts = zip(prepared.SPLITS, np.split(symbols, stops), strict=True)
  return {split: {'text': part} for split, part in parts}


def draw_digits(
  fonts: tuple[str, ...], count: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
  """Returns 'image', uint8 [count, 28, 28, 1], and 'label', int32 [count].

  Args:
    fonts: names in FONTS; each digit is in one of them, chosen at random.
    count: the number of digits.
    rng: the random generator.
  """
  glyphs = [[_draw(font, digit) for digit in range(10)] for font in fonts]
  label = rng.integers(10, size=count, dtype=np.int32)
  font = rng.integers(len(fonts), size=count)
  chosen = [glyphs[f][digit] for f, digit in zip(font, label, strict=True)]
  shown = track(chosen, 'Drawing digits', count)
  image = np.stack([_distort(glyph, rng) for glyph in shown])
  return {'image': image[..., None], 'label': label}


def _draw_digits(data_dir: str) -> dict[str, dict[str, np.ndarray]]:
  del data_dir  # nothing to read
  rng = np.random.default_rng(SEED)
  return {split: draw_digits(FONTS, n, rng) for split, n in SIZES.items()}


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


def _write_lines(data_dir: str) -> dict[str, dict[str, np.ndarray]]:
  del data_dir  # nothing to read
  rng = np.random.default_rng(SEED)
  glyphs = {font: [_trace(font, x) for x in LETTERS] for font in FONTS}
  splits = {}
  for split, n in LINES.items():
    lines = []
    for k in track(range(n), f'Writing the {split} lines', n):
      written = glyphs[FONTS[rng.integers(len(FONTS))]]
      letters = rng.integers(len(LETTERS), size=LINE_LETTERS)
      text = ''.join(LETTERS[letter] for letter in letters)
      offsets = _write([written[letter] for letter in letters], rng)
      lines.append(strokes.Line(f'{split}-{k:04d}', text, offsets))
    splits[split] = strokes.pack(lines)
  return splits


def _trace(font: str, letter: str) -> tuple[list[np.ndarray], float]:
  """Returns the contours of a letter as pen strokes [n, 2], and its width.

  Contours are drawn from left to right. Each begins and ends at its leftmost
  point; y goes downwards.
  """
  import matplotlib  # for its fonts; slow, and only drawing needs them
  from matplotlib import font_manager, textpath

  path = os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', f'{font}.ttf')
  face = font_manager.FontProperties(fname=path)
  outline = textpath.TextPath((0, 0), letter, size=EM, prop=face)
  contours = []
  for polygon in outline.to_polygons(closed_only=True):
    contour = np.asarray(polygon)[:-1] * (1, -1)
    contour = np.roll(contour, -int(contour[:, 0].argmin()), axis=0)
    contours.append(_resample(np.concatenate([contour, contour[:1]])))
  contours.sort(key=lambda contour: contour[0, 0])
  return contours, max(contour[:, 0].max() for contour in contours)


def _resample(curve: np.ndarray) -> np.ndarray:
  """Returns points about PEN_MOVE apart on a polygonal curve [n, 2]."""
  pieces = np.hypot(*np.diff(curve, axis=0).T)
  length = np.concatenate([[0], np.cumsum(pieces)])
  places = np.linspace(0, length[-1], max(3, round(length[-1] / PEN_MOVE)))
  return np.column_stack([np.interp(places, length, axis) for axis in curve.T])


def _write(
  letters: list[tuple[list[np.ndarray], float]], rng: np.random.Generator
) -> np.ndarray:
  """Returns offsets [t, 3] of letters in a row, of random slant and width."""
  slant, width = rng.uniform(-0.3, 0.1), rng.uniform(0.85, 1.15)
  hand = np.array([[width, 0], [slant, 1]])
  line, left = [], 0.0
  for contours, advance in letters:
    for contour in contours:
      tremble = rng.normal(0, 0.6, contour.shape)
      line.append((contour + (left, 0)) @ hand + tremble)
    left += advance + 0.12 * EM
  return strokes.to_offsets(line)


_STROKES = prepared.Source(
  name='hyper_embedded_strokes',
  version='1.0.0',
  read=_write_lines,
  description="Outlines of letters of matplotlib's fonts, as pen offsets.",
)
_DIGITS = prepared.Source(
  name='hyper_embedded_digits',
  version='1.0.0',
  read=_draw_digits,
  description="Digits drawn from matplotlib's fonts, distorted at random.",
)
