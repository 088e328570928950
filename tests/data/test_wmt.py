"""WMT'14 from small archives in the layout that was published."""

import gzip
import io
import os
import shutil
import tarfile

import pytest

from hyper.data import wmt

FOLDERS = {  # by file, its folder in the archive
  'training-parallel-europarl-v7.tgz': 'training',
  'training-parallel-commoncrawl.tgz': '.',
  'training-parallel-un.tgz': 'un',
  'training-parallel-nc-v9.tgz': 'training',
  'training-giga-fren.tar': '',
  'dev.tgz': 'dev',
  'test-full.tgz': 'test-full',
}
PAIRS = {
  'europarl-v7.fr-en': [('One.', 'Un.'), ('Two.', 'Deux.')],
  'commoncrawl.fr-en': [('Three\u2028four', 'Trois quatre')],
  'undoc.2000.fr-en': [('Five', 'Cinq'), ('', 'Six')],
  'news-commentary-v9.fr-en': [('Seven', 'Sept')],
  'giga-fren.release2.fixed': [('Eight', 'Huit'), ('Nine', 'Neuf\u00a0!')],
  'newstest2012': [('A', 'Un')],
  'newstest2013': [('B', 'Deux'), ('C', 'Trois')],
  'newstest2014': [('D & "E"', 'Quatre & cinq'), ('F', 'Six')],
}
TRAIN = [pair for name in list(PAIRS)[:5] for pair in PAIRS[name]]


def contents():
  """Returns the content of each file in all archives, unused files included."""
  files = {
    'README': b'not a text',
    'newstest2014-src.en.sgm': b'<seg>G</seg>\n',
  }
  for name, pairs in PAIRS.items():
    for side, language in enumerate(('en', 'fr')):
      text = ''.join(pair[side] + '\n' for pair in pairs).encode()
      if name == 'newstest2014':
        segments = [pair[side].replace('&', '&amp;') for pair in pairs]
        text = '<srcset setid="x">\n<doc docid="1">\n<p>\n' + ''.join(
          f'<seg id="{k}">{x.replace(chr(34), "&quot;")}</seg>\n'
          for k, x in enumerate(segments, 1)
        )
        kind = ('src', 'ref')[side]
        name_in = f'newstest2014-fren-{kind}.{language}.sgm'
        files[name_in] = (text + '</p>\n</doc>\n</srcset>\n').encode()
      elif name.startswith('giga'):
        files[f'{name}.{language}.gz'] = gzip.compress(text)
      else:
        files[f'{name}.{language}'] = text
  return files


def write(folder, files):
  folder.mkdir(parents=True, exist_ok=True)
  wanted = {name: ['README', 'newstest2014-src.en.sgm'] for name in FOLDERS}
  for parts in wmt.ARCHIVES.values():
    for archive, members in parts:
      wanted[archive] += members
  for archive, members in wanted.items():
    mode = 'w:gz' if archive.endswith('.tgz') else 'w'
    with tarfile.open(folder / archive, mode) as file:
      for name in members:
        path = os.path.join(FOLDERS[archive], name)
        member = tarfile.TarInfo(path)
        member.size = len(files[name])
        file.addfile(member, io.BytesIO(files[name]))


def everything(data_dir, split):
  return [
    pair for chunk in wmt.load(str(data_dir), split).chunks() for pair in chunk
  ]


@pytest.mark.parametrize('folder', ['wmt14', ''])
def test_every_pair_of_every_archive_in_order(tmp_path, folder):
  write(tmp_path / folder, contents())
  assert everything(tmp_path, 'train') == TRAIN
  assert everything(tmp_path, 'validation') == [
    *PAIRS['newstest2012'],
    *PAIRS['newstest2013'],
  ]
  assert everything(tmp_path, 'test') == PAIRS['newstest2014']
  assert wmt.load(str(tmp_path), 'train').take([6, 0]) == [TRAIN[6], TRAIN[0]]


def test_the_copy_outlives_the_archives(tmp_path):
  write(tmp_path / 'wmt14', contents())
  wmt.load(str(tmp_path), 'test')
  shutil.rmtree(tmp_path / 'wmt14')
  assert everything(tmp_path, 'train') == TRAIN


def test_missing_archives_are_listed(tmp_path):
  write(tmp_path / 'wmt14', contents())
  (tmp_path / 'wmt14' / 'dev.tgz').unlink()
  with pytest.raises(FileNotFoundError) as error:
    wmt.load(str(tmp_path), 'train')
  for part in ('dev.tgz', str(tmp_path / 'wmt14'), 'statmt.org', ':embedded'):
    assert part in str(error.value)
  assert 'giga' not in str(error.value)
  assert os.listdir(tmp_path) == ['wmt14']


@pytest.mark.parametrize('keep', [0, 40, 200])
def test_a_damaged_archive_is_named_and_kept(tmp_path, keep):
  write(tmp_path, contents())
  path = tmp_path / 'training-parallel-un.tgz'
  damaged = path.read_bytes()[:keep]
  path.write_bytes(damaged)
  with pytest.raises(ValueError, match=f'{path} is a damaged archive'):
    wmt.load(str(tmp_path), 'train')
  assert path.read_bytes() == damaged
  assert os.listdir(tmp_path / 'prepared') == []


@pytest.mark.parametrize(
  'name, content, message',
  [
    ('undoc.2000.fr-en.fr', b'Cinq\n', 'fr-en.fr. ends after line 1, but .*en'),
    (
      'commoncrawl.fr-en.en',
      b'\xff\n',
      r'commoncrawl.fr-en.en., line 1 is not',
    ),
  ],
)
def test_wrong_text_is_named_by_archive_file_and_line(
  tmp_path, name, content, message
):
  write(tmp_path, contents() | {name: content})
  with pytest.raises(ValueError, match=message):
    wmt.load(str(tmp_path), 'train')


def test_an_archive_without_the_file(tmp_path, monkeypatch):
  write(tmp_path, contents())
  parts = {'train': (('dev.tgz', ('nothing.en', 'nothing.fr')),)}
  monkeypatch.setattr(wmt, 'ARCHIVES', parts)
  with pytest.raises(ValueError, match='dev.tgz holds no nothing.en'):
    wmt.load(str(tmp_path), 'train')


def test_an_unknown_split_is_refused(tmp_path):
  with pytest.raises(ValueError, match="'dev'.*'validation'"):
    wmt.load(str(tmp_path), 'dev')
