"""enwik8: packed or not, whole or a prefix, and what is refused."""

import gzip
import hashlib
import zipfile

import numpy as np
import pytest

from hyper.data import enwik8

CONTENT = np.random.default_rng(0).integers(0, 256, 4003).astype('u1').tobytes()
PREFIX = 2001


@pytest.fixture(autouse=True)
def tiny(request, monkeypatch):
  """Expects the tiny file."""
  if 'real_data_dir' not in request.fixturenames:
    monkeypatch.setattr(enwik8, 'WHOLE', len(CONTENT))
    sums = {n: hashlib.sha256(CONTENT[:n]).hexdigest() for n in (4003, PREFIX)}
    monkeypatch.setattr(enwik8, 'SHA256', sums)


def load(data_dir, *length):
  length = length or (len(CONTENT),)
  return [
    bytes(enwik8.load(str(data_dir), split, *length)['text'])
    for split in ('train', 'validation', 'test')
  ]


def write_plain(path):
  path.write_bytes(CONTENT)


def write_zip(path):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('enwik8', CONTENT)


def write_gzip(path):
  path.write_bytes(gzip.compress(CONTENT))


@pytest.mark.parametrize(
  ('name', 'write'),
  [
    ('enwik8', write_plain),
    ('enwik8.zip', write_zip),
    ('enwik8.gz', write_gzip),
  ],
)
@pytest.mark.parametrize('folder', ['', 'enwik8'])
def test_the_file_is_read_in_any_form(tmp_path, folder, name, write):
  (tmp_path / folder).mkdir(exist_ok=True)
  write(tmp_path / folder / name)
  parts = load(tmp_path)
  assert b''.join(parts) == CONTENT
  assert [len(part) for part in parts] == [3603, 200, 200]


def test_a_prefix_has_a_split_and_a_copy_of_its_own(tmp_path):
  write_zip(tmp_path / 'enwik8.zip')
  whole, prefix = load(tmp_path), load(tmp_path, PREFIX)
  assert b''.join(prefix) == CONTENT[:PREFIX]
  assert [len(part) for part in prefix] == [1801, 100, 100]
  (tmp_path / 'enwik8.zip').unlink()
  assert load(tmp_path) == whole and load(tmp_path, PREFIX) == prefix


def test_a_file_with_only_the_prefix_suffices(tmp_path):
  (tmp_path / f'enwik8.first{PREFIX}').write_bytes(CONTENT[:PREFIX])
  assert b''.join(load(tmp_path, PREFIX)) == CONTENT[:PREFIX]
  with pytest.raises(FileNotFoundError, match=r'enwik8 or enwik8\.zip'):
    load(tmp_path)


def test_another_text_of_the_same_length_is_refused(tmp_path):
  length = 1600
  path = tmp_path / f'enwik8.first{length}'
  path.write_bytes(CONTENT[:length])
  load(tmp_path, length)
  path.write_bytes(CONTENT[1 : length + 1])
  with pytest.raises(ValueError, match=f'first{length} has other content'):
    load(tmp_path, length)


def test_a_verified_prefix_may_come_from_another_file(tmp_path):
  path = tmp_path / f'enwik8.first{PREFIX}'
  path.write_bytes(CONTENT[:PREFIX])
  prefix = load(tmp_path, PREFIX)
  path.unlink()
  write_gzip(tmp_path / 'enwik8.gz')
  assert load(tmp_path, PREFIX) == prefix


@pytest.mark.parametrize('name', ['enwik8.zip', 'enwik8.gz', 'enwik8'])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, name):
  content = bytes(len(CONTENT) + 1)
  if name.endswith('.zip'):
    with zipfile.ZipFile(tmp_path / name, 'w') as archive:
      archive.writestr('enwik8', content)
  else:
    is_gzip = name.endswith('.gz')
    (tmp_path / name).write_bytes(
      gzip.compress(content) if is_gzip else content
    )
  with pytest.raises(ValueError, match=f'{name} has, unpacked, more than the'):
    load(tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
  (tmp_path / 'enwik8').write_bytes(CONTENT[:-1] + b'x')
  with pytest.raises(ValueError, match=r'enwik8 is not the expected data'):
    load(tmp_path)
  assert not (tmp_path / 'prepared').exists()


def test_a_file_that_is_too_short_is_refused(tmp_path):
  (tmp_path / 'enwik8').write_bytes(CONTENT[:1500])
  with pytest.raises(ValueError, match='has 1,500 bytes; expected 1,600, or'):
    load(tmp_path, 1600)


def test_a_prefix_is_cut_from_a_verified_file(tmp_path):
  (tmp_path / 'enwik8').write_bytes(CONTENT[:-1] + b'x')
  with pytest.raises(ValueError, match='enwik8 is not the expected data'):
    load(tmp_path, 1600)
  (tmp_path / 'enwik8').write_bytes(CONTENT)
  assert b''.join(load(tmp_path, 1600)) == CONTENT[:1600]


def test_a_prefix_without_a_checksum_is_logged_as_unverified(tmp_path, caplog):
  path = tmp_path / 'enwik8.first1600'
  path.write_bytes(CONTENT[:1601])
  with pytest.raises(ValueError, match='has 1,601 bytes; expected 1,600'):
    load(tmp_path, 1600)
  path.write_bytes(CONTENT[:1600])
  with caplog.at_level('WARNING', logger='absl'):
    assert b''.join(load(tmp_path, 1600)) == CONTENT[:1600]
  assert f'for {path}; it is not verified' in caplog.text


@pytest.mark.parametrize('name', ['enwik8.zip', 'enwik8.gz'])
def test_a_damaged_archive_is_refused(tmp_path, name):
  (tmp_path / name).write_bytes(b'no archive')
  with pytest.raises(ValueError, match=f'{name} is a damaged archive'):
    load(tmp_path)


@pytest.mark.parametrize('place, value', [(6, 1), (8, 99)])
def test_an_archive_that_cannot_be_unpacked_is_refused(tmp_path, place, value):
  path = tmp_path / 'enwik8.zip'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('enwik8', CONTENT)
  content = bytearray(path.read_bytes())
  central = content.rindex(b'PK\1\2')
  for header in (place, central + place + 2):  # encrypted, or another method
    content[header] = value
  path.write_bytes(content)
  with pytest.raises(ValueError, match='zip is a damaged archive'):
    load(tmp_path)


def test_an_archive_of_something_else_is_refused(tmp_path):
  with zipfile.ZipFile(tmp_path / 'enwik8.zip', 'w') as archive:
    archive.writestr('enwik9', CONTENT)
  with pytest.raises(ValueError, match='no file called enwik8'):
    load(tmp_path)


@pytest.mark.parametrize('length', [999, len(CONTENT) + 1])
def test_an_impossible_length_is_refused(tmp_path, length):
  with pytest.raises(
    ValueError, match=f'prefix_bytes is {length:,}; it must be between'
  ):
    load(tmp_path, length)


def test_real_prefix(real_data_dir):
  parts = [
    enwik8.load(real_data_dir, split, 4_154_064)['text']
    for split in ('train', 'validation', 'test')
  ]
  assert [len(part) for part in parts] == [3_738_658, 207_703, 207_703]
  assert len(np.unique(np.concatenate(parts))) == 200
