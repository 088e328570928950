"""Penn Treebank as prepared by Mikolov et al. (2012), at character level.

The raw files are those of simple-examples.tgz, at word level or at character
level: both give the same symbols. They may be unpacked or still in the archive.
The text is the LDC's, so nothing is downloaded.
"""

import os

import numpy as np

from hyper.data import prepared, raw_files

FOLDERS = ('ptb', 'simple-examples/data', 'ptb/simple-examples/data', '')
ARCHIVE = 'simple-examples.tgz'
LARGEST_FILE, LARGEST_ARCHIVE = 2**24, 2**30  # bytes, unpacked
# Split: its name in the files; number and SHA-256 of its symbols.
FILES = {
  'train': (
    'train',
    5_017_482,
    'ffc4b7caef8cf464ea9a9d05a5ec61d16191f799cf36a1f6ea6ca5c9a5c20a75',
  ),
  'validation': (
    'valid',
    393_042,
    'a33484a2818b6ae220f64885d3612a53ee7bcb88641502cd3bff5315753de8ef',
  ),
  'test': (
    'test',
    442_423,
    '496bdba98e4394704f822691a9c4053060a839e370a97759b45028b2a8ebec74',
  ),
}


def load(data_dir: str, split: str) -> dict[str, np.ndarray]:
  r"""Returns 'text', uint8 [n]: the symbols of the split in ASCII, in order.

  n is 5,017,482 (train), 393,042 (validation) or 442,423 (test). As in the
  character-level files the blank between words is '_', which has no other
  meaning, and every line ends in '\n', with no blank before it. The training
  text has 50 different symbols; an unknown word is written '<unk>'.

  Raises:
    FileNotFoundError: files are missing.
    OSError: data_dir cannot be written.
    ValueError: no such split, or a file is damaged.
  """
  return prepared.load(_SOURCE, data_dir, split)


def _read(data_dir: str) -> dict[str, dict[str, np.ndarray]]:
  folders = [os.path.join(data_dir, folder) for folder in FOLDERS]
  archive = raw_files.find(folders, [ARCHIVE])
  splits, absent = {}, []
  for split in FILES:
    path = raw_files.find(folders, _names(split)) or archive
    if path:
      splits[split] = {'text': _symbols(split, path)}
    else:
      absent.append(' or '.join(_names(split)))
  if absent:
    raise raw_files.missing('Penn Treebank', absent, folders, _remedy(folders))
  return splits


def _names(split: str) -> tuple[str, str]:
  part = FILES[split][0]
  return f'ptb.{part}.txt', f'ptb.char.{part}.txt'


def _remedy(folders: list[str]) -> str:
  return (
    f'Get {ARCHIVE} of T. Mikolov (RNN language modelling toolkit), or the '
    'plain files,\nwhich other language modelling code carries, and put them '
    f"into {folders[0]}. The text is\nthe Linguistic Data Consortium's and "
    'is not downloaded for you.'
  )


def _symbols(split: str, path: str) -> np.ndarray:
  """Returns the verified symbols of a split from a text file or the archive."""
  if path.endswith(ARCHIVE):
    name, content = _member(path, _names(split))
  else:
    name = os.path.basename(path)
    with open(path, 'rb') as file:
      content = raw_files.read(file, LARGEST_FILE, path)
  if name.startswith('ptb.char.'):  # every symbol is followed by a blank
    text = content.replace(b' ', b'').replace(b'\r', b'')
  else:
    lines = (line.strip() for line in content.splitlines())
    text = b''.join(line.replace(b' ', b'_') + b'\n' for line in lines)
  _, size, sha256 = FILES[split]
  raw_files.verify(text, size, sha256, f'the text in {path} ({name})')
  return np.frombuffer(text, np.uint8)


def _member(path: str, names: tuple[str, ...]) -> tuple[str, bytes]:
  """Returns name and content of the first of `names` in a tar archive."""
  with raw_files.unpacking(path, LARGEST_ARCHIVE) as files:
    for place, file in files:
      name = os.path.basename(place)
      if name in names:
        return name, file.read()
  raise ValueError(f'{path} holds no {" or ".join(names)}')


_SOURCE = prepared.Source(
  name='hyper_ptb',
  version='1.0.0',
  read=_read,
  description='Penn Treebank text, lower case, symbol by symbol.',
  homepage='https://catalog.ldc.upenn.edu/LDC99T42',
  citation=(
    'Mikolov, Sutskever, Deoras, Le, Kombrink & Cernocky: Subword language '
    'modeling with neural networks. Preprint, 2012.'
  ),
)
