"""Scores of a checkpoint as a line of JSON."""

import builtins
import json
import logging
import math
import pathlib
import shutil
import types

import pytest
from absl import flags

import evaluate
from hyper import export
from hyper.runs.record import EVALUATIONS, Record, read_lines, write_record

FORMAT_1 = pathlib.Path(__file__).parent / 'runs' / 'format_1'


@pytest.fixture
def place(tmp_path):
  """Returns a folder with small runs and their data."""
  shutil.copytree(FORMAT_1, tmp_path, dirs_exist_ok=True)
  return tmp_path


def run_command(monkeypatch, workdir, data_dir, **given):
  """Runs the command with these flags, and defaults of the others."""
  default = {'split': 'validation', 'checkpoint': 'best'}
  default |= {'override': [], 'set': []}
  read = {'workdir': workdir, 'data_dir': data_dir, **default, **given}
  monkeypatch.setattr(flags, 'FLAGS', types.SimpleNamespace(**read))
  evaluate.main()


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


def test_a_file_is_scored_without_its_run(place, capsys, monkeypatch):
  path, workdir = str(place / 'char.safetensors'), str(place / 'char_lm')
  export.export(workdir, path)
  shutil.rmtree(workdir)
  run_command(monkeypatch, path, str(place / 'data'))
  printed = json.loads(capsys.readouterr().out)
  scores = json.loads((FORMAT_1 / 'char_lm' / 'scores.json').read_text())
  assert printed['bpc'] == pytest.approx(scores['validation']['bpc'], rel=1e-5)
  assert not [*place.rglob(EVALUATIONS)]


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
  run_command(monkeypatch, workdir, data_dir='', split=None)
  assert capsys.readouterr().out == '{"bpc": 0.000666667}\n'
  assert read_lines(workdir, EVALUATIONS)[-1] == {'bpc': score}


def test_a_score_is_kept_though_nobody_reads_the_output(place, monkeypatch):
  def closed(*args, **given):
    raise BrokenPipeError

  workdir = str(place / 'char_lm')
  monkeypatch.setattr(evaluate, 'evaluate', lambda *args: {'bpc': 1.5})
  monkeypatch.setattr(builtins, 'print', closed)
  with pytest.raises(BrokenPipeError):
    run_command(monkeypatch, workdir, data_dir='', split=None)
  assert read_lines(workdir, EVALUATIONS)[-1] == {'bpc': 1.5}


def test_both_spellings_of_a_change_are_read(place, capsys, monkeypatch):
  given = monkeypatch, str(place / 'char_lm'), str(place / 'data')
  changes = {
    'override': ['data.eval_streams=2'],
    'set': ['data.batch_size=1'],
  }
  run_command(*given, checkpoint='4', **changes)
  (line,) = capsys.readouterr().out.splitlines()
  scores = json.loads(line)
  assert scores['checkpoint'] == 4
  assert scores['set'] == ['data.eval_streams=2', 'data.batch_size=1']
  with pytest.raises(ValueError, match="--checkpoint is 'first'"):
    run_command(*given, checkpoint='first')
