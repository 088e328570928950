"""MNIST: small files of the true format; the real ones where they are."""

import gzip
import hashlib
import os
import tracemalloc

import numpy as np
import pytest

from hyper.data import mnist, prepared, raw_files

NAMES = tuple(mnist.FILES)


def make_idx(array):
  shape = b''.join(length.to_bytes(4) for length in array.shape)
  return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


def make_content():
  """Returns the four files of a tiny MNIST: 12 training and 4 test images."""
  rng = np.random.default_rng(0)
  arrays = [
    rng.integers(0, 256, (12, 28, 28), dtype=np.uint8),
    rng.integers(0, 10, 12, dtype=np.uint8),
    rng.integers(0, 256, (4, 28, 28), dtype=np.uint8),
    rng.integers(0, 10, 4, dtype=np.uint8),
  ]
  return dict(zip(NAMES, map(make_idx, arrays), strict=True)), arrays


@pytest.fixture(autouse=True)
def tiny(request, monkeypatch):
  """Expects the tiny files, and has no network."""
  if 'real_data_dir' in request.fixturenames:
    return None
  content, arrays = make_content()
  files = {
    name: (len(data), hashlib.sha256(data).hexdigest())
    for name, data in content.items()
  }

  def refuse(url, seconds=0):
    raise ConnectionError(f'{url}: no network')

  monkeypatch.setattr(mnist, 'FILES', files)
  monkeypatch.setattr(mnist, 'VALIDATION_SIZE', 5)
  monkeypatch.setattr(raw_files, 'fetch', refuse)
  return content, arrays


def write(folder, content, zipped=True):
  folder.mkdir(parents=True, exist_ok=True)
  for name, data in content.items():
    if zipped:
      (folder / f'{name}.gz').write_bytes(gzip.compress(data))
    else:
      (folder / name).write_bytes(data)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('folder', ['mnist', 'MNIST/raw', ''])
def test_each_split_has_its_images(tmp_path, tiny, folder, zipped):
  content, (image, label, test_image, test_label) = tiny
  write(tmp_path / folder, content, zipped)
  expected = {
    'train': (image[5:], label[5:]),
    'validation': (image[:5], label[:5]),  # the first ones
    'test': (test_image, test_label),
  }
  for split, (images, labels) in expected.items():
    loaded = mnist.load(str(tmp_path), split)
    assert loaded['image'].dtype == np.uint8
    assert loaded['label'].dtype == np.int32
    np.testing.assert_array_equal(loaded['image'], images[..., None])
    np.testing.assert_array_equal(loaded['label'], labels)


def test_the_copy_outlives_the_raw_files(tmp_path, tiny):
  write(tmp_path / 'mnist', tiny[0])
  mnist.load(str(tmp_path), 'train')
  for path in (tmp_path / 'mnist').iterdir():
    path.unlink()
  assert len(mnist.load(str(tmp_path), 'test')['label']) == 4


def test_missing_files_are_listed(tmp_path, tiny):
  content = dict(tiny[0])
  present = content.pop(NAMES[1])
  write(tmp_path / 'MNIST/raw', {NAMES[1]: present})
  with pytest.raises(FileNotFoundError) as error:
    mnist.load(str(tmp_path), 'train')
  message = str(error.value)
  for part in (
    *(f'{name}.gz' for name in content),
    *(str(tmp_path / folder) for folder in mnist.FOLDERS),
    *('no network', mnist.MIRROR, ':embedded'),
  ):
    assert part in message
  assert f'{NAMES[1]}.gz,' not in message
  assert os.listdir(tmp_path) == ['MNIST']


def test_missing_files_are_downloaded(tmp_path, tiny, monkeypatch):
  content = tiny[0]
  asked = []

  def fetch(url):
    asked.append(url)
    return gzip.compress(content[os.path.basename(url)[: -len('.gz')]])

  monkeypatch.setattr(raw_files, 'fetch', fetch)
  write(tmp_path / 'mnist', {NAMES[0]: content[NAMES[0]]})
  assert len(mnist.load(str(tmp_path), 'train')['label']) == 7
  assert asked == [f'{mnist.MIRROR}{name}.gz' for name in NAMES[1:]]
  assert len(os.listdir(tmp_path / 'mnist')) == len(NAMES)
  for name in NAMES:
    packed = (tmp_path / 'mnist' / f'{name}.gz').read_bytes()
    assert gzip.decompress(packed) == content[name]


def test_a_wrong_download_is_not_kept(tmp_path, tiny, monkeypatch):
  monkeypatch.setattr(raw_files, 'fetch', lambda url: b'<html>sign in</html>')
  with pytest.raises(FileNotFoundError, match='not an idx file') as error:
    mnist.load(str(tmp_path), 'train')
  assert f'{mnist.MIRROR}{NAMES[0]}.gz' in str(error.value)
  assert not os.listdir(tmp_path)


def damage_zip(data):
  packed = bytearray(gzip.compress(data))
  packed[len(packed) // 2] ^= 255
  return bytes(packed)


@pytest.mark.parametrize(
  'damage, message',
  [
    (damage_zip, 'damaged archive'),
    (lambda data: gzip.compress(data)[:-20], 'damaged archive'),
    (lambda data: b'\0\0\x0d' + data[3:], 'found 00 00 0d 03'),
    (lambda data: data[:3], 'found 00 00 08'),
    (lambda data: data[:9], r'shape \[12, 0, 0\], found 9'),
    (lambda data: data[:-1], r'expected 9,424 bytes .* found 9,423'),
    (lambda data: data + b'\0', r'expected 9,424 bytes .* found 9,425'),
    (lambda data: data[:-1] + b'\0', 'SHA-256 .* found 9,424 bytes'),
  ],
)
def test_damaged_files_are_named_and_kept(tmp_path, tiny, damage, message):
  content = dict(tiny[0])
  damaged = damage(content.pop(NAMES[0]))
  write(tmp_path, content)
  path = tmp_path / f'{NAMES[0]}.gz'
  path.write_bytes(damaged)
  with pytest.raises(ValueError, match=message) as error:
    mnist.load(str(tmp_path), 'train')
  assert str(path) in str(error.value)
  assert path.read_bytes() == damaged
  assert not (tmp_path / 'prepared').exists()


@pytest.mark.parametrize('shape', [(), (5,), (2, 3, 4)])
def test_an_idx_file_is_parsed(shape):
  array = np.arange(np.prod(shape, dtype=int)).astype(np.uint8).reshape(shape)
  parsed = mnist._parse_idx(make_idx(array), 'name')
  assert parsed.dtype == np.uint8
  np.testing.assert_array_equal(parsed, array)


def test_an_unknown_split_is_refused(tmp_path):
  with pytest.raises(ValueError, match="'val'.*'validation'"):
    mnist.load(str(tmp_path), 'val')


def test_real_files(real_data_dir):
  splits = [mnist.load(real_data_dir, split) for split in prepared.SPLITS]
  train, validation, test = splits
  assert [len(split['label']) for split in splits] == [55_000, 5_000, 10_000]
  assert validation['label'][:5].tolist() == [5, 0, 4, 1, 9]
  found = {}
  for part, ordered in ('train', (validation, train)), ('t10k', (test,)):
    image = np.concatenate([split['image'][..., 0] for split in ordered])
    label = np.concatenate([split['label'] for split in ordered])
    found[f'{part}-images-idx3-ubyte'] = make_idx(image)
    found[f'{part}-labels-idx1-ubyte'] = make_idx(label.astype(np.uint8))
  for name, content in found.items():
    raw_files.verify(content, *mnist.FILES[name], name)


def test_a_small_file_that_unpacks_to_a_gigabyte_is_refused(tmp_path, tiny):
  write(tmp_path / 'mnist', tiny[0])
  path = tmp_path / 'mnist' / f'{NAMES[0]}.gz'
  block = gzip.compress(bytes(2**24))
  path.write_bytes(block * 64)  # a gigabyte
  tracemalloc.start()
  with pytest.raises(ValueError, match=f'{path} has, unpacked, more than'):
    mnist.load(str(tmp_path), 'train')
  assert tracemalloc.get_traced_memory()[1] < 2**27
  tracemalloc.stop()
