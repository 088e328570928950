"""Reading run folders: which there are, and the row of each."""

import importlib
import json
import os

import pytest
from compared_runs import group, make_run

from hyper.compare import finished, page, studies
from hyper.paper import recipes
from hyper.sweeping import analysis

SHIPPED = 'configs/mnist_mlp.py'


@pytest.mark.parametrize(
  'config',
  [
    *('mine/mnist_mlp.py:tiny', 'mine/mnist_mlp.py', f'{SHIPPED}:tiny'),
    *('configs/shared.py', 'configs/mine.py', 'mnist_mlp.py'),
  ],
)
def test_a_config_that_is_not_shipped_has_no_row(tmp_path, config):
  command = f'python train.py --config={config} --workdir=x'
  make_run(tmp_path, 'mnist_mlp', {'paper': ''}, command=command)
  run = finished.read(str(tmp_path))
  assert run.row == '' and not run.changes


@pytest.mark.parametrize('config', ['mine/mnist_mlp.py:tiny', 'x.py', SHIPPED])
def test_the_field_paper_comes_before_the_command(tmp_path, config):
  command = f'python train.py --config={config} --workdir=x'
  make_run(tmp_path, 'mnist_cnn', command=command)
  assert finished.read(str(tmp_path)).row == 'mnist_cnn'


def test_a_module_that_is_no_config_is_named():
  importlib.import_module('configs.shared')
  with pytest.raises(ValueError, match=r'configs/shared\.py is no config'):
    recipes.load('shared')


def test_a_run_of_an_unknown_task_is_named(tmp_path):
  make_run(tmp_path / 'a', 'mnist_cnn')
  path = tmp_path / 'a' / 'config.json'
  path.write_text(path.read_text().replace('"classify"', '"guess"'))
  with pytest.raises(ValueError, match=r"a/config\.json: .*'guess'; allowed"):
    finished.read(str(tmp_path / 'a'))


def test_links_are_followed_and_a_run_is_found_once(tmp_path):
  make_run(tmp_path / 'scratch' / 'a', 'mnist_cnn')
  make_run(tmp_path / 'runs' / 'b', 'mnist_cnn')
  runs = tmp_path / 'runs'
  (runs / 'a').symlink_to(tmp_path / 'scratch' / 'a')
  (runs / 'again').symlink_to(runs / 'b')
  (runs / 'loop').symlink_to(runs)
  (runs / 'b' / 'loop').symlink_to(tmp_path)
  hidden = runs / 'b' / 'checkpoints' / '5'
  make_run(hidden, 'mnist_cnn')
  wanted = [str(runs / 'b'), str(tmp_path / 'scratch' / 'a')]
  found = finished.find([str(runs)])
  assert [*map(os.path.realpath, found)] == wanted and found[0] == wanted[0]
  others = [f'{runs}/../runs/b/', str(runs / 'again'), str(runs / 'a')]
  assert finished.find([str(runs), *others]) == found
  assert finished.find([str(hidden)]) == [str(hidden)]


def test_a_run_is_found_by_its_own_folder_before_any_link(tmp_path):
  make_run(tmp_path / 'b', 'mnist_cnn')
  make_run(tmp_path / 'a' / 'run', 'mnist_cnn')
  (tmp_path / 'a' / 'best').symlink_to(tmp_path / 'b')
  a, b = str(tmp_path / 'a'), str(tmp_path / 'b')
  assert finished.find([str(tmp_path)]) == [f'{a}/run', b]
  assert finished.find([a, b]) == [f'{a}/run', b]
  assert finished.find([a]) == [f'{a}/run', f'{a}/best']


def test_odd_lines_of_a_runs_history_are_skipped(tmp_path):
  make_run(tmp_path, 'mnist_cnn', test=[0.9])
  odd = {
    'evaluations.jsonl': [{'resumed_from': None}, {'split': None}],
    'starts.jsonl': [
      {'command': None, 'parameters': None, 'devices': None, 'cores': 2},
      {'init_from': {}, 'step': None, 'data': 3},
    ],
  }
  for name, lines in odd.items():
    with (tmp_path / name).open('a') as file:
      file.write(''.join(json.dumps(line) + '\n' for line in lines))
  run = finished.read(str(tmp_path))
  assert run.scores['test', 'error'] == 0.9 and not run.origin
  assert run.parameters == 0 and run.hardware == ('TPU v5e (tpu)',)


def test_a_run_given_twice_is_no_second_seed(tmp_path):
  make_run(tmp_path, 'mnist_cnn', test=[0.9])
  (entry,) = group(str(tmp_path), f'{tmp_path}/.', f'{tmp_path}/')
  assert len(entry.runs) == 1


def test_studies_and_pictures_are_found_once(tmp_path, monkeypatch):
  monkeypatch.setattr(analysis, 'is_study', lambda x: x.endswith('units'))
  monkeypatch.setattr(analysis, 'read', lambda place: place)
  (tmp_path / 'real' / 'units').mkdir(parents=True)
  (tmp_path / 'real' / 'units' / 'x.png').write_bytes(b'')
  (tmp_path / 'link').symlink_to(tmp_path / 'real')
  folders = [str(tmp_path / 'real'), str(tmp_path / 'link'), str(tmp_path)]
  assert [*studies.read(folders)] == [str(tmp_path / 'real' / 'units')]
  assert page.pictures(folders, 'x.html') == [
    str(tmp_path / 'real' / 'units' / 'x.png')
  ]
  assert page.pictures(folders[1:2], 'x.html') == [
    str(tmp_path / 'link' / 'units' / 'x.png')
  ]


def test_plots_of_studies_of_one_name_are_different_files(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(analysis, 'plots', lambda study: [('slice', study)])
  known = {'studies/a/units': b'a', './studies/b/units/': b'b'}
  studies.draw(known, str(tmp_path))
  for name, content in (('a', b'a'), ('b', b'b')):
    path = tmp_path / name / 'units_slice.png'
    assert path.read_bytes() == content
  studies.draw({'studies/a/units': b'c'}, str(tmp_path))
  assert (tmp_path / 'units_slice.png').read_bytes() == b'c'
