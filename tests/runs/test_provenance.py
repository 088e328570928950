"""Where a run's figures come from."""

import subprocess

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


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
  git(tmp_path, 'init')
  monkeypatch.setenv('PATH', '')
  assert provenance.commit(str(tmp_path)) == ''
