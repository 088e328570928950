"""Run folders of format 1, and a file of weights, are read as they were.

They were made by the last version without a format number, which also computed
the scores and the lines of metrics given here. Never regenerate them: the runs
of users cannot be regenerated either.
"""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

import evaluate
import train
from hyper import trained, weights
from hyper.runs import folder, metrics

FORMAT_1 = pathlib.Path(__file__).parent / 'format_1'
RUNS = ('char_lm', 'handwriting', 'translate')
RESUMED = [  # what the old version wrote on resuming the character model
  ('train', {'bpc': 6.2806884294112795, 'loss': 4.366982460021973}),
  ('validation', {'bpc': 6.2978616400649825}),
]


@pytest.fixture
def copied(tmp_path):
  """Returns a copy of the folders, since a run writes to its own."""
  shutil.copytree(FORMAT_1, tmp_path / 'runs')
  return tmp_path / 'runs'


@pytest.mark.parametrize('name', RUNS)
def test_a_run_is_loaded(name, copied):
  run = trained.load(str(copied / name), 'latest', str(copied / 'data'), name)
  assert run.step == 4
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(run.params))
  assert len(metrics.read(run.workdir)) == 3


@pytest.mark.parametrize(
  'name',
  [pytest.param(x, marks=pytest.mark.slow) for x in RUNS[1:]] + ['char_lm'],
)
def test_a_run_is_scored_as_it_was(name, copied):
  wanted = json.loads((FORMAT_1 / name / 'scores.json').read_text())
  for split, scores in wanted.items():
    found = evaluate.evaluate(
      str(copied / name), 'best', str(copied / 'data'), split
    )
    assert {k: found[k] for k in scores} == pytest.approx(scores, rel=1e-5)
    assert 'other_data' not in found


@pytest.mark.slow
def test_a_run_is_resumed_as_it_was(copied):
  workdir = str(copied / 'char_lm')
  config = folder.load_config(workdir).unlock()
  config.train_steps = 6
  assert train.train(config.lock(), workdir, str(copied / 'data')) == 0
  lines = [x for x in metrics.read(workdir) if x['step'] == 6]
  for line, (split, values) in zip(lines, RESUMED, strict=True):
    assert line['split'] == split
    assert {k: line[k] for k in values} == pytest.approx(values, rel=1e-5)
  saved = json.loads((copied / 'char_lm' / folder.CONFIG).read_text())
  assert saved['format'] == 2 and saved['data']['source'] == 'enwik8'
  record = json.loads((copied / 'char_lm' / folder.RECORD).read_text())
  assert set(record['data']) == {'train', 'validation', 'test'}
  assert set(record['files']) == {folder.VOCABULARY}


def test_other_data_than_at_the_start_are_refused(copied):
  path = copied / 'data' / 'enwik8.first4000'
  path.write_bytes(path.read_bytes()[::-1])
  workdir = str(copied / 'char_lm')
  config = folder.load_config(workdir).unlock()
  config.train_steps = 6
  with pytest.raises(ValueError, match='begun with other training data'):
    train.train(config.lock(), workdir, str(copied / 'data'))


def test_a_file_of_weights_is_loaded(copied):
  found = weights.load(str(copied / 'weights.safetensors'))
  run = trained.load(str(copied / 'char_lm'), 'latest', str(copied / 'data'))
  jax.tree.map(np.testing.assert_array_equal, found, {'params': run.params})
