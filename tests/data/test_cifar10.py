"""CIFAR-10: small files of the true formats; the real ones where they are."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest

from hyper.data import cifar10, prepared, raw_files

NAMES = tuple(cifar10.FILES)
COUNT = 4


def make_records():
  """Makes six batches of four images: the label, then 3,072 bytes of planes."""
  rng = np.random.default_rng(0)
  batches = {}
  for name in NAMES:
    records = rng.integers(0, 256, (COUNT, 3073), dtype=np.uint8)
    records[:, 0] = rng.integers(0, 10, COUNT)
    batches[name] = records
  return batches


def text(string):
  return b'U' + bytes([len(string)]) + string  # SHORT_BINSTRING


def make_pickle(records):
  """Makes a pickle as Python 2 does: text as bytes, the array by a global."""
  pixels = records[:, 1:].tobytes()
  labels = b''.join(b'K' + bytes([label]) for label in records[:, 0])
  array = (
    b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85'
    + (text(b'b') + b'\x87R(K\1M\4\0M\0\x0c\x86')
    + (b'cnumpy\ndtype\n' + text(b'u1') + b'K\0K\1\x87R')
    + (b'\x89T' + len(pixels).to_bytes(4, 'little') + pixels + b'tb')
  )
  return (
    b'\x80\2}('
    + (text(b'batch_label') + text(b'training batch 1 of 5'))
    + (text(b'labels') + b'](' + labels + b'e')
    + (text(b'data') + array)
    + (text(b'filenames') + b'](' + text(b'a.png') * COUNT + b'eu.')
  )


@pytest.fixture(autouse=True)
def tiny(request, monkeypatch):
  """Expects the tiny batches, and has no network."""
  if 'real_data_dir' in request.fixturenames:
    return None
  batches = make_records()

  def refuse(url, seconds=0):
    raise ConnectionError(f'{url}: no network')

  sums = {
    k: hashlib.sha256(x.tobytes()).hexdigest() for k, x in batches.items()
  }
  monkeypatch.setattr(cifar10, 'FILES', sums)
  monkeypatch.setattr(cifar10, 'BATCH_SIZE', COUNT)
  monkeypatch.setattr(cifar10, 'VALIDATION_SIZE', 5)
  monkeypatch.setattr(raw_files, 'fetch', refuse)
  return batches


def as_files(batches, kind):
  """Returns contents by file name, in the binary or the Python layout."""
  if kind == 'bin':
    return {f'{name}.bin': x.tobytes() for name, x in batches.items()}
  return {name: make_pickle(x) for name, x in batches.items()}


def as_archive(batches, kind):
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode='w:gz') as archive:
    for name, data in as_files(batches, kind).items():
      member = tarfile.TarInfo(f'cifar-10-batches-{kind}/{name}')
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))
  return content.getvalue()


def write(folder, files):
  folder.mkdir(parents=True, exist_ok=True)
  for name, data in files.items():
    (folder / name).write_bytes(data)


def load_all(folder):
  return {name: cifar10.load(str(folder), name) for name in prepared.SPLITS}


def assert_is(splits, batches):
  """Checks that each split has its images as pixels, with their labels."""
  train = np.concatenate([batches[name] for name in NAMES[:5]])
  expected = {'train': train, 'test': batches['test_batch']}
  found = dict(splits)
  validation = found.pop('validation')
  assert len(validation['label']) == 5
  found['train'] = {
    key: np.concatenate([x, validation[key]])
    for key, x in found['train'].items()
  }
  for split, records in expected.items():
    image, label = found[split]['image'], found[split]['label']
    assert image.dtype == np.uint8 and image.shape[1:] == (32, 32, 3)
    assert label.dtype == np.int32
    images = {x.tobytes(): y for x, y in zip(image, label, strict=True)}
    assert len(images) == len(records)
    for record in records:
      planes = record[1:].reshape(3, 32, 32)
      assert images[np.stack(list(planes), -1).tobytes()] == record[0]


@pytest.mark.parametrize('kind', ['bin', 'py'])
@pytest.mark.parametrize(
  'folder', ['cifar10/cifar-10-batches-{}', 'cifar10', '']
)
def test_unpacked_batches_are_read(tmp_path, tiny, kind, folder):
  write(tmp_path / folder.format(kind), as_files(tiny, kind))
  assert_is(load_all(tmp_path), tiny)


@pytest.mark.parametrize(
  'kind, name', [('bin', cifar10.ARCHIVES[0]), ('py', cifar10.ARCHIVES[1])]
)
def test_archives_are_read(tmp_path, tiny, kind, name):
  write(tmp_path / 'cifar10', {name: as_archive(tiny, kind)})
  assert_is(load_all(tmp_path), tiny)


def test_the_validation_part_is_a_draw_that_never_changes(tmp_path, tiny):
  write(tmp_path, as_files(tiny, 'bin'))
  train = np.concatenate([tiny[name] for name in NAMES[:5]])
  image = cifar10.load(str(tmp_path), 'validation')['image']
  rows = train[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
  order = [i for x in image for i, y in enumerate(rows) if (x == y).all()]
  assert order == [1, 5, 7, 9, 13]  # as drawn when this was written


def test_a_pickle_is_not_executed(tmp_path, tiny):
  class Harm:
    def __reduce__(self):
      return exec, ('raise SystemExit("executed")',)

  files = as_files(tiny, 'py')
  files[NAMES[0]] = pickle.dumps({'labels': [1], 'data': Harm()}, protocol=2)
  write(tmp_path, files)
  with pytest.raises(ValueError, match='not a batch of CIFAR-10'):
    cifar10.load(str(tmp_path), 'train')


def test_missing_files_are_listed(tmp_path, tiny):
  files = as_files(tiny, 'bin')
  del files['data_batch_3.bin']
  write(tmp_path, files)
  with pytest.raises(FileNotFoundError) as error:
    cifar10.load(str(tmp_path), 'train')
  for part in (
    *('data_batch_3.bin\n', 'no network', ':embedded', *cifar10.ARCHIVES),
    str(tmp_path / 'cifar10' / 'cifar-10-batches-py'),
  ):
    assert part in str(error.value)
  assert 'data_batch_2.bin' not in str(error.value)


def test_what_is_missing_is_downloaded(tmp_path, tiny, monkeypatch):
  asked = []

  def fetch(url):
    asked.append(url)
    return as_archive(tiny, 'bin')

  monkeypatch.setattr(raw_files, 'fetch', fetch)
  assert_is(load_all(tmp_path), tiny)
  assert asked == [cifar10.HOMEPAGE + cifar10.ARCHIVES[0]]
  assert (tmp_path / 'cifar10' / cifar10.ARCHIVES[0]).exists()


@pytest.mark.parametrize('content', [b'<html>sign in</html>', None])
def test_a_wrong_download_is_not_kept(tmp_path, tiny, monkeypatch, content):
  other = {name: x ^ 1 for name, x in tiny.items()}
  content = content or as_archive(other, 'bin')
  monkeypatch.setattr(raw_files, 'fetch', lambda url: content)
  with pytest.raises(FileNotFoundError, match='The download failed'):
    cifar10.load(str(tmp_path), 'train')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  'kind, damage, message',
  [
    ('bin', lambda data: data[:-1], r'expected 12,292 bytes .* found 12,291'),
    ('bin', lambda data: data[:-1] + b'\1', 'SHA-256 .* found 12,292 bytes'),
    ('py', lambda data: data[:-5000], 'damaged pickle'),
    ('py', lambda data: data.replace(b'labels', b'lapels'), '0 labels'),
  ],
)
def test_damaged_files_are_named_and_kept(
  tmp_path, tiny, kind, damage, message
):
  files = as_files(tiny, kind)
  name = next(iter(files))
  files[name] = damage(files[name])
  write(tmp_path, files)
  with pytest.raises(ValueError, match=message) as error:
    cifar10.load(str(tmp_path), 'train')
  assert str(tmp_path / name) in str(error.value)
  assert (tmp_path / name).read_bytes() == files[name]
  assert not (tmp_path / 'prepared').exists()


def test_a_damaged_archive_is_named(tmp_path, tiny):
  whole = as_archive(tiny, 'bin')
  write(tmp_path, {cifar10.ARCHIVES[0]: whole[: len(whole) // 2]})
  with pytest.raises(ValueError, match='damaged archive') as error:
    cifar10.load(str(tmp_path), 'train')
  assert cifar10.ARCHIVES[0] in str(error.value)


def test_an_archive_with_a_link_to_nowhere_is_named(tmp_path):
  path = tmp_path / 'cifar10' / cifar10.ARCHIVES[0]
  path.parent.mkdir()
  with tarfile.open(path, 'w:gz') as archive:
    link = tarfile.TarInfo('cifar-10-batches-bin/data_batch_1.bin')
    link.type, link.linkname = tarfile.SYMTYPE, 'nowhere'
    archive.addfile(link)
  with pytest.raises(ValueError, match='damaged archive') as error:
    cifar10.load(str(tmp_path), 'train')
  assert cifar10.ARCHIVES[0] in str(error.value)


def test_an_archive_without_a_batch_is_an_error_that_names_it(tmp_path, tiny):
  last = tiny.pop('test_batch')
  write(tmp_path, {cifar10.ARCHIVES[0]: as_archive(tiny, 'bin')})
  tiny['test_batch'] = last
  with pytest.raises(ValueError, match='holds no test_batch'):
    cifar10.load(str(tmp_path), 'train')


def test_real_files(real_data_dir):
  splits = load_all(real_data_dir)
  sizes = [len(split['label']) for split in splits.values()]
  assert sizes == [45_000, 5_000, 10_000]
  assert np.bincount(splits['test']['label']).tolist() == [1000] * 10
  both = np.bincount(splits['train']['label'])
  both += np.bincount(splits['validation']['label'])
  assert both.tolist() == [5000] * 10
