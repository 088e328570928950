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
from hyper.runs.record import EVALUATIONS, Record, read_lines, write_record

FORMAT_1 = pathlib.Path(__file__).parent / 'runs' / 'format_1'


@pytest.fixture
def place(tmp_path):
  """Returns a folder with small runs and their data."""
  shutil.copytree(FORMAT_1, tmp_path, dirs_exist_ok=True)
  return tmp_path


def test_numbers_that_are_not_finite_are_null():
  scores = {'a': math.nan, 'b': -math.inf, 'c': 1.5, 'd': 'x', 'e': 3}
  found = evaluate.record.finite(scores)
  assert found == {'a': None, 'b': None, 'c': 1.5, 'd': 'x', 'e': 3}


def test_data_other_than_those_of_training_are_named(place, caplog):
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


@pytest.mark.parametrize('name', ['char_lm', 'handwriting'])
def test_the_training_split_is_read_once(name, place):
  found = evaluate.evaluate(
    str(place / name), 'best', str(place / 'data'), 'train'
  )
  assert found['split'] == 'train'
  assert math.isfinite(found['bpc' if name == 'char_lm' else 'nats'])


def test_significant_digits_are_printed_and_all_are_kept(
  place, capsys, monkeypatch
):
  workdir, score = str(place / 'char_lm'), 2 / 3 * 1e-3
  monkeypatch.setattr(evaluate, 'evaluate', lambda *args: {'bpc': score})
  given = {'workdir': workdir, 'data_dir': '', 'split': None, 'set': []}
  given |= {'checkpoint': 'best', 'override': []}
  monkeypatch.setattr(flags, 'FLAGS', types.SimpleNamespace(**given))
  evaluate.main()
  assert capsys.readouterr().out == '{"bpc": 0.000666667}\n'
  assert read_lines(workdir, EVALUATIONS)[-1] == {'bpc': score}


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
