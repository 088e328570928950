"""Which runs are one row, and what the row says of them."""

import json
import shutil

import pytest
from compared_runs import column, group, make_run, write_lines

from hyper.compare import formats, tables
from hyper.compare.tables import Grid
from hyper.figures import curves

OWN = {'paper': ''}  # a config without a row


def record(folder, fingerprint):
  content = {
    'data': {'train': fingerprint, 'validation': 'v'},
    **{'files': {}, 'first_checkpoint': 3},
  }
  (folder / 'record.json').write_text(json.dumps(content))


def counts(*folders):
  """Returns the number of runs in each row of a table, and of each curve."""
  found = group(*map(str, folders))
  configs = [run.config for entry in found for run in entry.runs]
  workdirs = [run.workdir for entry in found for run in entry.runs]
  lines = [run.lines for entry in found for run in entry.runs]
  drawn = sorted(map(len, curves.group(workdirs, configs, lines).values()))
  assert drawn == sorted(len(entry.runs) for entry in found)
  return drawn


@pytest.mark.parametrize('fields', [{}, OWN])
def test_runs_of_other_data_are_no_seeds_of_one_row(tmp_path, fields):
  for k, data in enumerate(('old', 'old', 'new')):
    make_run(tmp_path / f's{k}', 'mnist_cnn', fields | {'seed': k})
    record(tmp_path / f's{k}', data)
  assert counts(tmp_path) == [1, 2]
  (grid,) = tables.compare(group(str(tmp_path)))
  assert [name.split(': ')[1] for name in column(grid, 'network')] == [
    *('training data old', 'training data new')
  ]


def test_folders_without_a_record_are_seeds_of_one_row(tmp_path):
  for k in range(3):
    make_run(tmp_path / f's{k}', 'mnist_cnn', {'seed': k})
  assert counts(tmp_path) == [3]
  record(tmp_path / 's1', 'new')
  assert counts(tmp_path) == [3]
  record(tmp_path / 's2', 'old')
  assert counts(tmp_path) == [1, 1, 1]


@pytest.mark.parametrize('fields', [{}, OWN])
def test_a_fine_tuned_run_is_no_seed_of_one_from_scratch(tmp_path, fields):
  taken = {'path': '/runs/other', 'paths': [], 'sha256': 'a'}
  more = taken | {'path': '/copy/other'}, taken | {'sha256': 'b'}
  for k, origin in enumerate((None, taken, *more)):
    start = {'init_from': origin} if origin else {}
    make_run(tmp_path / f's{k}', 'mnist_cnn', fields | {'seed': k}, **start)
  assert counts(tmp_path) == [1, 1, 2]
  (grid,) = tables.compare(group(str(tmp_path / 's0'), str(tmp_path / 's1')))
  if fields:
    assert column(grid, 'network') == [
      'classify: parameters at the start drawn [1]',
      'classify: parameters at the start other [1]',
    ]
  (note,) = grid.notes
  assert note == (
    'parameters at the start varies (drawn in its config)'
    if fields
    else 'differs from mnist_cnn in parameters at the start drawn -> other'
  )


def test_fields_that_change_a_score_by_chance_make_no_row(tmp_path):
  for k in range(2):
    fields = {'seed': k, 'accumulate_steps': 1 + k, 'eval_every_steps': 5 + k}
    make_run(tmp_path / f's{k}', 'mnist_cnn', fields)
  assert counts(tmp_path) == [2]
  assert group(str(tmp_path))[0].is_the_papers


def test_a_copied_run_is_no_second_seed(tmp_path):
  make_run(tmp_path / 'x', 'mnist_cnn')
  make_run(tmp_path / 'y', 'mnist_cnn', {'seed': 1})
  shutil.copytree(tmp_path / 'x', tmp_path / 'x2')
  make_run(tmp_path / 'x3', 'mnist_cnn', test=[0.9], paces=(50,) * 4)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'runs') == ['x3, y [1]']
  assert column(grid, 'here') == ['0.90 % error (1 of 2 runs)']
  assert grid.notes == ('x, x2, x3: the same run, counted once',)
  assert counts(*(tmp_path / name for name in ('x', 'x2', 'y'))) == [2]


def test_runs_that_have_not_begun_are_no_copies(tmp_path):
  for name in 'ab':
    make_run(tmp_path / name, 'mnist_cnn')
    (tmp_path / name / 'metrics.jsonl').unlink()
  assert counts(tmp_path) == [2]


def test_a_row_says_of_how_many_runs_its_score_is(tmp_path):
  for k, scores in enumerate(([0.7], [0.9], [])):
    make_run(tmp_path / f's{k}', 'mnist_cnn', {'seed': k}, scores)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'here') == ['0.80 ± 0.14 % error (2 of 3 runs)']


def test_speeds_on_different_hardware_have_no_mean(tmp_path):
  kinds = 'TPU v5e (tpu)', 'TPU v5e (tpu)', 'cpu (cpu)'
  for k, devices in enumerate(kinds):
    fields = {'seed': k}
    make_run(tmp_path / f's{k}', 'mnist_cnn', fields, devices=devices)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'speed') == column(grid, 'time') == ['']
  assert column(grid, 'hardware') == ['; '.join(kinds[1:])]
  same = group(str(tmp_path / 's0'), str(tmp_path / 's1'))
  (grid,) = tables.compare(same)
  assert column(grid, 'speed') == ['25 images/s']
  assert column(grid, 'time') == ['4 min']


def test_a_run_on_two_kinds_of_hardware_has_no_speed(tmp_path):
  tpu, cpu = {'devices': 'TPU v4 (tpu)'}, {'devices': 'cpu (cpu)', 'cores': 1}
  for k in range(2):
    make_run(tmp_path / f's{k}', 'mnist_cnn', {'seed': k})
    starts = [tpu | {'step': 0}, tpu | {'step': 9}, cpu | {'step': 1000}]
    write_lines(tmp_path / f's{k}' / 'starts.jsonl', starts)
  (grid,) = tables.compare(group(str(tmp_path / 's0')))
  assert column(grid, 'hardware') == ['TPU v4 (tpu), then cpu (cpu), 1 core']
  assert column(grid, 'speed') == [''] and column(grid, 'time') == ['4 min']
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'speed') == column(grid, 'time') == ['']


def test_a_start_whose_steps_were_lost_is_not_named(tmp_path):
  make_run(tmp_path, 'mnist_cnn')
  names = {'a': 0, 'b': 2000, 'c': 1000, 'd': 3000}
  starts = [{'devices': name, 'step': k} for name, k in names.items()]
  write_lines(tmp_path / 'starts.jsonl', starts)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'hardware') == ['a, then c']
  assert column(grid, 'speed') == ['']


def test_other_translations_are_told_apart_by_their_checksums(tmp_path):
  for k in 'ab':
    make_run(tmp_path / k, 'nmt_lstm:embedded', OWN)
    record(tmp_path / k, f'hyper_parallel_text_{k * 12}/1.0.0')
  (grid,) = tables.compare(group(str(tmp_path)))
  assert [name.split(': ')[1] for name in column(grid, 'network')] == [
    *('training data aaaaaaaa', 'training data bbbbbbbb')
  ]


@pytest.mark.parametrize(
  'more, told', [({'sha256': 'f' * 64}, 'f' * 8), ({'paths': ['x_*']}, 'x_*')]
)
def test_equal_names_of_origins_are_told_apart(tmp_path, more, told):
  for k, own in enumerate(({'sha256': 'e' * 64}, more)):
    origin = {'path': 'a/best', 'paths': []} | own
    make_run(tmp_path / f's{k}', 'mnist_cnn', OWN, init_from=origin)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert [x.split('start ')[1] for x in column(grid, 'network')] == [
    *('a/best eeeeeeee [1]', f'a/best {told} [1]')
  ]


def test_what_one_run_does_not_know_another_tells(tmp_path):
  make_run(tmp_path / 's0', 'mnist_cnn')
  make_run(tmp_path / 's1', 'mnist_cnn', {'seed': 1}, parameters=21_210)
  path = tmp_path / 's0' / 'metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  write_lines(path, [line for line in lines if line['split'] != 'train'])
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'speed') == ['25 images/s']
  assert column(grid, 'our parameters') == ['12,544 of 21,210']


def test_a_file_gets_all_columns(monkeypatch):
  monkeypatch.setenv('COLUMNS', '40')
  header = tuple(f'the column {x} of them' for x in 'abcdefghijkl')
  grid = Grid('t' * 500, header, (header,), notes=('n' * 500,))
  text = formats.terminal(grid)
  assert all(text.count(name) == 2 for name in header)
  assert 'wider terminals' not in text and '  ' not in text.split('\n')[-2]
  assert text.splitlines()[-1] == '[1] ' + 'n' * 500


def test_short_times_are_in_seconds(tmp_path):
  make_run(tmp_path, 'mnist_cnn', paces=(11,) * 4)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'time') == ['44 s']
