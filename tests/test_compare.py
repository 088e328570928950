"""Runs beside the paper: reading folders, means, order, notes, formats."""

import base64
import csv
import io
import json
import math
import pathlib
import re
import shutil
import sys
import types

import pytest
from compared_runs import column, group, make_run

import evaluate
from hyper import paper
from hyper.compare import __main__ as command
from hyper.compare import (
  curves,
  finished,
  formats,
  measures,
  page,
  records,
  studies,
  tables,
)
from hyper.compare.tables import Grid
from hyper.paper import recipes
from hyper.sweeping import journal
from hyper.sweeping.search import Search
from hyper.sweeping.space import Point
from hyper.sweeping.table import DATA, configs, shrink
from hyper.tasks import TASKS

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope='module')
def results():
  """Returns the entries of the folder results/."""
  return group(str(ROOT / 'results'))


def test_a_run_of_the_papers_config_is_compared_with_its_figure(tmp_path):
  make_run(tmp_path, 'mnist_cnn', test=[5.0, 0.9], parameters=21_210)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert grid.title == 'MNIST (Table 7 of the paper)'
  assert dict(zip(grid.header, *grid.rows, strict=True)) == {
    'network': 'Convnet',
    'paper': '0.72',
    'here': '0.90 % error',
    'difference': '+0.18',
    "paper's parameters": '12,544',
    'our parameters': '12,544 of 21,210',
    'steps': '2,750',
    'time': '4 min',
    'speed': '25 images/s',
    'hardware': 'TPU v5e (tpu)',
    'runs': tmp_path.name,
  }
  assert not grid.notes


def test_runs_of_other_seeds_are_one_row(tmp_path):
  for seed, error in enumerate((0.67, 0.84, 0.85)):
    make_run(tmp_path / f's{seed}', 'mnist_cnn', {'seed': seed}, [error])
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'here') == ['0.79 ± 0.10 % error']
  assert column(grid, 'difference') == ['+0.07']
  assert column(grid, 'runs') == ['s0, s1, s2']


def test_a_changed_run_has_the_figure_in_parentheses(tmp_path):
  make_run(tmp_path, 'ptb_hyperlstm', {'model.cell.units': 256}, [1.6])
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'network') == ['ptb_hyperlstm [1]']
  assert column(grid, 'paper') == ['(LN HyperLSTM 1000: 1.250)']
  assert column(grid, 'difference') == ['']
  assert column(grid, "paper's parameters") == ['(4.92M)']
  assert grid.notes == (
    'differs from ptb_hyperlstm in model.cell.units 1000 -> 256',
  )


def test_trials_of_one_config_are_told_apart_by_what_varies(tmp_path):
  shared = {'train_steps': 20}
  start = 'python train.py --config=configs/mnist_mlp.py:embedded'
  for k, rate in enumerate((0.001, 0.0031622776, 0.01)):
    fields = shared | {'schedule.learning_rate': rate}
    make_run(tmp_path / f'{k:04}', 'mnist_mlp:embedded', fields, command=start)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert sorted(column(grid, 'network')) == [
    'mnist_mlp: schedule.learning_rate 0.001 [1]',
    'mnist_mlp: schedule.learning_rate 0.003162 [1]',
    'mnist_mlp: schedule.learning_rate 0.01 [1]',
  ]
  assert grid.notes == (
    'differs from mnist_mlp in data.batch_size 1000 -> 100, data.source mnist '
    '-> embedded, train_steps 2750 -> 20, schedule.learning_rate varies (0.001 '
    'in mnist_mlp)',
  )


def test_trials_that_differ_in_much_are_told_apart_by_their_folders(tmp_path):
  for k, units in enumerate((7, 8)):
    sizes = {'model.cell.units': units, 'model.cell.hyper_units': units}
    fields = sizes | {'model.cell.embedding_size': units}
    make_run(tmp_path / f'{k:04}', 'ptb_hyperlstm', fields)
    own = {'paper': '', 'model.cell.units': units}
    make_run(tmp_path / f'own{k}', 'ptb_lstm', own)
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'network') == [
    *('ptb_hyperlstm: 0000 [1] [2]', 'ptb_hyperlstm: 0001 [1] [3]'),
    *('char_lm: model.cell.units 7', 'char_lm: model.cell.units 8'),
  ]
  first, *others = grid.notes
  assert 'model.cell.units varies (1000 in ptb_hyperlstm)' in first
  assert others == [
    'model.cell.embedding_size 7, model.cell.hyper_units 7, model.cell.units 7',
    'model.cell.embedding_size 8, model.cell.hyper_units 8, model.cell.units 8',
  ]


@pytest.mark.parametrize('name', DATA)
def test_a_scaled_table_is_never_set_beside_the_papers_figures(tmp_path, name):
  for k, config in enumerate(configs(name)):
    shipped = config.removeprefix('configs/').replace('.py', '')
    small = shrink(recipes.load(shipped), 0.25)
    make_run(tmp_path / str(k), shipped, small, test=[1.0])
  grids = tables.compare(group(str(tmp_path)))
  assert sum(len(grid.rows) for grid in grids) == len(configs(name))
  for grid in grids:
    assert all(text[:1] in ('', '(') for text in column(grid, 'paper'))
    assert not any(column(grid, 'difference'))
    assert all('train_steps' in note for note in grid.notes)
    assert len(grid.notes) == len(grid.rows)


def test_a_run_on_other_data_has_no_figure(tmp_path):
  make_run(tmp_path, 'ptb_hyperlstm', {'data.source': 'embedded'}, [1.6])
  (grid,) = tables.compare(group(str(tmp_path)))
  assert grid.title == 'char_lm, embedded'
  assert not {'paper', 'difference', "paper's parameters"} & {*grid.header}


class Guessing:
  """What a comparison needs of a task that the paper does not have."""

  selection = ('hit_rate', 'max')
  reported_split = 'test'


def test_a_task_that_the_paper_lacks_is_compared_by_its_own_score(
  tmp_path, monkeypatch
):
  monkeypatch.setitem(TASKS, 'guessing', Guessing)
  make_run(tmp_path, 'mnist_cnn:embedded', {'task': 'guessing'})
  saved = tmp_path / 'config.json'
  config = json.loads(saved.read_text())
  del config['data']['source']
  saved.write_text(json.dumps(config))
  entries = group(str(tmp_path))
  (grid,) = tables.compare(entries)
  assert grid.title == 'guessing'
  assert column(grid, 'network') == ['guessing']
  assert column(grid, 'here') == ['3.000 hit rate (validation)']  # the highest
  assert curves.curve_of(entries[0].first).metric == 'hit rate'
  monkeypatch.delitem(TASKS, 'guessing')
  with pytest.raises(ValueError, match="'guessing'; allowed: char_lm, "):
    group(str(tmp_path))


def test_the_scores_in_tables_are_those_of_the_tasks():
  for name, selection in measures.SELECTIONS.items():
    assert TASKS[name].selection == selection
    assert TASKS[name].reported_split == measures.MEASURES[name].split


def test_without_a_test_score_it_is_validation_beside_validation(tmp_path):
  make_run(tmp_path, 'ptb_lstm')
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'here') == ['1.000 bpc (validation)']  # the best step's
  assert column(grid, 'paper') == ['1.347']
  assert column(grid, 'difference') == ['-0.347']


@pytest.mark.parametrize(
  'fields', [{'set': ['l2_rate=1']}, {'other_data': True}, {'checkpoint': 1}]
)
def test_evaluations_of_something_else_do_not_count(tmp_path, fields):
  make_run(tmp_path, 'mnist_cnn', test=[0.9])
  with (tmp_path / 'evaluations.jsonl').open('a') as file:
    line = {'split': 'test', 'checkpoint': 2750 * 3 // 4, 'error': 7.0}
    file.write(json.dumps(line | fields) + '\n')
  assert finished.read(str(tmp_path)).scores['test', 'error'] == 0.9


def test_a_damaged_file_of_results_is_named(tmp_path):
  make_run(tmp_path, 'mnist_cnn')
  (tmp_path / 'run.json').write_text('{"command": ')
  with pytest.raises(ValueError, match=r'run\.json is damaged'):
    finished.read(str(tmp_path))


def test_what_evaluate_prints_is_kept_in_the_run_folder(
  tmp_path, monkeypatch, capsys
):
  make_run(tmp_path, 'mnist_cnn')
  lines = finished.read_metrics(str(tmp_path))
  step = finished.best_of(('error', 'min'), lines)
  scores = {'checkpoint': step['step'], 'split': 'test', 'error': 0.5}
  monkeypatch.setattr(
    evaluate, 'evaluate', lambda *_: scores | {'nats': float('nan')}
  )
  given = {'workdir': str(tmp_path), 'checkpoint': 'best', 'data_dir': ''}
  rest = {'split': None, 'override': [], 'set': []}
  given = types.SimpleNamespace(FLAGS=types.SimpleNamespace(**given, **rest))
  monkeypatch.setattr(evaluate, 'flags', given)
  evaluate.main()
  assert json.loads(capsys.readouterr().out) == scores | {'nats': None}
  assert finished.read(str(tmp_path)).scores['test', 'error'] == 0.5


def test_baselines_stand_beside_hypernetworks_in_the_papers_order(tmp_path):
  names = ('ptb_hyperlstm', 'mnist_hyper', 'ptb_lstm:layer_norm', 'ptb_lstm')
  for name in names:
    make_run(tmp_path / name.replace(':', '_'), name)
  first, second = tables.compare(group(str(tmp_path)))
  assert column(first, 'network') == ['Hyper Convnet']
  assert column(second, 'network') == [
    *('LSTM 1000', 'LN LSTM 1000', 'LN HyperLSTM 1000')
  ]


PTB = 'Penn Treebank, characters (Table 3 of the paper)'


def test_runs_of_other_configs_stand_with_those_of_their_data(tmp_path):
  own = {'paper': '', 'model.cell.units': 7}
  command = 'python train.py --config=my.py --workdir=x'
  for name in ('ptb_lstm:text', 'ptb_lstm'):
    folder = tmp_path / name.replace(':', '_')
    path = name.replace('ptb_lstm', 'configs/ptb_lstm.py')
    start = f'python train.py --config={path} --workdir=x'
    make_run(folder / 'shipped', name, command=start)
    make_run(folder / 'own', name, own, command=command)
  make_run(tmp_path / 'pen', 'iam_lstm:embedded')  # in between, by its row
  entries = group(str(tmp_path))
  grids = {x.title: column(x, 'runs') for x in tables.compare(entries)}
  assert grids == {
    PTB: ['shipped', 'own'],
    'char_lm, text': ['shipped', 'own'],
    'handwriting, embedded': ['pen'],
  }
  panels = curves.collect(entries)
  drawn = {title: [x.name for x in found] for title, found in panels.items()}
  assert drawn.pop(PTB)[:2] == [*('shipped', 'own')]
  assert drawn == {k: grids[k] for k in drawn} and len(drawn) == 2


def test_a_run_in_training_has_no_difference(tmp_path):
  make_run(tmp_path / 'a', 'mnist_cnn', test=[0.9])
  make_run(tmp_path / 'b', 'mnist_cnn', {'seed': 1}, [0.8])
  path = tmp_path / 'b' / 'metrics.jsonl'
  path.write_text(''.join(path.read_text().splitlines(keepends=True)[:4]))
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'here') == [
    *('0.90 % error', '2.00 % error (validation)')
  ]
  assert column(grid, 'difference') == ['+0.18', '']
  assert grid.notes == ('differs from mnist_cnn in train_steps 2750 -> 1375',)


def test_one_score_on_test_is_enough_for_a_row(tmp_path):
  make_run(tmp_path / 'a', 'mnist_cnn')
  make_run(tmp_path / 'b', 'mnist_cnn', {'seed': 1}, [0.8])
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'here') == ['0.80 % error (1 of 2 runs)']


def test_an_earlier_run_is_known_by_its_command(tmp_path):
  config = 'configs/cifar10_wrn.py:40_1'
  make_run(
    tmp_path,
    'cifar10_wrn',
    {'paper': 'test error 6.73 % (Table 2, WRN 40-1)'},
    command=f'python train.py --config={config} --workdir=x',
  )
  assert finished.read(str(tmp_path)).row == 'cifar10_wrn'


@pytest.mark.parametrize('config', ['=configs', ' /home/me/hyper/configs'])
def test_a_run_resumed_by_its_folder_keeps_its_row(tmp_path, config):
  begin = f'python train.py --config{config}/ptb_hyperlstm.py:embedded'
  make_run(tmp_path, 'ptb_hyperlstm:embedded', command=begin)
  before = finished.read(str(tmp_path))
  assert before.row == 'ptb_hyperlstm' and before.changes
  with (tmp_path / 'starts.jsonl').open('a') as file:
    for more in ('', ' --set=train_steps=9'):
      line = {'command': f'python train.py --workdir={tmp_path}{more}'}
      file.write(json.dumps(line) + '\n')
  after = finished.read(str(tmp_path))
  assert (after.row, after.changes) == (before.row, before.changes)


def test_a_run_that_has_not_begun_is_shown(tmp_path):
  make_run(tmp_path, 'mnist_cnn')
  (tmp_path / 'metrics.jsonl').unlink()
  (grid,) = tables.compare(group(str(tmp_path)))
  assert column(grid, 'here') == ['not evaluated yet']
  assert column(grid, 'steps') == ['0']
  with pytest.raises(ValueError, match='there are no curves'):
    curves.draw(group(str(tmp_path)), str(tmp_path / 'x.png'))


def test_a_folder_without_a_run_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='is no run folder'):
    finished.find([str(tmp_path)])


def test_without_the_configs_nothing_is_compared_with_the_paper(
  tmp_path, monkeypatch
):
  make_run(tmp_path, 'mnist_cnn')
  monkeypatch.setattr(recipes, 'load', lambda name: None)
  with pytest.raises(ValueError, match='root of the repository'):
    finished.read(str(tmp_path))


def test_every_row_of_the_paper_is_listed_with_what_is_missing(results):
  grids = tables.rows_of_the_paper(results)
  assert sum(len(grid.rows) for grid in grids) == 66
  for table, grid in zip(paper.TABLES, grids, strict=True):
    for k, (row, cells) in enumerate(zip(table.rows, grid.rows, strict=True)):
      assert (k in grid.quoted) == row.is_cited
      assert bool(cells[-1]) == bool(row.config)  # the command
  mnist, *_ = grids
  assert column(mnist, 'measured') == [
    *('0.64 ± 0.05 % error', '0.81 ± 0.09 % error')
  ]
  assert column(mnist, 'missing') == ['', '']
  ptb = dict(zip(column(grids[3], 'network'), grids[3].rows, strict=True))
  measured, missing = ptb['LN HyperLSTM 1000'][3:5]
  assert measured == '1.287 bpc [6], 1.681 ± 0.001 bpc [7]'
  assert missing == 'a run of this config'


def test_the_run_that_lacks_least_decides_what_is_missing(tmp_path):
  make_run(tmp_path / 'a', 'mnist_cnn')
  make_run(tmp_path / 'b', 'mnist_hyper', test=[1.0])
  mnist, *_ = tables.rows_of_the_paper(group(str(tmp_path)))
  assert column(mnist, 'missing') == [
    *('its test score (evaluate.py)', '2 more seeds')
  ]
  make_run(tmp_path / 'c', 'mnist_hyper', {'seed': 1}, test=[1.1])
  mnist, *_ = tables.rows_of_the_paper(group(str(tmp_path)))
  assert column(mnist, 'missing')[1] == '1 more seed'


def test_the_table_of_the_readme_is_that_of_the_results(results):
  text = (ROOT / 'README.md').read_text(encoding='utf-8')
  (shown,) = re.findall('<!-- results -->\n(.*)<!-- /results -->', text, re.S)
  assert shown == formats.markdown(tables.readme(results)), (
    'run python -m hyper.compare results --readme=README.md'
  )


def test_the_table_is_written_between_the_marks_alone(tmp_path, results):
  path = tmp_path / 'x.md'
  path.write_text('a\n<!-- results -->\nold\n<!-- /results -->\nb\n')
  command.update(str(path), results)
  assert re.fullmatch(
    r'a\n<!-- results -->\n\|[^<]*<!-- /results -->\nb\n', path.read_text()
  )
  path.write_text('no marks')
  with pytest.raises(ValueError, match='has no place for the table'):
    command.update(str(path), results)
  assert path.read_text() == 'no marks'


GRID = Grid(
  'A & B',
  ('network', 'here'),
  (('x_1 [1]', '0.5 ± 0.1 %'), ('y|z', '')),
  frozenset({1}),
  ('differs from <x>',),
)


def test_a_grid_is_written_as_markdown():
  assert formats.markdown(GRID) == (
    '## A & B\n\n| network | here |\n| --- | --- |\n'
    '| x_1 [1] | 0.5 ± 0.1 % |\n| *y\\|z* |  |\n\n- [1] differs from <x>\n'
  )


def test_csv_reads_back():
  head, *rows = csv.reader(io.StringIO(formats.comma_separated(GRID)))
  assert head == ['data', 'network', 'here', 'notes']
  assert rows == [
    ['A & B', 'x_1 [1]', '0.5 ± 0.1 %', 'differs from <x>'],
    ['A & B', 'y|z', '', ''],
  ]


def test_csv_of_runs_has_numbers_without_units(tmp_path):
  for seed, error in enumerate((0.67, 0.84)):
    fields = {'seed': seed}
    name = tmp_path / f's{seed}'
    make_run(name, 'mnist_cnn', fields, [error], parameters=21_210)
  make_run(tmp_path / 'small', 'mnist_cnn', {'train_steps': 9}, paces=(2, 2))
  shutil.copytree(tmp_path / 'small', tmp_path / 'again')
  text = records.comma_separated(group(str(tmp_path)))
  whole, small = csv.DictReader(io.StringIO(text))
  assert whole == {
    'data': 'MNIST (Table 7 of the paper)',
    'network': 'Convnet',
    **{'score': '0.755', 'deviation': '0.120208', 'scored_runs': '2'},
    **{'unit': '% error', 'split': 'test'},
    **{'paper_row': 'Convnet', 'paper_score': '0.72', 'changes': '0'},
    **{'paper_parameters': '12544', 'difference': '0.035'},
    **{'parameters': '21210', 'steps': '2750', 'seconds': '239.826'},
    **{'units_per_second': '25', 'speed_unit': 'images'},
    **{'hardware': 'TPU v5e (tpu)', 'runs': 's0, s1', 'notes': ''},
  }
  assert (small['paper_score'], small['difference']) == ('', '')
  assert small['network'] == 'mnist_cnn' and small['changes'] == '1'
  assert (small['score'], small['split']) == ('2', 'validation')
  assert small['notes'] == (
    'differs from mnist_cnn in train_steps 2750 -> 9; again, small: the same '
    'run, counted once'
  )


def test_a_title_is_as_wide_as_the_terminal(monkeypatch):
  monkeypatch.setenv('COLUMNS', '60')
  monkeypatch.setattr(sys.stdout, 'isatty', lambda: True, raising=False)
  title = 'studies/units: the best of 2 trials (2 done)'
  text = formats.terminal(Grid(title, ('trial',), (('0000',),)))
  assert title in text.splitlines()[0]
  assert formats.terminal(Grid('', ('trial',), ()))[0] != '\n'


def test_latex_is_escaped():
  text = formats.latex(GRID)
  assert '\\caption{A \\& B}' in text
  assert 'x\\_1 {[}1{]} & 0.5 $\\pm$ 0.1 \\% \\\\' in text
  assert text.count('\\begin') == text.count('\\end') == 2


@pytest.mark.parametrize('width, shown', [(200, 6), (20, 4), (55, 5)])
def test_a_terminal_shows_the_columns_that_fit(width, shown, monkeypatch):
  monkeypatch.setenv('COLUMNS', str(width))
  monkeypatch.setattr(sys.stdout, 'isatty', lambda: True, raising=False)
  header = tuple(f'column{k}' for k in range(6))
  text = formats.terminal(Grid('', header, (('abc [1]',) * 6,)))
  left_out = f'column{shown}' if shown < 6 else ''
  assert ('wider terminals' in text) == bool(left_out)
  folded = ''.join(text.partition('wider terminals')[0].split())
  assert left_out == '' or left_out not in folded


def test_the_page_needs_nothing_else(tmp_path):
  make_run(tmp_path / 'runs', 'mnist_cnn')
  (tmp_path / 'runs' / 'kernels.png').write_bytes(b'picture')
  (tmp_path / 'runs' / 'text.txt').write_text('<sample>')
  (tmp_path / 'runs' / 'weight_change.html').write_text('<p title="x">')
  (tmp_path / 'runs' / 'log.txt').write_text('of a trial')
  (tmp_path / 'runs' / 'wandb' / 'files').mkdir(parents=True)
  (tmp_path / 'runs' / 'wandb' / 'files' / 'x.png').write_bytes(b'a copy')
  (tmp_path / 'runs' / 'checkpoints' / '40').mkdir(parents=True)
  success = tmp_path / 'runs' / 'checkpoints' / '40' / 'commit_success.txt'
  success.write_text('of a checkpoint')
  path = tmp_path / 'runs' / 'page.html'
  for _ in range(2):  # the page is no picture of its own
    folders = [str(tmp_path / 'runs')]
    page.write(group(*folders), folders, str(path))
  text = path.read_text(encoding='utf-8')
  assert not re.findall(r'(?:src|href|url)\W{1,2}\s*(?!data:|doc)\S*//', text)
  assert base64.b64encode(b'picture').decode() in text
  assert '&lt;sample&gt;' in text and 'title=&quot;x&quot;' in text
  assert text.count('<figure>') == 3
  (data,) = re.findall('id="data">(.*)</script>', text)
  (panel,) = json.loads(data)
  assert panel['unit'] == 'minutes'
  assert [x[2] for x in panel['curves'][0]['points']] == [3, 2, 1, 2]


@pytest.fixture(scope='module')
def study(tmp_path_factory):
  """Returns a folder with a study of six trials; the last one has failed."""
  place = tmp_path_factory.mktemp('studies') / 'units'
  config = f'{ROOT}/configs/mnist_mlp.py:embedded'
  made = journal.Study(
    str(place), Search('grid', config, {}, 0), 'min', prune=False
  )
  made.add([Point(config, {'seed': seed}) for seed in range(6)])
  for k in range(6):
    with made.take() as trial:
      made.fail(trial, 'x') if k == 5 else made.complete(trial, 9.0 - k)
  return place


def test_the_best_trials_of_a_study_stand_first(study):
  ((place, read),) = studies.read([str(study.parent)]).items()
  assert place == str(study)
  best, importance = studies.tables(place, read)
  assert 'the best of 6 trials (5 done, 1 failed)' in best.title
  assert column(best, 'trial') == ['0004', '0003', '0002', '0001', '0000']
  assert column(best, 'score') == ['5', '6', '7', '8', '9']
  assert column(best, 'seed') == ['4', '3', '2', '1', '0']
  assert column(importance, 'parameter') == ['seed']
  make_run(study / 'trials' / '0004', 'mnist_mlp:embedded')
  best, _ = studies.tables(place, read)
  assert best.header == ('trial', '% error', 'seed')


@pytest.mark.slow
def test_plots_of_a_study_are_files_and_in_the_page(study, tmp_path):
  known = studies.read([str(study)])
  command.plot(known, str(tmp_path))
  found = [path.name for path in tmp_path.iterdir()]
  names = {name.removeprefix(f'{study.name}_') for name in found}
  assert names == {
    *('optimization_history.png', 'intermediate_values.png', 'timeline.png'),
    *('param_importances.png', 'slice.png', 'parallel_coordinate.png'),
  }
  page.write([], [str(tmp_path / 'none')], str(tmp_path / 'x.html'), known)
  text = (tmp_path / 'x.html').read_text(encoding='utf-8')
  assert text.count('data:image/png') == len(names)
  assert 'importance of each parameter' in text


def test_plots_need_a_study(tmp_path):
  with pytest.raises(ValueError, match='the folders given have none'):
    command.plot(studies.read([str(tmp_path)]), str(tmp_path))


def test_the_published_curve_is_drawn_beside_runs_of_its_row():
  run = group('results/ptb_hyperlstm')
  (drawn,) = curves.collect(run).values()
  own, author = drawn
  assert own.values[0] < author.values[0] == 1.81 and author.steps[0] == 500
  assert own.steps[0] == 500 and all(math.isnan(x) for x in author.hours)
  (others,) = curves.collect(group('results/ptb_lstm')).values()
  assert len(others) == 1


def test_the_published_curve_is_not_drawn_beside_other_data(tmp_path):
  make_run(tmp_path, 'ptb_hyperlstm', {'data.source': 'embedded'})
  (drawn,) = curves.collect(group(str(tmp_path))).values()
  assert [curve.name for curve in drawn] == [tmp_path.name]


def test_all_curves_are_one_picture(tmp_path, results):
  mnist = [x for x in results if x.first.config.data.source == 'mnist']
  curves.draw(mnist, str(tmp_path / 'x.svg'))
  text = (tmp_path / 'x.svg').read_text(encoding='utf-8')
  assert text.count('<!-- steps -->') == 2  # MNIST and its perceptrons


def test_a_run_begun_with_other_parameters_is_not_the_papers(tmp_path):
  start = {'init_from': {'path': 'runs/other', 'paths': []}}
  for name, more in {'drawn': {}, 'taken': start}.items():
    make_run(tmp_path / name, 'mnist_cnn', **more)
  drawn, taken = (finished.read(str(tmp_path / x)) for x in ('drawn', 'taken'))
  assert taken.row == drawn.row == 'mnist_cnn' and not drawn.changes
  assert taken.changes == {'parameters at the start': ('drawn', 'other')}
