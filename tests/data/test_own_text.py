"""Text of your own: one file or three, bytes or characters, and bad files."""

import numpy as np
import pytest

from hyper.data import own_text, prepared

TEXT = ''.join(f'{k}: été 漢\n' for k in range(100))
SPLIT = (0.9, 0.05, 0.05)


def load(folder, files=('a.txt',), split=SPLIT, symbols='characters'):
  return [
    own_text.load(str(folder), part, files, split, symbols)['text']
    for part in prepared.SPLITS
  ]


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'a.txt').write_text(TEXT, encoding='utf-8')
  return tmp_path


@pytest.mark.parametrize('symbols', ['bytes', 'characters'])
def test_one_file_is_cut_in_order(folder, symbols):
  parts = load(folder, split=(0.5, 0.3, 0.2), symbols=symbols)
  whole = np.concatenate(parts)
  if symbols == 'bytes':
    assert whole.dtype == np.uint8 and bytes(whole) == TEXT.encode()
  else:
    assert whole.dtype == np.uint32 and ''.join(map(chr, whole)) == TEXT
  shares = [len(part) / len(whole) for part in parts]
  np.testing.assert_allclose(shares, (0.5, 0.3, 0.2), atol=1e-3)


def test_three_files_are_the_three_parts(folder):
  for name in 'bc':
    (folder / name).write_text(name * 5)
  parts = load(folder, ('a.txt', 'b', str(folder / 'c')))
  assert [''.join(map(chr, x)) for x in parts] == [TEXT, 'bbbbb', 'ccccc']


def test_a_change_is_noticed(folder):
  before = load(folder)[0]
  (folder / 'a.txt').write_text(TEXT.replace('é', 'è'), encoding='utf-8')
  after = load(folder)[0]
  assert len(before) == len(after) and (before != after).any()
  assert not (folder / 'prepared').exists()


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'files': ()}, r'files is \(\); give the name of one text file, or'),
    ({'files': ('a.txt', 'b')}, 'give the name of one text file, or of three'),
    ({'split': (0.5, 0.5)}, r'split is \(0.5, 0.5\); give the shares'),
    ({'split': (0.9, 0.1, 0.1)}, 'together 1'),
    ({'split': (1.0, 0.0, 0.0)}, 'all above 0'),
    ({'symbols': 'words'}, "symbols is 'words'; allowed: bytes, characters"),
  ],
)
def test_wrong_fields_are_named(folder, fields, message):
  with pytest.raises(ValueError, match=message):
    load(folder, **fields)


def test_a_byte_order_mark_is_no_character(folder):
  (folder / 'b.txt').write_bytes(b'\xef\xbb\xbf' + 'é'.encode() * 100)
  assert set(load(folder, ('b.txt',))[0].tolist()) == {ord('é')}
  found = load(folder, ('b.txt',), symbols='bytes')
  assert found[0][:3].tolist() == [0xEF, 0xBB, 0xBF]


def test_a_name_of_a_folder_is_explained(folder):
  (folder / 'photos').mkdir()
  with pytest.raises(FileNotFoundError, match='photos is a folder; a file is'):
    load(folder, ('photos',))


def test_bad_files_are_named(folder):
  with pytest.raises(FileNotFoundError, match=r'b\.txt'):
    load(folder, ('b.txt',))
  (folder / 'b.txt').write_bytes(b'a' * 99 + b'\xe9t\xe9')
  with pytest.raises(ValueError, match=r'b\.txt is not UTF-8: .* byte 100\. '):
    load(folder, ('b.txt',))
  assert sum(map(len, load(folder, ('b.txt',), symbols='bytes'))) == 102
  (folder / 'b.txt').write_bytes(b'abc')
  with pytest.raises(
    ValueError, match=r'b\.txt has no text for validation; .*config.data.split='
  ):
    load(folder, ('b.txt',))
  (folder / 'c.txt').write_bytes(b'')
  with pytest.raises(ValueError, match=r'c\.txt has no .*; give a longer file'):
    load(folder, ('b.txt', 'c.txt', 'b.txt'))
  with pytest.raises(ValueError, match="no split 'dev'"):
    own_text.load(str(folder), 'dev', ('a.txt',), SPLIT, 'bytes')
