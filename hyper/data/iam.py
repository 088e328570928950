"""IAM-OnDB: lines of English written on a whiteboard (Liwicki & Bunke 2005).

The raw files are those of the owners: the archives `lineStrokes-all.tar.gz` and
`ascii-all.tar.gz`, or the folders in them, and the four lists of the official
split. The owners give them to registered users for non-commercial research, so
nothing is downloaded.

Split and preparation follow Graves (arXiv 1308.0850): he validates on the
lines of the smaller validation list, and trains on all others; there is no test
part. Missing readings are interpolated and over-long moves removed. Lines of
fewer than 300 moves are left out, as in HyperNetworks (A.3.5).

Deviation: neither paper gives the numbers; here they are GAP_SECONDS and
LONGEST_MOVE. Nor do they say whether short lines stay in the validation part;
here they do not.
"""

import os
from collections.abc import Iterator

import numpy as np
from absl import logging

from hyper.data import iam_xml, prepared, raw_files, strokes
from hyper.terminal import track

FOLDERS = ('iam_ondb', 'iam', '')
STROKES, ASCII = 'lineStrokes', 'ascii'
# The lists of forms: the part that each belongs to, and its number of lines.
LISTS = {
  'trainset.txt': ('train', 5_364),
  'testset_v.txt': ('validation', 1_438),
  'testset_t.txt': ('train', 1_518),
  'testset_f.txt': ('train', 3_859),
}
LARGEST_FILE, LARGEST_ARCHIVE = 2**24, 2**32  # bytes, unpacked
SHORTEST_LINE = 300  # moves
LONGEST_MOVE = 1_000.0  # units of the board, about a fifth of a line
INTERVAL = 1 / 72  # seconds from one reading to the next
# The shortest and the longest gap that is filled, in seconds. Times are given
# in hundredths, so the shortest is 0.05. A shorter gap misses a reading or two
# at most; a longer one is a jump of the clock.
GAP_SECONDS = (0.045, 1.005)

Named = tuple[str, np.ndarray]


def load(data_dir: str, split: str) -> dict[str, np.ndarray]:
  """Returns the lines of a split as `strokes.pack` packs them.

  10,741 lines are for training and 1,438 for validation; 10,244 and 1,382 of
  them have at least 300 moves and are returned.

  Raises:
    FileNotFoundError: files are missing.
    OSError: data_dir cannot be written.
    ValueError: no such split, or a file is damaged.
  """
  strokes.check_split(split, 'IAM-OnDB')
  return prepared.load(_SOURCE, data_dir, split)


def _read(data_dir: str) -> dict[str, dict[str, np.ndarray]]:
  folders = [os.path.join(data_dir, folder) for folder in FOLDERS]
  paths = _find_all(folders)
  forms = {name: _read_list(paths[name]) for name in LISTS}
  _check_once(forms, paths)
  wanted = {form for listed in forms.values() for form in listed}
  files = _read_lines(paths[STROKES], wanted)
  texts = _read_texts(paths[ASCII], wanted)
  lines: dict[str, list[strokes.Line]] = {split: [] for split in strokes.SPLITS}
  for name, (split, size) in LISTS.items():
    found = sum(len(files[form]) for form in forms[name])
    if found != size:
      raise ValueError(
        f'{paths[STROKES]} has {found:,} lines of the forms in {paths[name]}; '
        f'expected {size:,}.'
      )
    for form in forms[name]:
      lines[split] += _label(form, files[form], texts[form])
  return {
    split: _pack_long_lines(lines[split], split) for split in strokes.SPLITS
  }


def _find_all(folders: list[str]) -> dict[str, str]:
  """Returns the path of each list, and of each folder or its archive."""
  paths = {name: raw_files.find(folders, [name]) for name in LISTS}
  for name in (STROKES, ASCII):
    inside = (os.path.join(folder, name) for folder in folders)
    unpacked = next(filter(os.path.isdir, inside), None)
    archive = raw_files.find(folders, [f'{name}-all.tar.gz', f'{name}.tar.gz'])
    paths[name] = unpacked or archive
  absent = [
    name if name in LISTS else f'{name}/ or {name}-all.tar.gz'
    for name, path in paths.items()
    if path is None
  ]
  if absent:
    raise raw_files.missing(
      'IAM-OnDB',
      absent,
      folders,
      f'Register at {_SOURCE.homepage} , download\n'
      'lineStrokes-all.tar.gz, ascii-all.tar.gz and the four lists of the '
      f'task IAM-OnDB-t1, and put them into\n{folders[0]}. The licence is for '
      'non-commercial research and forbids passing them on.',
    )
  return {name: path for name, path in paths.items() if path}


def _raw(data_dir: str) -> list[str]:
  """Returns all raw files, or none if some are missing."""
  try:
    paths = _find_all([os.path.join(data_dir, folder) for folder in FOLDERS])
  except FileNotFoundError:
    return []
  inside = [
    os.path.join(folder, name)
    for path in paths.values()
    for folder, _, names in os.walk(path)
    for name in names
    if _is_member(name, '.xml', '.txt')
  ]
  return sorted([*inside, *filter(os.path.isfile, paths.values())])


def _read_list(path: str) -> list[str]:
  """Returns the forms that a list names, one a line."""
  with open(path, encoding='ascii', errors='replace') as file:
    forms = [line.strip() for line in file]
  forms = [form for form in forms if form]
  for form in forms:
    if not form.replace('-', '').isalnum() or '-' not in form:
      raise ValueError(
        f'{path} is no list of forms: expected names such as a01-000u, one a '
        f'line, found {form[:40]!r}.'
      )
  return forms


def _check_once(forms: dict[str, list[str]], paths: dict[str, str]) -> None:
  listed: dict[str, str] = {}
  for name, names in forms.items():
    for form in names:
      if form in listed:
        raise ValueError(
          f'the form {form} is listed in {paths[listed[form]]} and again in '
          f'{paths[name]}; each belongs to one part.'
        )
      listed[form] = name


def _is_member(name: str, *suffixes: str) -> bool:
  """Returns whether a file is data, not hidden or of something else."""
  return name.endswith(suffixes) and not name.startswith('.')


def _members(path: str, suffix: str) -> Iterator[tuple[str, str, bytes]]:
  """Yields (form or line, path, content) of files in a folder or archive."""
  if os.path.isdir(path):
    for folder, folders, names in os.walk(path):
      folders.sort()
      for name in sorted(names):
        if _is_member(name, suffix):
          place = os.path.join(folder, name)
          with open(place, 'rb') as found:
            content = raw_files.read(found, LARGEST_FILE, place)
          yield name[: -len(suffix)], place, content
    return
  with raw_files.unpacking(path, LARGEST_ARCHIVE) as files:
    for place, file in files:
      name = os.path.basename(place)
      if _is_member(name, suffix):
        place = f'{path} ({place})'
        content = raw_files.read(file, LARGEST_FILE, place)
        yield name[: -len(suffix)], place, content


def _read_lines(path: str, wanted: set[str]) -> dict[str, list[Named]]:
  """Returns name and offsets of each line of each wanted form, in order."""
  found: dict[str, dict[int, Named]] = {form: {} for form in wanted}
  members = track(_members(path, '.xml'), 'Reading lines of handwriting')
  for name, place, content in members:
    form, _, number = name.rpartition('-')
    if not number.isdecimal():
      raise ValueError(
        f'{place}: expected a name such as a01-000u-01.xml, the form and the '
        'number of the line.'
      )
    if form in wanted:
      found[form][int(number)] = name, _prepare(iam_xml.parse(content, place))
  for form, lines in found.items():
    if not lines:
      raise ValueError(f'{path} has no file {form}-01.xml, nor any of its form')
  return {
    form: [line for _, line in sorted(lines.items())]
    for form, lines in found.items()
  }


def _prepare(line: list[np.ndarray]) -> np.ndarray:
  """Returns the offsets of a line [t, 3], with recording errors repaired."""
  filled = [strokes.fill_gaps(s, INTERVAL, *GAP_SECONDS) for s in line]
  return strokes.remove_long_moves(strokes.to_offsets(filled), LONGEST_MOVE)


def _read_texts(path: str, wanted: set[str]) -> dict[str, list[str]]:
  """Returns the text of each wanted form by line: section CSR of its file."""
  texts = {}
  for form, place, content in _members(path, '.txt'):
    if form in wanted:
      before, mark, after = content.decode('latin-1').partition('CSR:')
      if not mark or 'OCR:' not in before:
        raise ValueError(
          f"{place}: expected a section 'OCR:' and after it one 'CSR:'."
        )
      texts[form] = [line.strip() for line in after.split('\n')]
      texts[form] = [line for line in texts[form] if line]
  absent = sorted(wanted - texts.keys())
  if absent:
    raise ValueError(
      f'{path} has no {absent[0]}.txt ({len(absent)} of {len(wanted)} forms '
      'are missing).'
    )
  return texts


def _label(
  form: str, lines: list[Named], texts: list[str]
) -> list[strokes.Line]:
  """Returns the lines of a form with their text.

  The text is '' if the form has another number of text lines than of strokes.
  """
  if len(texts) != len(lines):
    logging.warning(
      'IAM-OnDB: %s has %d lines of strokes and %d of text; its text is left '
      'out.',
      form,
      len(lines),
      len(texts),
    )
    texts = [''] * len(lines)
  return [
    strokes.Line(name, ' '.join(text.split()), offsets)
    for (name, offsets), text in zip(lines, texts, strict=True)
  ]


def _pack_long_lines(
  lines: list[strokes.Line], split: str
) -> dict[str, np.ndarray]:
  kept = [line for line in lines if len(line.offsets) >= SHORTEST_LINE]
  logging.info(
    'IAM-OnDB: %s has %s lines; %s remain, the others have fewer than %d moves',
    split,
    f'{len(lines):,}',
    f'{len(kept):,}',
    SHORTEST_LINE,
  )
  if not kept:
    raise ValueError(
      f'IAM-OnDB: no line of the {split} part has {SHORTEST_LINE} moves.'
    )
  return strokes.pack(kept)


_SOURCE = prepared.Source(
  name='hyper_iam',
  version='1.1.0',
  read=_read,
  raw=_raw,
  description='Handwritten lines as pen offsets, split as by Graves (2013).',
  homepage=(
    'https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database'
  ),
  citation=(
    'Liwicki & Bunke: IAM-OnDB, an on-line English sentence database acquired '
    'from handwritten text on a whiteboard. ICDAR, 2005.'
  ),
)
