"""Your own pen: JSON and CSV give the same lines; errors name the place."""

import csv
import json
import os

import numpy as np
import pytest

from hyper.data import pen, strokes


def make_lines(count, seconds=False):
  rng = np.random.default_rng(0)
  lines = []
  for _ in range(count):
    time = iter(np.arange(1000) * 0.01)
    lines.append(
      [
        [
          [*rng.uniform(0, 50, 2).tolist(), *([next(time)] if seconds else [])]
          for _ in range(length)
        ]
        for length in (3, 1, 4)
      ]
    )
  return lines


def write_json(path, lines):
  path.parent.mkdir(exist_ok=True)
  path.write_text(json.dumps(lines))
  return path


def write_csv(path, lines, seconds):
  path.parent.mkdir(exist_ok=True)
  with open(path, 'w', newline='') as file:
    table = csv.writer(file)
    table.writerow(['line', 'stroke', 'x', 'y'] + ['seconds'] * seconds)
    for n, line in enumerate(lines):
      for k, stroke in enumerate(line):
        for reading in stroke:
          table.writerow([n, k, *reading])
  return path


@pytest.mark.parametrize('seconds', [False, True])
def test_json_and_csv_are_read_alike(tmp_path, seconds):
  lines = make_lines(3, seconds)
  one = pen.read(str(write_json(tmp_path / 'my.json', lines)))
  two = pen.read(str(write_csv(tmp_path / 'my.csv', lines, seconds)))
  assert [line.name for line in one] == ['my-01', 'my-02', 'my-03']
  for a, b, line in zip(one, two, lines, strict=True):
    places = np.concatenate(line)[:, :2]
    np.testing.assert_allclose(
      a.offsets[:, :2], np.diff(places, axis=0), rtol=1e-4, atol=1e-5
    )
    assert a.offsets[:, 2].tolist() == [0, 1, 1, 0, 0, 0, 1]
    np.testing.assert_array_equal(a.offsets, b.offsets)


def test_missing_readings_are_interpolated(tmp_path):
  stroke = [[k, 0, k * 0.01] for k in (0, 1, 2, 3, 4, 5, 10, 11)]
  (line,) = pen.read(str(write_json(tmp_path / 'a.json', [[stroke]])))
  np.testing.assert_allclose(line.offsets[:, 0], np.ones(11), rtol=1e-5)


def test_every_tenth_line_is_for_validation(tmp_path):
  write_json(tmp_path / 'pen' / 'b.json', make_lines(15))
  write_csv(tmp_path / 'pen' / 'a.csv', make_lines(6), False)
  train, validation = (
    [x.name for x in strokes.unpack(pen.load(str(tmp_path), split))]
    for split in strokes.SPLITS
  )
  assert validation == ['b-04', 'b-14']
  assert len(train) == 19 and train[:7] == [
    *(f'a-{k:02d}' for k in range(1, 7)),
    'b-01',
  ]


def test_other_files_get_a_copy_of_their_own(tmp_path):
  path = write_json(tmp_path / 'pen' / 'a.json', make_lines(10))
  pen.load(str(tmp_path), 'train')
  write_json(path, make_lines(20))
  assert len(pen.load(str(tmp_path), 'train')['length']) == 18
  assert len(os.listdir(tmp_path / 'prepared')) == 2


def test_stray_files_are_ignored(tmp_path):
  write_json(tmp_path / 'pen' / 'A.JSON', make_lines(10))
  for name in ('._A.json', '.DS_Store', '.hidden.csv', 'notes.txt'):
    (tmp_path / 'pen' / name).write_bytes(b'\0\1')
  (tmp_path / 'pen' / 'folder.json').mkdir()
  assert len(pen.load(str(tmp_path), 'train')['length']) == 9
  write_csv(tmp_path / 'pen' / 'B.Csv', make_lines(10), False)
  assert len(pen.load(str(tmp_path), 'train')['length']) == 18


def test_files_whose_lines_would_have_the_same_names_are_named(tmp_path):
  write_json(tmp_path / 'pen' / 'a.json', make_lines(10))
  write_csv(tmp_path / 'pen' / 'a.csv', make_lines(10), False)
  write_csv(tmp_path / 'pen' / 'a.d.csv', make_lines(10), False)  # between them
  with pytest.raises(ValueError, match=r'pen has a\.csv and another file'):
    pen.load(str(tmp_path), 'train')


@pytest.mark.parametrize('name', ['a\tb.json', 'a\nb.csv', 'a\udcff.json'])
def test_a_name_that_no_line_can_have_is_named(tmp_path, name):
  write_json(tmp_path / 'pen' / 'good.json', make_lines(10))
  write_json(tmp_path / 'pen' / name, make_lines(10))
  with pytest.raises(ValueError, match='rename it') as error:
    pen.load(str(tmp_path), 'train')
  assert repr(name) in str(error.value)
  assert not (tmp_path / 'prepared').exists()


def test_a_folder_without_enough_lines_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'pen has no .json or .csv'):
    pen.load(str(tmp_path), 'train')
  with pytest.raises(ValueError, match='no test part'):
    pen.load(str(tmp_path), 'test')
  write_json(tmp_path / 'pen' / 'a.json', make_lines(9))
  with pytest.raises(ValueError, match='9 lines; at least 10'):
    pen.load(str(tmp_path), 'train')
  assert not (tmp_path / 'prepared').exists()


POINT = [1, 2]


@pytest.mark.parametrize(
  'text, message',
  [
    ('[', 'a.json: .*line 1'),
    ('{}', 'found a dict'),
    pytest.param('[' * 10**5, 'a.json: maximum recursion depth', id='deep'),
    ('[]', 'has no lines'),
    (json.dumps([[]]), 'line 1 must be a list of strokes'),
    (json.dumps([[[POINT] * 3], [[]]]), 'stroke 1 of line 2'),
    (json.dumps([[[POINT, [1]]]]), 'reading 2 of stroke 1 of line 1'),
    (json.dumps([[[POINT, [1, 2, 3, 4]]]]), 'reading 2'),
    (json.dumps([[[POINT, [1, 'x']]]]), 'reading 2'),
    (json.dumps([[[POINT, [1, float('nan')]]]]), 'reading 2.*all numbers'),
    (json.dumps([[[POINT, [1, 1e300]]]]), 'reading 2.*within 1,000,000,000'),
    (json.dumps([[[POINT, [1, 10**400]]]]), 'reading 2'),
    (json.dumps([[[POINT, 7]]]), 'reading 2'),
    (json.dumps([[[POINT] * 2]]), 'fewer than three readings'),
    (json.dumps([[[POINT], [POINT], [POINT]]]), 'fewer than three readings'),
  ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, text, message):
  path = tmp_path / 'a.json'
  path.write_text(text)
  with pytest.raises(ValueError, match=message) as error:
    pen.read(str(path))
  assert str(path) in str(error.value)


@pytest.mark.parametrize(
  'rows, column', [('1,1 2,1 1,2', 'line'), ('1,1 1,2 1,1', 'stroke')]
)
def test_rows_that_are_not_consecutive_are_named(tmp_path, rows, column):
  path = tmp_path / 'a.csv'
  rows = '\n'.join(f'{row},0,0' for row in rows.split())
  path.write_text(f'line,stroke,x,y\n{rows}\n')
  with pytest.raises(ValueError, match=f"a.csv: the rows of {column} '1'"):
    pen.read(str(path))


def test_numbers_with_a_comma_are_named(tmp_path):
  path = tmp_path / 'a.csv'
  path.write_text('line,stroke,x,y\n1,1,10,52\n1,1,12,1,50,2\n')
  with pytest.raises(ValueError, match=r'a\.csv: row 3 has more cells'):
    pen.read(str(path))


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
  path = tmp_path / 'a.csv'
  text = 'line,stroke,x,y\n' + '1,1,0,0\n' * 3
  path.write_bytes(b'\xef\xbb\xbf' + text.encode())
  assert len(pen.read(str(path))) == 1


def test_a_tiny_interval_does_not_fill_the_memory(tmp_path):
  stroke = [[k, 0, t] for k, t in enumerate((0, 1e-7, 2e-7, 3e-7, 0.5))]
  (line,) = pen.read(str(write_json(tmp_path / 'a.json', [[stroke]])))
  assert len(line.offsets) < 1000


def test_a_table_without_its_columns_is_named(tmp_path):
  path = tmp_path / 'a.csv'
  path.write_text('stroke,x\n0,1\n')
  with pytest.raises(ValueError, match='a.csv: .*line, y are not there'):
    pen.read(str(path))
