"""WMT'14, English to French, from the archives that the workshop published.

The training text has some 40 million pairs and does not fit into memory. It is
prepared once, line by line, without unpacking an archive to the disk. newstest
2012 and 2013 are for validation, newstest 2014 for test.
"""

import contextlib
import gzip
import html
import os
import re
from collections.abc import Iterable, Iterator

from hyper.data import prepared, raw_files
from hyper.data.parallel_text import FIELDS, Pairs, read_pairs

FOLDERS = ('wmt14', '')
# Split: archives, each with the files of the source and of the target in it.
ARCHIVES = {
  'train': (
    (
      'training-parallel-europarl-v7.tgz',
      ('europarl-v7.fr-en.en', 'europarl-v7.fr-en.fr'),
    ),
    (
      'training-parallel-commoncrawl.tgz',
      ('commoncrawl.fr-en.en', 'commoncrawl.fr-en.fr'),
    ),
    (
      'training-parallel-un.tgz',
      ('undoc.2000.fr-en.en', 'undoc.2000.fr-en.fr'),
    ),
    (
      'training-parallel-nc-v9.tgz',
      ('news-commentary-v9.fr-en.en', 'news-commentary-v9.fr-en.fr'),
    ),
    (
      'training-giga-fren.tar',
      ('giga-fren.release2.fixed.en.gz', 'giga-fren.release2.fixed.fr.gz'),
    ),
  ),
  'validation': (
    ('dev.tgz', ('newstest2012.en', 'newstest2012.fr')),
    ('dev.tgz', ('newstest2013.en', 'newstest2013.fr')),
  ),
  'test': (
    (
      'test-full.tgz',
      ('newstest2014-fren-src.en.sgm', 'newstest2014-fren-ref.fr.sgm'),
    ),
  ),
}
LARGEST_ARCHIVE = 2**36  # bytes, unpacked; lines are read one by one
SEGMENT = re.compile(rb'<seg[^>]*>(.*)</seg>', re.IGNORECASE)


def load(data_dir: str, split: str) -> Pairs:
  """Returns the pairs of a split, English first.

  Raises:
    FileNotFoundError: archives are missing.
    OSError: data_dir cannot be written.
    ValueError: no such split, or an archive is damaged.
  """
  prepared.check_split(split, ARCHIVES)
  return Pairs(*prepared.open_records(_SOURCE, data_dir, split))


def _read(data_dir: str) -> dict[str, Iterator[dict[str, bytes]]]:
  paths, absent, folders = _find(data_dir)
  if absent:
    raise raw_files.missing(
      "WMT'14 English-French",
      absent,
      folders,
      'Get them from https://www.statmt.org/wmt14/translation-task.html and '
      f'put them, as they are, into {folders[0]}.',
    )
  return {
    split: _split([(paths[archive], members) for archive, members in parts])
    for split, parts in ARCHIVES.items()
  }


def _find(data_dir: str) -> tuple[dict[str, str], list[str], list[str]]:
  """Returns the archives found, the missing ones, and the folders searched."""
  folders = [os.path.join(data_dir, folder) for folder in FOLDERS]
  names = {archive for parts in ARCHIVES.values() for archive, _ in parts}
  found = {name: raw_files.find(folders, [name]) for name in names}
  paths = {name: path for name, path in found.items() if path}
  return paths, sorted(names - paths.keys()), folders


def _raw(data_dir: str) -> list[str]:
  paths, absent, _ = _find(data_dir)
  return [] if absent else sorted(paths.values())


def _split(
  parts: Iterable[tuple[str, tuple[str, str]]],
) -> Iterator[dict[str, bytes]]:
  for path, members in parts:
    names = [f'{path} ({member})' for member in members]
    # Source and target are one after the other in the archive and are needed
    # side by side, so each is read from an opened copy.
    with (
      _member(path, members[0]) as source,
      _member(path, members[1]) as target,
    ):
      yield from read_pairs(source, target, *names)


@contextlib.contextmanager
def _member(path: str, name: str) -> Iterator[Iterable[bytes]]:
  """Yields the lines of the file `name` in any folder of an archive."""
  with raw_files.unpacking(path, LARGEST_ARCHIVE) as files:
    for place, file in files:
      if os.path.basename(place) == name:
        yield _lines(file, name)
        return
  raise ValueError(f'{path} holds no {name}')


def _lines(file: raw_files.File, name: str) -> Iterable[bytes]:
  if name.endswith('.gz'):
    return raw_files.lines(gzip.GzipFile(fileobj=file), name, LARGEST_ARCHIVE)
  lines = raw_files.lines(file, name)
  return _segments(lines) if name.endswith('.sgm') else lines


def _segments(lines: Iterable[bytes]) -> Iterator[bytes]:
  for line in lines:
    if found := SEGMENT.search(line):
      text = html.unescape(found[1].decode(errors='surrogateescape'))
      yield text.strip().encode(errors='surrogateescape')


_SOURCE = prepared.RecordSource(
  name='hyper_wmt14_en_fr',
  version='1.0.0',
  read=_read,
  raw=_raw,
  fields=FIELDS,
  description="Sentence pairs of WMT'14, English and French.",
  homepage='https://www.statmt.org/wmt14/translation-task.html',
  citation=(
    'Bojar et al.: Findings of the 2014 Workshop on Statistical Machine '
    'Translation. Proceedings of WMT, 2014.'
  ),
)
