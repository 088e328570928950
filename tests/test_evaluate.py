"""Scores of a checkpoint as a line of JSON."""

import json
import logging
import math
import pathlib
import shutil
import types

import pytest
from absl import flags

import evaluate
from hyper.runs.record import Record, write_record

FORMAT_1 = pathlib.Path(__file__).parent / 'runs' / 'format_1'


@pytest.fixture
def place(tmp_path):
  """Folders of small runs, and their data."""
  shutil.copytree(FORMAT_1, tmp_path, dirs_exist_ok=True)
  return tmp_path


def test_numbers_that_are_not_finite_are_null():
  scores = {'a': math.nan, 'b': -math.inf, 'c': 1.5, 'd': 'x', 'e': 3}
  found = evaluate.finite(scores)
  assert found == {'a': None, 'b': None, 'c': 1.5, 'd': 'x', 'e': 3}


def test_other_data_than_in_training_are_named(place, caplog):
  place_of = str(place / 'char_lm'), 'best', str(place / 'data')
  before = evaluate.evaluate(*place_of, 'validation')
  record = Record({'validation': before['data']}, {}, 4)
  write_record(str(place / 'char_lm'), record)
  path = place / 'data' / 'enwik8.first4000'
  path.write_bytes(path.read_bytes()[::-1])
  shutil.rmtree(place / 'data' / 'prepared')
  with caplog.at_level(logging.WARNING, logger='absl'):
    after = evaluate.evaluate(*place_of, 'validation')
  assert 'begun with other validation data' in caplog.text
  assert 'other_data' not in before and after['other_data'] is True
  assert before['data'] != after['data']


def test_both_spellings_of_a_change_are_read(place, capsys, monkeypatch):
  given = {
    'workdir': str(place / 'char_lm'),
    'data_dir': str(place / 'data'),
    'split': 'validation',
    'checkpoint': '4',
    'override': ['data.eval_streams=2'],
    'set': ['data.batch_size=1'],
  }
  monkeypatch.setattr(flags, 'FLAGS', types.SimpleNamespace(**given))
  evaluate.main()
  (line,) = capsys.readouterr().out.splitlines()
  scores = json.loads(line)
  assert scores['checkpoint'] == 4
  assert scores['set'] == ['data.eval_streams=2', 'data.batch_size=1']
  given['checkpoint'] = 'first'
  monkeypatch.setattr(flags, 'FLAGS', types.SimpleNamespace(**given))
  with pytest.raises(ValueError, match="--checkpoint is 'first'"):
    evaluate.main()
