"""Text of your own: one file that is cut in three, or a file for each split.

The files are read at each start; no copy is made.
"""

import codecs
import os

import numpy as np

from hyper.data import prepared, raw_files
from hyper.data.vocabulary import to_symbols

MARK = 0xFEFF  # the byte order mark as a character
SYMBOLS = {'bytes': np.uint8, 'characters': np.uint32}


def load(
  data_dir: str,
  part: str,
  files: tuple[str, ...],
  split: tuple[float, ...],
  symbols: str,
  keep_mark: bool = False,
) -> dict[str, np.ndarray]:
  """Returns 'text' [n]: bytes, uint8, or code points of characters, uint32.

  Args:
    data_dir: what the names of files are relative to.
    part: 'train', 'validation' or 'test'.
    files: the name of one file, or of one for each part.
    split: the shares of the parts in a single file, in this order.
    symbols: 'bytes', or 'characters' of a text in UTF-8.
    keep_mark: whether a byte order mark is a character of a text.

  Raises:
    FileNotFoundError: a file is missing.
    ValueError: no such part, a part without text, or `symbols` is 'characters'
      and a file is not UTF-8.
  """
  check(files, split, symbols)
  prepared.check_split(part, prepared.SPLITS)
  place = prepared.SPLITS.index(part)
  path = _find(data_dir, files[place if len(files) > 1 else 0])
  text = _read(path, SYMBOLS[symbols], keep_mark)
  if len(files) == 1:
    stops = np.rint(np.cumsum(split[:2]) * len(text)).astype(int)
    text = np.split(text, stops)[place]
  if not len(text):
    shares = f'give {part} a larger share than config.data.split={split}, or '
    raise ValueError(
      f'{path} has no text for {part}; {shares if len(files) == 1 else ""}give '
      'a longer file in config.data.files.'
    )
  return {'text': text}


def check(
  files: tuple[str, ...], split: tuple[float, ...], symbols: str
) -> None:
  """Raises a ValueError unless the fields of a config fit together."""
  if len(files) not in (1, 3):
    raise ValueError(
      f'config.data.files is {files}; give the name of one text file, or of '
      'three: for training, validation and test.'
    )
  check_shares(split)
  if symbols not in SYMBOLS:
    raise ValueError(
      f'config.data.symbols is {symbols!r}; allowed: {", ".join(SYMBOLS)}.'
    )


def check_shares(split: tuple[float, ...]) -> None:
  """Raises a ValueError unless there are three positive shares of a whole."""
  if len(split) != 3 or min(split) <= 0 or abs(sum(split) - 1) > 1e-6:
    raise ValueError(
      f'config.data.split is {split}; give the shares of training, validation '
      'and test, all above 0 and together 1.'
    )


def _find(data_dir: str, name: str) -> str:
  path = os.path.join(os.path.expanduser(data_dir), os.path.expanduser(name))
  if not os.path.isfile(path):
    raise raw_files.missing(
      'Text of your own',
      [path],
      [data_dir],
      'Give the names of your files as --config.data.files, relative to '
      '--data_dir.',
    )
  return path


def _read(path: str, kind: type, keep_mark: bool) -> np.ndarray:
  with open(path, 'rb') as file:
    content = file.read()
  if kind is not np.uint8 and not keep_mark:
    content = content.removeprefix(codecs.BOM_UTF8)
  try:
    return to_symbols(content, kind)
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{path} is not UTF-8: {error.reason} at byte {error.start + 1:,}. '
      'Convert it, or read it with --config.data.symbols=bytes.'
    ) from error
