"""CIFAR-10: 32x32 colour images of ten classes (Krizhevsky 2009).

The raw files are the six batches of the original distribution, binary or for
Python, unpacked or in their archive. Pickles are parsed, never executed. If
none of these is there, the binary archive is downloaded. As in section 4.2,
5,000 training images drawn at random are the validation part; the draw is the
same for every run.
"""

import io
import os
import pickletools
from typing import Any

import numpy as np

from hyper.data import prepared, raw_files

SHAPE = (32, 32, 3)
FOLDERS = ('cifar10', '')
SUBFOLDERS = ('cifar-10-batches-bin', 'cifar-10-batches-py', '')
ARCHIVES = ('cifar-10-binary.tar.gz', 'cifar-10-python.tar.gz')
HOMEPAGE = 'https://www.cs.toronto.edu/~kriz/'
# By batch, the SHA-256 of its records in the binary form: the label, then the
# image, channel by channel. Python batches are converted to this form.
FILES = {
  'data_batch_1': (
    'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5'
  ),
  'data_batch_2': (
    'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed'
  ),
  'data_batch_3': (
    'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67'
  ),
  'data_batch_4': (
    '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48'
  ),
  'data_batch_5': (
    '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add'
  ),
  'test_batch': (
    '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b'
  ),
}
BATCH_SIZE = 10_000
LARGEST_ARCHIVE = 2**28  # bytes, unpacked; both archives have 0.7 of that
LARGEST_BATCH = 2**25  # bytes of a file
VALIDATION_SIZE = 5_000
VALIDATION_SEED = 1609_09106


def load(data_dir: str, split: str) -> dict[str, np.ndarray]:
  """Returns 'image', uint8 [n, 32, 32, 3], and 'label', int32 [n].

  n is 45,000 (train), 5,000 (validation) or 10,000 (test); channels are red,
  green and blue.

  Raises:
    FileNotFoundError: files are missing and could not be downloaded.
    OSError: data_dir cannot be written.
    ValueError: no such split, or a file is damaged.
  """
  return prepared.load(_SOURCE, data_dir, split)


def _read(data_dir: str) -> dict[str, dict[str, np.ndarray]]:
  folders = [
    os.path.join(data_dir, folder, subfolder)
    for folder in FOLDERS
    for subfolder in SUBFOLDERS
  ]
  paths = {name: raw_files.find(folders, _spellings(name)) for name in FILES}
  absent = [name for name, path in paths.items() if not path]
  records = {
    name: _records(_content(path), name, path)
    for name, path in paths.items()
    if path
  }
  if absent:
    path = raw_files.find(folders, ARCHIVES) or _download(absent, folders)
    with open(path, 'rb') as file:
      records |= _unpack(file, path, absent)
  return _split(records)


def _spellings(name: str) -> tuple[str, str]:
  return f'{name}.bin', name


def _content(path: str) -> bytes:
  with open(path, 'rb') as file:
    return raw_files.read(file, LARGEST_BATCH, path)


def _download(absent: list[str], folders: list[str]) -> str:
  """Fetches and verifies the binary archive; returns its path."""
  url, folder = f'{HOMEPAGE}{ARCHIVES[0]}', os.path.dirname(folders[0])
  try:
    content = raw_files.fetch(url)
    _unpack(io.BytesIO(content), url, absent)
  except (ConnectionError, ValueError) as error:
    raise raw_files.missing(
      'CIFAR-10',
      [f'{name}.bin' for name in absent],
      folders,
      f'The download failed: {error}\n'
      f'Get {" or ".join(ARCHIVES)} from {HOMEPAGE}cifar.html and put it into '
      f'{folder}.',
    ) from error
  path = os.path.join(folder, ARCHIVES[0])
  raw_files.store(content, path)
  return path


def _unpack(
  file: raw_files.File, path: str, names: list[str]
) -> dict[str, np.ndarray]:
  """Returns the verified records of some batches from a tar archive."""
  spellings = {
    spelling: name for name in names for spelling in _spellings(name)
  }
  records = {}
  with raw_files.unpacking(path, LARGEST_ARCHIVE, file) as files:
    for place, content in files:
      name = spellings.get(os.path.basename(place))
      if name:
        records[name] = _records(content.read(), name, f'{path} ({name})')
  absent = [name for name in names if name not in records]
  if absent:
    raise ValueError(f'{path} holds no {", no ".join(absent)}')
  return records


def _records(content: bytes, name: str, path: str) -> np.ndarray:
  """Returns the verified records, uint8 [n, 1 + 3072], of the batch `name`."""
  if content.startswith(b'\x80'):  # no label: a pickle
    content = _parse_pickle(content, path)
  size = 1 + int(np.prod(SHAPE))
  raw_files.verify(content, BATCH_SIZE * size, FILES[name], path)
  return np.frombuffer(content, np.uint8).reshape(-1, size)


def _parse_pickle(content: bytes, path: str) -> bytes:
  """Returns a Python batch as binary records, without executing the pickle.

  It reads only the instructions that hold the numbers after the key 'labels'
  and the bytes after the key 'data'.

  Raises:
    ValueError: they are missing; the message names `path`.
  """
  labels: list[Any] = []
  pixels, key = b'', None
  try:
    for operation, value, _ in pickletools.genops(content):
      if value in ('labels', 'data', 'filenames', 'batch_label'):
        key = value
      elif key == 'labels' and operation.name == 'BININT1':
        labels.append(value)
      elif key == 'data' and operation.name == 'BINBYTES':
        pixels = bytes(value or b'')
      elif key == 'data' and operation.name == 'BINSTRING':
        pixels = str(value).encode('latin-1')  # a character for each byte
  except ValueError as error:
    raise ValueError(f'{path} is a damaged pickle: {error}') from error
  if not labels or len(pixels) != len(labels) * np.prod(SHAPE):
    raise ValueError(
      f'{path} is not a batch of CIFAR-10: it has {len(labels):,} labels and '
      f'{len(pixels):,} bytes of pixels'
    )
  images = np.frombuffer(pixels, np.uint8).reshape(len(labels), -1)
  return np.column_stack([np.array(labels, np.uint8), images]).tobytes()


def _split(records: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
  *batches, test = (records[name] for name in FILES)
  train = np.concatenate(batches)
  # RandomState is frozen; a Generator may draw otherwise in a later NumPy.
  order = np.random.RandomState(VALIDATION_SEED).permutation(len(train))
  chosen = np.sort(order[:VALIDATION_SIZE]), np.sort(order[VALIDATION_SIZE:])
  return {
    'train': _examples(train[chosen[1]]),
    'validation': _examples(train[chosen[0]]),
    'test': _examples(test),
  }


def _examples(records: np.ndarray) -> dict[str, np.ndarray]:
  height, width, channels = SHAPE
  planes = records[:, 1:].reshape(-1, channels, height, width)
  return {
    'image': np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
    'label': records[:, 0].astype(np.int32),
  }


_SOURCE = prepared.Source(
  name='hyper_cifar10',
  version='1.0.0',
  read=_read,
  description='Colour images of ten classes; 5,000 are for validation.',
  homepage=f'{HOMEPAGE}cifar.html',
  citation=(
    'Krizhevsky: Learning multiple layers of features from tiny images. '
    'Technical report, University of Toronto, 2009.'
  ),
)
