"""MNIST: 28x28 grey images of handwritten digits (LeCun et al. 1998).

The raw files are the four of the original distribution, as .gz or unpacked.
Missing files are downloaded. The split is that of TensorFlow's read_data_sets,
which the author's notebook uses: the FIRST 5,000 training images are the
validation part, the other 55,000 are for training.
"""

import gzip
import io
import math
import os

import numpy as np

from hyper.data import prepared, raw_files

SHAPE = (28, 28, 1)
FOLDERS = ('mnist', 'MNIST/raw', '')
MIRROR = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
# Bytes and SHA-256 of the unpacked file, since packing is not unique.
FILES = {
  'train-images-idx3-ubyte': (
    47_040_016,
    'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
  ),
  'train-labels-idx1-ubyte': (
    60_008,
    '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
  ),
  't10k-images-idx3-ubyte': (
    7_840_016,
    '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
  ),
  't10k-labels-idx1-ubyte': (
    10_008,
    'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
  ),
}
LARGEST_FILE = 2**26  # bytes, packed or not
VALIDATION_SIZE = 5_000


def load(data_dir: str, split: str) -> dict[str, np.ndarray]:
  """Returns 'image', uint8 [n, 28, 28, 1], and 'label', int32 [n].

  n is 55,000 (train), 5,000 (validation) or 10,000 (test). Ink is 255.

  Raises:
    FileNotFoundError: files are missing and could not be downloaded.
    OSError: data_dir cannot be written.
    ValueError: no such split, or a file is damaged.
  """
  return prepared.load(_SOURCE, data_dir, split)


def _read(data_dir: str) -> dict[str, dict[str, np.ndarray]]:
  folders = [os.path.join(data_dir, folder) for folder in FOLDERS]
  arrays = []
  for name in FILES:
    path = _find(folders, name) or _download(folders, name)
    with open(path, 'rb') as file:
      content = raw_files.read(file, LARGEST_FILE, path)
    arrays.append(_decode(content, name, path))
  return _split(*arrays)


def _find(folders: list[str], name: str) -> str | None:
  return raw_files.find(folders, [f'{name}.gz', name])


def _download(folders: list[str], name: str) -> str:
  """Fetches and verifies one .gz; returns its path, in the first folder."""
  url = f'{MIRROR}{name}.gz'
  try:
    content = raw_files.fetch(url)
    _decode(content, name, url)
  except (ConnectionError, ValueError) as error:
    raise raw_files.missing(
      'MNIST',
      [f'{name}.gz' for name in FILES if _find(folders, name) is None],
      folders,
      f'The download failed: {error}\n'
      f'Get them from {MIRROR} and put them into {folders[0]}.',
    ) from error
  path = os.path.join(folders[0], f'{name}.gz')
  raw_files.store(content, path)
  return path


def _decode(content: bytes, name: str, path: str) -> np.ndarray:
  """Unzips, parses and verifies the content of the idx file `name`."""
  if content.startswith(b'\x1f\x8b'):
    with raw_files.reading_archive(path):
      packed = gzip.GzipFile(fileobj=io.BytesIO(content))
      content = raw_files.read(packed, FILES[name][0], path)
  array = _parse_idx(content, path)
  raw_files.verify(content, *FILES[name], path)
  return array


def _parse_idx(content: bytes, path: str) -> np.ndarray:
  """Returns the uint8 array in an idx file.

  The file is two zero bytes, 8 for uint8, the number of axes, the length of
  each as big-endian uint32, then the elements.

  Raises:
    ValueError: the file has another form; the message names `path`.
  """
  if len(content) < 4 or not content.startswith(b'\0\0\x08'):
    raise ValueError(
      f'{path} is not an idx file of bytes: expected it to start with '
      f'00 00 08, found {content[:4].hex(" ")}'
    )
  header = 4 + 4 * content[3]
  shape = [int.from_bytes(content[i : i + 4]) for i in range(4, header, 4)]
  size = header + math.prod(shape)
  if len(content) != size:
    raise ValueError(
      f'{path} is cut off or too long: expected {size:,} bytes for shape '
      f'{shape}, found {len(content):,}'
    )
  return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _split(train_image, train_label, test_image, test_label):
  first = slice(VALIDATION_SIZE)
  rest = slice(VALIDATION_SIZE, None)
  return {
    'train': _examples(train_image[rest], train_label[rest]),
    'validation': _examples(train_image[first], train_label[first]),
    'test': _examples(test_image, test_label),
  }


def _examples(image: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
  return {'image': image[..., None], 'label': label.astype(np.int32)}


_SOURCE = prepared.Source(
  name='hyper_mnist',
  version='1.0.0',
  read=_read,
  description='Handwritten digits; 5,000 training images are for validation.',
  homepage=MIRROR,
  citation=(
    'LeCun, Bottou, Bengio & Haffner: Gradient-based learning applied to '
    'document recognition. Proceedings of the IEEE 86(11), 1998.'
  ),
)
