"""enwik8, the first 100 MB of a Wikipedia dump (Hutter prize), byte by byte.

The text is read from the file `enwik8`, plain or in a zip or gzip archive. A
prefix of the file can be used in its place; it is split in the same way.
"""

import contextlib
import gzip
import os
import zipfile
from typing import Any

import numpy as np
from absl import logging

from hyper.data import prepared, raw_files

FOLDERS = ('enwik8', '')
NAMES = ('enwik8', 'enwik8.zip', 'enwik8.gz')
URL = 'http://mattmahoney.net/dc/enwik8.zip'
WHOLE = 100_000_000
# Length of a prefix: its SHA-256.
SHA256 = {
  WHOLE: '2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8',
  4_154_064: 'd8b3b95fb4993726ea7dcc93ae3c9e08a1a04cc540d05d7656fd267cc8ab5d6a',
}


def load(
  data_dir: str, split: str, prefix_bytes: int = 0
) -> dict[str, np.ndarray]:
  """Returns 'text', uint8 [n]: the bytes of the split, in order.

  Of the whole file n is 90 million (train), 5 million (validation) and 5
  million (test), and 205 different bytes occur. A prefix is split likewise:
  its last two twentieths, rounded down, are for validation and test.

  Args:
    data_dir: searched for `enwik8` in the folder `enwik8` and in itself; for
      a prefix of n bytes also for `enwik8.first<n>`.
    split: 'train', 'validation' or 'test'.
    prefix_bytes: the length of the prefix, at least 1,000; 0 is the whole file.

  Raises:
    FileNotFoundError: the file is missing.
    OSError: data_dir cannot be written.
    ValueError: no such split or length, or the file is damaged.
  """
  first_bytes = prefix_bytes or WHOLE
  if not 1000 <= first_bytes <= WHOLE:
    raise ValueError(
      f'config.data.prefix_bytes is {prefix_bytes:,}; it must be between 1,000 '
      f'and {WHOLE:,}, the length of enwik8, or 0 for all of it.'
    )
  return prepared.load(_source(first_bytes), data_dir, split)


def _source(first_bytes: int) -> prepared.Source:
  is_whole = first_bytes == WHOLE

  def raw(data_dir: str) -> list[str]:
    path = _find(data_dir, first_bytes)[0]
    return [path] if path and first_bytes not in SHA256 else []

  return prepared.Source(
    name='hyper_enwik8' + ('' if is_whole else f'_first{first_bytes}'),
    version='1.0.0',
    read=lambda data_dir: _splits(_read(data_dir, first_bytes)),
    description=f'The first {first_bytes:,} bytes of the English Wikipedia.',
    homepage='http://mattmahoney.net/dc/textdata.html',
    citation='M. Hutter: The human knowledge compression contest. 2006.',
    raw=raw,
  )


def _find(
  data_dir: str, first_bytes: int
) -> tuple[str | None, list[str], list[str]]:
  """Returns the path of the file, or None; names and folders searched."""
  folders = [os.path.join(data_dir, folder) for folder in FOLDERS]
  prefix = [f'enwik8.first{first_bytes}'] if first_bytes < WHOLE else []
  names = [*prefix, *NAMES]
  return raw_files.find(folders, names), names, folders


def _read(data_dir: str, first_bytes: int) -> bytes:
  """Returns the first bytes of the file, checked."""
  path, names, folders = _find(data_dir, first_bytes)
  if path is None:
    raise raw_files.missing('enwik8', [' or '.join(names)], folders, _REMEDY)
  content = _unpacked(path)
  if first_bytes == WHOLE or len(content) == WHOLE:
    raw_files.verify(content, WHOLE, SHA256[WHOLE], path)
  elif first_bytes in SHA256:
    raw_files.verify(content, first_bytes, SHA256[first_bytes], path)
  elif len(content) != first_bytes:
    raise ValueError(
      f'{path} has {len(content):,} bytes; expected {first_bytes:,}, or the '
      f'{WHOLE:,} of the whole file.'
    )
  else:
    logging.warning('No checksum is known for %s; it is not verified.', path)
  return content[:first_bytes]


def _unpacked(path: str) -> bytes:
  with raw_files.reading_archive(path), contextlib.ExitStack() as stack:
    file: Any
    if path.endswith('.zip'):
      archive = stack.enter_context(zipfile.ZipFile(path))
      if 'enwik8' not in archive.namelist():
        raise ValueError(f'{path} holds no file called enwik8.')
      file = archive.open('enwik8')
    else:
      file = (gzip.open if path.endswith('.gz') else open)(path, 'rb')
    return raw_files.read(stack.enter_context(file), WHOLE, path)


def _splits(content: bytes) -> dict[str, dict[str, np.ndarray]]:
  text = np.frombuffer(content, np.uint8)
  part = len(text) // 20
  return {
    'train': {'text': text[: -2 * part]},
    'validation': {'text': text[-2 * part : -part]},
    'test': {'text': text[-part:]},
  }


_REMEDY = (
  f'Get {URL} (36 MB)\nand put it there, packed or not. A prefix will do '
  'with --config.data.prefix_bytes=4154064:\nhead -c 4154064 enwik8 > '
  'enwik8.first4154064.'
)
