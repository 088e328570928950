"""Penn Treebank: both levels and the archive give the same symbols."""

import hashlib
import io
import os
import tarfile

import numpy as np
import pytest

from hyper.data import array_records, prepared, ptb

# As in Mikolov's files: a blank at both ends of every line.
WORDS = {
  'train': " aer banknote <unk> \n it 's N years \n" * 40,
  'validation': ' no it was <unk> \n',
  'test': ' black monday \n but \n',
}
TEXT = {
  'train': "aer_banknote_<unk>\nit_'s_N_years\n" * 40,
  'validation': 'no_it_was_<unk>\n',
  'test': 'black_monday\nbut\n',
}
PARTS = {'train': 'train', 'validation': 'valid', 'test': 'test'}


def make_files(level):
  """Returns names and contents of the three files at one level."""
  if level == 'word':
    return {
      f'ptb.{PARTS[split]}.txt': text.encode() for split, text in WORDS.items()
    }
  return {
    f'ptb.char.{PARTS[split]}.txt': ''.join(c + ' ' for c in text).encode()
    for split, text in TEXT.items()
  }


def write(folder, files):
  folder.mkdir(parents=True, exist_ok=True)
  for name, content in files.items():
    (folder / name).write_bytes(content)


def write_archive(folder, files):
  folder.mkdir(parents=True, exist_ok=True)
  with tarfile.open(folder / ptb.ARCHIVE, 'w:gz') as archive:
    for name, content in files.items():
      member = tarfile.TarInfo(f'./simple-examples/data/{name}')
      member.size = len(content)
      archive.addfile(member, io.BytesIO(content))


def load_all(data_dir):
  return {
    split: ptb.load(str(data_dir), split)['text'].tobytes().decode()
    for split in prepared.SPLITS
  }


@pytest.fixture(autouse=True)
def tiny(request, monkeypatch):
  """Expects the tiny text."""
  if 'real_data_dir' not in request.fixturenames:
    files = {
      split: (
        PARTS[split],
        len(text),
        hashlib.sha256(text.encode()).hexdigest(),
      )
      for split, text in TEXT.items()
    }
    monkeypatch.setattr(ptb, 'FILES', files)


@pytest.mark.parametrize('level', ['word', 'char'])
@pytest.mark.parametrize(
  'folder', ['ptb', 'simple-examples/data', 'ptb/simple-examples/data', '']
)
def test_both_levels_give_the_same_symbols(tmp_path, folder, level):
  write(tmp_path / folder, make_files(level))
  assert load_all(tmp_path) == TEXT
  assert ptb.load(str(tmp_path), 'test')['text'].dtype == np.uint8


@pytest.mark.parametrize('level', ['word', 'char'])
@pytest.mark.parametrize('folder', ['', 'ptb'])
def test_the_archive_is_read_in_place(tmp_path, folder, level):
  write_archive(tmp_path / folder, make_files(level))
  assert load_all(tmp_path) == TEXT
  assert not list(tmp_path.rglob('*.txt'))


def test_line_ends_of_another_system_do_no_harm(tmp_path):
  files = make_files('word')
  files |= {'ptb.valid.txt': files['ptb.valid.txt'].replace(b'\n', b'\r\n')}
  write(tmp_path, files)
  assert load_all(tmp_path) == TEXT


def test_order_over_several_records(tmp_path, monkeypatch):
  monkeypatch.setattr(array_records, 'RECORD_BYTES', 100)
  write(tmp_path, make_files('word'))
  assert load_all(tmp_path) == TEXT


def test_the_copy_outlives_the_raw_files(tmp_path):
  write(tmp_path / 'ptb', make_files('char'))
  ptb.load(str(tmp_path), 'train')
  for path in (tmp_path / 'ptb').iterdir():
    path.unlink()
  assert load_all(tmp_path) == TEXT


def test_missing_files_are_listed(tmp_path):
  files = make_files('word')
  del files['ptb.train.txt']
  write(tmp_path / 'ptb', files)
  with pytest.raises(FileNotFoundError) as error:
    ptb.load(str(tmp_path), 'test')
  message = str(error.value)
  for part in (
    'ptb.train.txt or ptb.char.train.txt',
    *(str(tmp_path / folder) for folder in ptb.FOLDERS),
    *(ptb.ARCHIVE, 'Linguistic Data Consortium', ':embedded'),
  ):
    assert part in message
  assert 'ptb.valid.txt' not in message
  assert os.listdir(tmp_path) == ['ptb']


@pytest.mark.parametrize('level', ['word', 'char'])
def test_a_damaged_text_is_named_and_kept(tmp_path, level):
  files = make_files(level)
  name = sorted(files)[1]
  files[name] = files[name][:-4]
  write(tmp_path, files)
  with pytest.raises(
    ValueError, match='expected 1,3.0 bytes .* found'
  ) as error:
    ptb.load(str(tmp_path), 'test')
  assert str(tmp_path / name) in str(error.value)
  assert (tmp_path / name).read_bytes() == files[name]
  assert not (tmp_path / 'prepared').exists()


@pytest.mark.parametrize('keep', [0, 10, 200])
def test_a_damaged_archive_is_named_and_kept(tmp_path, keep):
  write_archive(tmp_path, make_files('word'))
  path = tmp_path / ptb.ARCHIVE
  damaged = path.read_bytes()[:keep]
  path.write_bytes(damaged)
  with pytest.raises(ValueError, match=f'{path} is a damaged archive'):
    ptb.load(str(tmp_path), 'test')
  assert path.read_bytes() == damaged


def test_an_archive_without_the_files(tmp_path):
  write_archive(tmp_path, {'README': b'hello'})
  with pytest.raises(ValueError, match='holds no ptb.train.txt or ptb.char'):
    ptb.load(str(tmp_path), 'test')


def test_an_unknown_split_is_refused(tmp_path):
  with pytest.raises(ValueError, match="'valid'.*'validation'"):
    ptb.load(str(tmp_path), 'valid')


def test_real_files(real_data_dir):
  for split, (_, size, sha256) in ptb.FILES.items():
    text = ptb.load(real_data_dir, split)['text']
    assert len(text) == size
    assert hashlib.sha256(text).hexdigest() == sha256
    if split == 'train':
      assert len(np.unique(text)) == 50
