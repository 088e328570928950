"""Files that are written whole or not at all."""

import os

import pytest

from hyper import files


def test_writers_of_one_path_and_process_number_do_not_meet(
  tmp_path, monkeypatch
):
  path, flush = tmp_path / 'file', os.fsync

  def other_host(number):  # writes between the bytes of the first and its name
    monkeypatch.setattr(os, 'fsync', flush)
    files.write(path, 'second')
    assert path.read_text() == 'second'
    flush(number)

  monkeypatch.setattr(os, 'fsync', other_host)
  files.write(path, 'first')
  assert path.read_text() == 'first'
  assert os.listdir(tmp_path) == ['file']


@pytest.mark.parametrize('exists', [True, False])
def test_a_link_is_followed(exists, tmp_path):
  link, target = tmp_path / 'link', tmp_path / 'elsewhere' / 'target'
  if exists:
    files.write(target, 'old')
  link.symlink_to(target)
  files.write(link, 'new')
  assert link.is_symlink() and target.read_text() == 'new'
  assert os.listdir(target.parent) == ['target']


def test_a_file_keeps_its_permissions(tmp_path):
  path = tmp_path / 'file'
  files.write(path, 'old')
  path.chmod(0o640)
  files.write(path, 'new')
  assert path.stat().st_mode & 0o777 == 0o640


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
  def interrupted(number):
    raise KeyboardInterrupt

  monkeypatch.setattr(os, 'fsync', interrupted)
  with pytest.raises(KeyboardInterrupt):
    files.write(tmp_path / 'file', 'text')
  assert os.listdir(tmp_path) == []


def test_a_name_that_is_not_utf_8_is_escaped(tmp_path):
  files.write(tmp_path / 'page', 'runs/' + os.fsdecode(b'\xff'))
  assert (tmp_path / 'page').read_text() == 'runs/\\udcff'


def test_a_folder_is_no_file(tmp_path):
  with pytest.raises(IsADirectoryError, match='new/'):
    files.write(f'{tmp_path}/new/', 'text')
  assert os.listdir(tmp_path) == []
