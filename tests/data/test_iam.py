"""IAM-OnDB: small files of the true format; the real ones where they are."""

import shutil
import tarfile

import numpy as np
import pytest

from hyper.data import iam, prepared, strokes

LISTS = {
  'trainset.txt': ('train', 3),
  'testset_v.txt': ('validation', 2),
  'testset_t.txt': ('train', 1),
  'testset_f.txt': ('train', 1),
}
# By list and form, the number of steps in each line.
FORMS = {
  'trainset.txt': {'a01-000u': (12, 9), 'b02-045': (10,)},
  'testset_v.txt': {'a02-050': (11, 14)},
  'testset_t.txt': {'c01-001': (13,)},
  'testset_f.txt': {'d01-001z': (10,)},
}


@pytest.fixture(autouse=True)
def tiny(request, monkeypatch):
  if 'real_data_dir' not in request.fixturenames:
    monkeypatch.setattr(iam, 'LISTS', LISTS)
    monkeypatch.setattr(iam, 'SHORTEST_LINE', 10)


def make_xml(readings):
  """Returns the XML of two strokes; the second has the last two readings."""
  points = [
    f'      <Point x="{x}" y="{y}" time="{time:.2f}"/>\r\n'
    for x, y, time in readings
  ]
  parts = [
    '    <Stroke colour="black" start_time="1.00" end_time="2.00">\n'
    + ''.join(part)
    + '    </Stroke>\n'
    for part in (points[:-2], points[-2:])
  ]
  return (
    '<?xml version="1.0" encoding="ISO-8859-1"?>\n<WhiteboardCaptureSession>\n'
    '  <WhiteboardDescription>\n    <SensorLocation corner="top_left"/>\n'
    '  </WhiteboardDescription>\n  <StrokeSet>\n'
    + ''.join(parts)
    + '  </StrokeSet>\n</WhiteboardCaptureSession>\n'
  )


def make_readings(steps):
  rng = np.random.default_rng(steps)
  places = rng.integers(0, 500, (steps + 1, 2))
  return [(x, y, 700 + 0.01 * k) for k, (x, y) in enumerate(places)]


def folder_of(form):
  return f'{form[:3]}/{form.rstrip("uz")}'


def write(root):
  """Writes the files of all forms, and of one that is in no list."""
  root.mkdir(parents=True, exist_ok=True)
  for name, forms in FORMS.items():
    listed = '\n'.join(f' {form} ' for form in forms)
    (root / name).write_text(listed)  # as published: blanks, no line end
  every = [*FORMS.values(), {'z01-000': (30,)}]
  for form, lines in [item for forms in every for item in forms.items()]:
    inside = root / 'lineStrokes' / folder_of(form)
    inside.mkdir(parents=True, exist_ok=True)
    for k, steps in enumerate(lines, 1):
      path = inside / f'{form}-{k:02d}.xml'
      path.write_text(make_xml(make_readings(steps)), newline='')
    text = root / 'ascii' / folder_of(form) / f'{form}.txt'
    text.parent.mkdir(parents=True, exist_ok=True)
    said = [f'line {k} of  {form}' for k in range(len(lines))]
    said = said[:1] if form == 'a02-050' else said  # one text for two lines
    text.write_text('OCR:\n\nother\n\nCSR:\n\n' + '\n\n'.join(said) + '\n\n')
  return root


def pack(root):
  """Packs the folders into archives, as they are published."""
  for name in ('lineStrokes', 'ascii'):
    with tarfile.open(root / f'{name}-all.tar.gz', 'w:gz') as archive:
      archive.add(root / name, name)
    shutil.rmtree(root / name)


def expected(steps):
  places = np.array(make_readings(steps))[:, :2]
  ends = np.arange(1, steps + 1) >= steps - 2
  ends[-2] = False
  return np.column_stack([np.diff(places, axis=0), ends])


@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('folder', ['iam_ondb', ''])
def test_each_split_has_its_lines(tmp_path, folder, packed):
  write(tmp_path / folder)
  if packed:
    pack(tmp_path / folder)
  train = strokes.unpack(iam.load(str(tmp_path), 'train'))
  # In the order of the lists; a01-000u-02 has fewer than 10 steps.
  assert [(line.name, line.text) for line in train] == [
    ('a01-000u-01', 'line 0 of a01-000u'),
    ('b02-045-01', 'line 0 of b02-045'),
    ('c01-001-01', 'line 0 of c01-001'),
    ('d01-001z-01', 'line 0 of d01-001z'),
  ]
  for line, steps in zip(train, (12, 10, 13, 10), strict=True):
    np.testing.assert_array_equal(line.offsets, expected(steps))
  validation = strokes.unpack(iam.load(str(tmp_path), 'validation'))
  assert [(line.name, line.text, len(line.offsets)) for line in validation] == [
    ('a02-050-01', '', 11),
    ('a02-050-02', '', 14),
  ]


def test_reading_says_how_far_it_is(tmp_path, monkeypatch, caplog):
  monkeypatch.setattr('hyper.terminal.LINE_SECONDS', 0.0)
  write(tmp_path)
  with caplog.at_level('INFO', logger='absl'):
    iam.load(str(tmp_path), 'train')
  assert 'Reading lines of handwriting: 2, ' in caplog.text


def test_recording_errors_are_repaired(tmp_path):
  root = write(tmp_path)
  readings = make_readings(12)
  # All that follows is 2000 units to the right.
  readings[3:] = [(x + 2000, y, time) for x, y, time in readings[3:]]
  gap = 3 / 72
  readings[6:] = [(x, y, time + gap) for x, y, time in readings[6:]]
  path = root / 'lineStrokes' / folder_of('a01-000u') / 'a01-000u-01.xml'
  path.write_text(make_xml(readings))
  line = strokes.unpack(iam.load(str(tmp_path), 'train'))[0].offsets
  moves = np.diff(np.array(readings)[:, :2], axis=0)
  long = np.hypot(*moves.T) > iam.LONGEST_MOVE
  assert long.tolist() == [False] * 2 + [True] + [False] * 9
  # One step is removed. The gap is 4 intervals long, so 3 readings are missing.
  assert len(line) == 12 - 1 + 3
  np.testing.assert_allclose(line[4:8, :2], [moves[5] / 4] * 4, rtol=1e-5)
  np.testing.assert_allclose(line[:, :2].sum(0), moves[~long].sum(0), rtol=1e-5)


@pytest.mark.parametrize('start', [0.0, 12345.67, 98765.43])
def test_a_gap_of_five_hundredths_is_filled_at_any_time(start, tmp_path):
  root = write(tmp_path)
  readings = [
    (2000 + 10 * k, 100 + k, round(start + 0.01 * k + 0.04 * (k > 5), 2))
    for k in range(13)
  ]
  path = root / 'lineStrokes' / folder_of('a01-000u') / 'a01-000u-01.xml'
  path.write_text(make_xml(readings))
  line = strokes.unpack(iam.load(str(tmp_path), 'train'))[0].offsets
  assert len(line) == 12 + 3


def test_files_that_are_no_data_do_not_matter(tmp_path):
  root = write(tmp_path / 'iam_ondb')
  iam.load(str(tmp_path), 'train')
  (root / 'lineStrokes/.DS_Store').write_bytes(b'of a desktop')
  (root / 'ascii/notes.md').write_bytes(b'of a reader')
  iam.load(str(tmp_path), 'train')


def test_there_is_no_test_part(tmp_path):
  with pytest.raises(ValueError, match='IAM-OnDB has no test part'):
    iam.load(str(tmp_path), 'test')


def test_missing_files_are_listed(tmp_path):
  root = write(tmp_path / 'iam_ondb')
  (root / 'testset_f.txt').unlink()
  (root / 'ascii').rename(tmp_path / 'aside')
  with pytest.raises(FileNotFoundError) as error:
    iam.load(str(tmp_path), 'train')
  for part in (
    *('testset_f.txt, ascii/ or ascii-all.tar.gz', 'Register', ':embedded'),
    *(str(tmp_path / folder) for folder in iam.FOLDERS),
  ):
    assert part in str(error.value)
  assert 'trainset.txt' not in str(error.value)
  assert not (tmp_path / 'prepared').exists()


LINE = 'lineStrokes/a02/a02-050/a02-050-02.xml'
TEXT = 'ascii/a02/a02-050/a02-050.txt'


def change(old, new):
  return lambda data: data.replace(old, new, 1)


@pytest.mark.parametrize(
  'name, damage, message',
  [
    (LINE, lambda data: data[:-30], 'not well-formed XML'),
    (LINE, lambda data: b'<a><StrokeSet/></a>', 'found a with 1'),
    (LINE, change(b'ISO-8859-1', b'foo'), 'not well-formed XML.*foo'),
    (LINE, change(b'ISO-8859-1', b'gb2312'), 'not well-formed XML'),
    (LINE, change(b'<Point x="', b'<Point z="'), "point 1 of stroke 1.*'x'"),
    (LINE, change(b'time="700', b'time="?700'), 'point 1 of stroke 1'),
    (LINE, change(b'time="700.00', b'time="nan'), 'stroke 1 .* not finite'),
    (LINE, change(b'<Point', b'<Dot'), 'it is a Dot'),
    (LINE, change(b'  </StrokeSet>', b'<Stroke/></StrokeSet>'), 'stroke 3'),
    (TEXT, change(b'CSR:', b'C:'), "'CSR:'"),
    ('trainset.txt', lambda data: b'a01-000u\n<html>', 'no list of forms'),
    ('testset_f.txt', lambda data: data + b'\na02-050', 'listed in .*again'),
    ('testset_f.txt', lambda data: data + b'\nx01-000', 'no file x01-000-01'),
    ('testset_f.txt', lambda data: b'z01-000\nd01-001z', 'has 2 lines'),
  ],
)
def test_damaged_files_are_named_and_kept(tmp_path, name, damage, message):
  path = write(tmp_path) / name
  damaged = damage(path.read_bytes())
  assert damaged != path.read_bytes()
  path.write_bytes(damaged)
  with pytest.raises(ValueError, match=message) as error:
    iam.load(str(tmp_path), 'train')
  if 'x01' not in message:
    assert str(path) in str(error.value)
  assert path.read_bytes() == damaged
  assert not (tmp_path / 'prepared').exists()


def test_a_form_without_text_is_named(tmp_path):
  (write(tmp_path) / TEXT).unlink()
  with pytest.raises(ValueError, match='a02-050.txt'):
    iam.load(str(tmp_path), 'train')


def test_a_damaged_archive_is_named(tmp_path):
  write(tmp_path)
  pack(tmp_path)
  path = tmp_path / 'lineStrokes-all.tar.gz'
  path.write_bytes(path.read_bytes()[:-200])
  with pytest.raises(ValueError, match='lineStrokes-all.tar.gz is a damaged'):
    iam.load(str(tmp_path), 'train')


def test_real_files(real_data_dir):
  splits = {
    split: strokes.unpack(iam.load(real_data_dir, split))
    for split in strokes.SPLITS
  }
  assert [len(lines) for lines in splits.values()] == [10_244, 1_382]
  assert set(strokes.SPLITS) < set(prepared.SPLITS)
  for lines in splits.values():
    assert min(len(line.offsets) for line in lines) >= 300
  names = [line.name for lines in splits.values() for line in lines]
  assert len(set(names)) == len(names)
  first = splits['validation'][0]
  assert first.name == 'a02-050-01'
  assert first.text == 'If the threatened "counter-revolution"'
