"""Files that a run keeps of its data: whose they are, and what if not there."""

import json

import pytest

from hyper import configuration
from hyper.data import run_files


def test_a_run_has_begun_once_its_config_is_there(tmp_path):
  assert run_files.CONFIG == configuration.CONFIG_FILE
  workdir = str(tmp_path / 'run')
  assert run_files.read(workdir, 'a.json', json.loads) is None
  run_files.write(workdir, 'a.json', '[1, 2]')
  assert run_files.read(workdir, 'a.json', json.loads) is None
  (tmp_path / 'run' / run_files.CONFIG).touch()
  assert run_files.read(workdir, 'a.json', json.loads) == [1, 2]
  with pytest.raises(FileNotFoundError, match=r'holds a run, but no b\.json'):
    run_files.read(workdir, 'b.json', json.loads)


def test_a_damaged_file_is_named(tmp_path):
  (tmp_path / run_files.CONFIG).touch()
  (tmp_path / 'a.json').write_text('[1')
  with pytest.raises(ValueError, match=r'a\.json is damaged .*Put back'):
    run_files.read(str(tmp_path), 'a.json', json.loads)
