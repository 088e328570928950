"""Plain text files, read line by line, and errors that name the line."""

import gzip
import os
import pathlib

import pytest

from hyper.data import array_records, parallel_text, prepared

ENGLISH = ['One man.', '', 'Two | men\u2028and a dog\x85', ' three ']
FRENCH = ['Un homme.', 'Rien', 'Deux hommes et un chien', 'trois']


def write(folder, source, target):
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'x.en').write_bytes(source)
  (folder / 'x.fr').write_bytes(target)


def lines(sentences, end='\n'):
  return ''.join(x + end for x in sentences).encode()


def load(data_dir, split='train', **names):
  files = dict.fromkeys(prepared.SPLITS, ('x.en', 'x.fr')) | names
  return parallel_text.load(str(data_dir), split, **files)


def everything(pairs):
  return [pair for chunk in pairs.chunks(3) for pair in chunk]


WANTED = list(zip(ENGLISH, FRENCH, strict=True))


def test_pairs_match_by_number_and_only_newlines_end_a_line(tmp_path):
  write(tmp_path, lines(ENGLISH), lines(FRENCH))
  pairs = load(tmp_path)
  assert len(pairs) == 4
  assert everything(pairs) == WANTED
  assert pairs.take([2, 0, 2]) == [WANTED[2], WANTED[0], WANTED[2]]
  assert pairs.take([]) == []


@pytest.mark.parametrize('form', ['crlf', 'bom', 'no last end', 'gz'])
def test_forms_of_the_same_text_give_the_same_pairs(form, tmp_path):
  source, target = lines(ENGLISH), lines(FRENCH)
  names = ('x.en', 'x.fr')
  if form == 'crlf':
    source, target = lines(ENGLISH, '\r\n'), lines(FRENCH, '\r\n')
  elif form == 'bom':
    source, target = (b'\xef\xbb\xbf' + x for x in (source, target))
  elif form == 'no last end':
    target = target.removesuffix(b'\n')
  write(tmp_path, source, target)
  if form == 'gz':
    (tmp_path / 'x.en.gz').write_bytes(gzip.compress(source))
    names = ('x.en.gz', 'x.fr')
  assert everything(load(tmp_path, train=names)) == WANTED


def test_order_over_several_files_and_chunks(tmp_path, monkeypatch):
  monkeypatch.setattr(array_records, 'FILE_RECORDS', 7)
  monkeypatch.setattr(array_records, 'CHUNK_RECORDS', 5)
  numbers = [str(k) for k in range(50)]
  write(tmp_path, lines(numbers), lines(reversed(numbers)))
  pairs = load(tmp_path)
  assert everything(pairs) == list(zip(numbers, numbers[::-1], strict=True))
  assert len([x for x in os.listdir(pairs.folder) if 'array_record' in x]) == 8


def test_another_content_is_another_copy(tmp_path):
  write(tmp_path, lines(ENGLISH), lines(FRENCH))
  assert load(tmp_path).folder == load(tmp_path, 'test').folder
  write(tmp_path, lines(['x']), lines(['y']))
  assert everything(load(tmp_path)) == [('x', 'y')]
  assert len(os.listdir(tmp_path / 'prepared')) == 2


@pytest.mark.parametrize(
  'source, target, message',
  [
    (3, 2, r'x\.fr ends after line 2, but .*x\.en has 3 lines'),
    (1, 4, r'x\.en ends after line 1, but .*x\.fr has 4 lines'),
  ],
)
def test_sides_of_unequal_length_are_named(source, target, message, tmp_path):
  write(tmp_path, lines(['a'] * source), lines(['b'] * target))
  with pytest.raises(ValueError, match=message):
    load(tmp_path)
  assert os.listdir(tmp_path / 'prepared') == []


@pytest.mark.parametrize(
  'damage',
  [
    lambda data: data[: len(data) // 2],
    lambda data: data[:40] + b'\0' * 40 + data[80:],
    lambda data: b'no gzip at all\n',
  ],
)
def test_a_damaged_archive_is_named(damage, tmp_path):
  text = b''.join(b'%d\n' % (k * k) for k in range(1000))
  path = tmp_path / 'x.en.gz'
  path.write_bytes(damage(gzip.compress(text)))
  (tmp_path / 'x.fr').write_bytes(text)
  with pytest.raises(ValueError, match=r'x\.en\.gz is a damaged archive'):
    load(tmp_path, train=('x.en.gz', 'x.fr'))
  assert not list((tmp_path / 'prepared').glob('*'))


def test_a_packed_text_that_unpacks_to_too_much_is_refused(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(parallel_text, 'LARGEST_UNPACKED', 10**4)
  text = b'0' * 99 + b'\n'
  (tmp_path / 'x.en.gz').write_bytes(gzip.compress(text * 101))
  (tmp_path / 'x.fr').write_bytes(text * 101)
  with pytest.raises(ValueError, match=r'x\.en\.gz has, unpacked, more than'):
    load(tmp_path, train=('x.en.gz', 'x.fr'))


def test_files_without_lines_are_named(tmp_path):
  for name in ('x.en', 'x.fr'):
    (tmp_path / name).touch()
  with pytest.raises(ValueError, match=r'x\.en and .*x\.fr have no lines'):
    load(tmp_path, train=('x.en', 'x.fr'))
  assert not list((tmp_path / 'prepared').glob('*'))


def test_a_line_that_is_not_utf8_is_named(tmp_path):
  write(tmp_path, lines(['a', 'b']), b'a\n' + 'été\n'.encode('latin-1'))
  with pytest.raises(
    ValueError, match=r'x\.fr, line 2 is not UTF-8: .* byte 1'
  ):
    load(tmp_path)
  assert os.listdir(tmp_path / 'prepared') == []


def test_missing_files_are_listed(tmp_path):
  write(tmp_path, b'', b'')
  with pytest.raises(FileNotFoundError) as error:
    load(tmp_path, 'test', test=('y.en', 'x.fr'))
  for part in ('y.en', str(tmp_path), '--data_dir', ':embedded'):
    assert part in str(error.value)
  assert 'x.fr' not in str(error.value)


def test_a_name_of_a_folder_is_explained(tmp_path):
  (tmp_path / 'photos').mkdir()
  with pytest.raises(FileNotFoundError, match='photos is a folder; a file is'):
    load(tmp_path, 'test', test=('photos', 'x.fr'))


def test_an_unknown_split_and_wrong_names_are_refused(tmp_path):
  with pytest.raises(ValueError, match="'dev'.*'validation'"):
    load(tmp_path, 'dev')
  with pytest.raises(ValueError, match='give two names'):
    load(tmp_path, train='x.en')


def test_a_damaged_copy_is_named(tmp_path):
  write(tmp_path, lines(ENGLISH), lines(FRENCH))
  folder = load(tmp_path).folder
  os.remove(os.path.join(folder, 'dataset_info.json'))
  with pytest.raises(ValueError, match='delete that folder'):
    load(tmp_path)


def test_a_damaged_pair_is_named_and_others_are_read(tmp_path):
  numbers = [str(k) for k in range(50)]
  write(tmp_path, lines(numbers), lines(numbers))
  folder = load(tmp_path).folder
  (path,) = pathlib.Path(folder).glob('*array_record*')
  content = bytearray(path.read_bytes())
  content[1000] ^= 1
  path.write_bytes(content)
  pairs = load(tmp_path)
  readable = []
  for number in range(50):
    try:
      readable += pairs.take([number])
    except ValueError as error:
      assert folder in str(error) and 'delete that folder' in str(error)
  assert len(readable) == 49 and set(readable) < {(x, x) for x in numbers}
  path.unlink()
  with pytest.raises(ValueError, match=f'{folder}.*delete that folder'):
    load(tmp_path).take([0])


def test_a_pair_outside_the_split_is_an_error(tmp_path):
  write(tmp_path, lines(ENGLISH), lines(FRENCH))
  pairs = load(tmp_path)
  for number in (-1, len(ENGLISH)):
    with pytest.raises(IndexError, match=f'no record {number} among'):
      pairs.take([number])


def test_other_pairs_have_another_fingerprint(tmp_path):
  write(tmp_path, lines(ENGLISH), lines(FRENCH))
  first = load(tmp_path).fingerprint()
  assert load(tmp_path).fingerprint() == first
  write(tmp_path, lines(ENGLISH), lines(FRENCH[::-1]))
  assert load(tmp_path).fingerprint() != first
  one, two = (parallel_text.Pairs([('a', x)]).fingerprint() for x in 'bc')
  assert one != two and parallel_text.Pairs([('a', 'b')]).fingerprint() == one
