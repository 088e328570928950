"""Where a run's figures come from."""

import json
import subprocess
import sys

import jax
import pytest

from hyper.runs import provenance


def git(folder, *arguments):
  identity = ('-c', 'user.name=a', '-c', 'user.email=a@b.c')
  done = subprocess.run(
    ['git', *identity, *arguments],
    cwd=folder,
    check=True,
    capture_output=True,
    text=True,
  )
  return done.stdout.strip()


def test_the_commit_and_whether_files_are_changed(tmp_path):
  assert provenance.commit(str(tmp_path)) == ''
  git(tmp_path, 'init')
  (tmp_path / 'file').write_text('a')
  git(tmp_path, 'add', '.')
  git(tmp_path, 'commit', '-m', 'a')
  git(tmp_path, 'tag', 'v1')
  head = git(tmp_path, 'rev-parse', 'HEAD')
  assert provenance.commit(str(tmp_path)) == head
  (tmp_path / 'file').write_text('b')
  assert provenance.commit(str(tmp_path)) == f'{head}-dirty'


def test_no_git_is_no_error(tmp_path, monkeypatch):
  git(tmp_path, 'init')
  monkeypatch.setenv('PATH', '')
  assert provenance.commit(str(tmp_path)) == ''


def test_each_start_is_a_line(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['train.py', '--config=a b', '--count=1'])
  for step in (0, 20):
    provenance.note_start(str(tmp_path), step, str(tmp_path), 'x')
  text = (tmp_path / 'starts.jsonl').read_text(encoding='utf-8')
  first, second = map(json.loads, text.splitlines())
  assert (first['step'], second['step']) == (0, 20)
  assert first['command'] == "python train.py '--config=a b' --count=1"
  assert first['versions']['jax'] == jax.__version__
  assert jax.devices()[0].platform in first['devices']


def test_a_run_goes_on_with_the_data_it_was_begun_with(tmp_path):
  workdir = str(tmp_path)
  provenance.check_data(workdir, 'x')  # nothing has begun
  starts = tmp_path / provenance.STARTS
  starts.write_text('{"step": 0}\n{"step": 1, "da')  # an old line, a torn one
  provenance.check_data(workdir, 'x')
  starts.unlink()
  provenance.note_start(workdir, 0, workdir, 'x')
  provenance.check_data(workdir, 'x')
  with pytest.raises(ValueError, match=r'other training data \(x\).*now \(y\)'):
    provenance.check_data(workdir, 'y')
