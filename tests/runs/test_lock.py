"""The lock of a run folder."""

import errno
import fcntl
import shutil
import subprocess
import sys

import pytest

from hyper.runs import folder, lock

HOLDER = """
import sys
from hyper.runs import lock
with lock.hold(sys.argv[1]):
  print('held', flush=True)
  sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_until_that_ends(tmp_path):
  workdir = str(tmp_path / 'run')
  with subprocess.Popen(
    [sys.executable, '-c', HOLDER, workdir],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    cwd=folder.ROOT,
  ) as other:
    assert other.stdout.readline() == b'held\n'
    with pytest.raises(ValueError, match=f'another train.py .* {workdir}'):
      lock.hold(workdir).__enter__()
    other.kill()
    other.wait()
  with lock.hold(workdir):
    pass


def test_only_what_was_made_for_the_lock_is_removed(tmp_path):
  with lock.hold(str(tmp_path / 'new')):
    pass
  assert not (tmp_path / 'new').exists()
  (tmp_path / 'old').mkdir()
  with lock.hold(str(tmp_path / 'old')):
    pass
  assert (tmp_path / 'old').is_dir()
  with lock.hold(str(tmp_path / 'run')):
    (tmp_path / 'run' / 'config.json').touch()
  assert (tmp_path / 'run' / 'config.json').exists()


def test_the_error_of_a_run_whose_folder_was_deleted_is_its_own(tmp_path):
  with pytest.raises(ZeroDivisionError), lock.hold(str(tmp_path / 'run')):
    shutil.rmtree(tmp_path / 'run')
    raise ZeroDivisionError


@pytest.mark.parametrize('also', ['nothing', 'folder'])
def test_a_lock_that_is_removed_before_it_is_held_is_made_again(
  also, tmp_path, monkeypatch
):
  workdir, flock = tmp_path / 'run', fcntl.flock

  def late(file, operation):
    monkeypatch.setattr(fcntl, 'flock', flock)
    (workdir / lock.LOCK).unlink()  # as another process that made the folder
    if also == 'folder':
      workdir.rmdir()
    flock(file, operation)

  monkeypatch.setattr(fcntl, 'flock', late)
  with (
    lock.hold(str(workdir)),
    pytest.raises(ValueError, match='another train.py'),
  ):
    lock.hold(str(workdir)).__enter__()
  assert not workdir.exists()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
  def missing(file, operation):
    raise OSError(errno.ENOSYS, 'Function not implemented')

  monkeypatch.setattr(fcntl, 'flock', missing)
  with pytest.raises(OSError) as error:
    lock.hold(str(tmp_path)).__enter__()
  for part in ('.lock', 'not implemented', str(tmp_path), 'Give a --workdir'):
    assert part in str(error.value)
