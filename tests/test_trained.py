"""A trained run is loaded from its folder."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import many_devices
import numpy as np
import pytest

from hyper import trained
from hyper.runs import folder

FORMAT_1 = pathlib.Path(__file__).parent / 'runs' / 'format_1'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """Returns a folder with small runs and their data."""
  place = tmp_path_factory.mktemp('place')
  shutil.copytree(FORMAT_1, place, dirs_exist_ok=True)
  return place


def load(place, *args, **fields):
  workdir, data_dir = str(place / 'char_lm'), str(place / 'data')
  return trained.load(workdir, 'latest', data_dir, *args, **fields)


def test_parameters_are_read_whatever_the_rest_was(place):
  run = load(place)
  assert run.step == 4 and run.config.task == 'char_lm'
  with jax.default_prng_impl('rbg'):
    other = load(place, changes=['data.batch_size=1', 'optimizer.beta1=0.5'])
  assert other.config.data.batch_size == 1
  jax.tree.map(np.testing.assert_array_equal, run.params, other.params)


def test_carries_of_training_are_not_read(place):
  assert load(place).model_state == {}


def test_a_run_of_another_task_is_refused(place):
  with pytest.raises(ValueError, match="'char_lm'; a run of 'classify' is"):
    load(place, 'classify')


def test_the_score_is_that_of_training(place):
  scores = json.loads((FORMAT_1 / 'char_lm' / 'scores.json').read_text())
  found = trained.score(load(place), 'validation')
  assert found == pytest.approx(scores['validation'], rel=1e-5)


ON_DEVICES = """
import json, sys
from hyper import trained
from hyper.runs import parallel
place, names = sys.argv[1], sys.argv[2:]
for name in names:
  run = trained.load(f'{place}/{name}', 'latest', f'{place}/data')
  devices = parallel.local_layout(run.task).sizes['data']
  print(json.dumps([devices, trained.score(run, 'validation')]))
"""


@pytest.mark.slow
def test_several_devices_share_the_scoring(place):
  names = ('char_lm', 'handwriting')
  done = subprocess.run(
    [sys.executable, '-c', ON_DEVICES, str(place), *names],
    cwd=many_devices.ROOT,
    env=os.environ | {'XLA_FLAGS': f'{many_devices.FLAGS}4'},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  for name, line in zip(names, done.stdout.splitlines(), strict=True):
    devices, found = json.loads(line)
    scores = json.loads((FORMAT_1 / name / 'scores.json').read_text())
    assert devices == 4
    assert found == pytest.approx(scores['validation'], rel=1e-5)


def test_parameters_of_another_model_are_named(place):
  with pytest.raises(ValueError, match='params/.* is needed here'):
    load(place, changes=['model.cell.units=7'])


def test_a_config_that_lacks_a_section_is_named(place, tmp_path):
  for path in (place / 'char_lm').glob('*.json'):
    shutil.copy(path, tmp_path / path.name)
  path = tmp_path / folder.CONFIG
  fields = json.loads(path.read_text())
  del fields['model']['cell']
  path.write_text(json.dumps(fields))
  with pytest.raises(ValueError, match=f'task of {path} .*config.model'):
    trained.load(str(tmp_path), 'best', str(place / 'data'))


def test_a_folder_without_checkpoints_is_named(place, tmp_path):
  for name in (folder.CONFIG, folder.VOCABULARY):
    shutil.copy(place / 'char_lm' / name, tmp_path / name)
  with pytest.raises(FileNotFoundError, match=f'no checkpoint .*{tmp_path}'):
    trained.load(str(tmp_path), 'best', str(place / 'data'))
