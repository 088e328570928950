"""Finding, checking, fetching and storing files, without a network."""

import contextlib
import errno
import hashlib
import http.server
import io
import lzma
import os
import socket
import struct
import tarfile
import threading
import time

import pytest

from hyper.data import raw_files


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
  monkeypatch.setenv('no_proxy', '*')


@contextlib.contextmanager
def serve(status=200, body=b'body', length=None, stall=False):
  """Runs a server on this machine that gives one answer to every request."""
  released = threading.Event()

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      self.send_response(status)
      self.send_header('Content-Length', str(length or len(body)))
      self.end_headers()
      self.wfile.write(body)
      if stall:
        released.wait(10)

    def log_message(self, *args):
      del args

  with http.server.HTTPServer(('127.0.0.1', 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
      yield f'http://127.0.0.1:{server.server_port}/file'
    finally:
      released.set()
      server.shutdown()
      thread.join()


def test_find_prefers_the_first_folder_then_the_first_name(tmp_path):
  one, two = tmp_path / 'one', tmp_path / 'two'
  for path in (one / 'b', two / 'a', two / 'b'):
    path.parent.mkdir(exist_ok=True)
    path.touch()
  folders = [str(tmp_path / 'absent'), str(one), str(two)]
  assert raw_files.find(folders, ['a', 'b']) == str(one / 'b')
  assert raw_files.find(folders[2:], ['a', 'b']) == str(two / 'a')
  assert raw_files.find(folders, ['c']) is None
  assert raw_files.find([str(tmp_path)], ['one']) is None  # a folder


def test_missing_names_files_folders_and_remedy():
  error = raw_files.missing('Set', ['f1', 'f2'], ['d1', 'd2'], 'Get it there.')
  assert isinstance(error, FileNotFoundError)
  for part in ('Set', 'f1, f2', 'd1, d2', 'Get it there.', ':embedded'):
    assert part in str(error)


def test_a_missing_file_that_is_a_folder_or_lies_elsewhere_is_explained(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'data/photos').mkdir(parents=True)
  (tmp_path / 'data/novel.txt').touch()

  def message(path, folder='data'):
    return str(raw_files.missing('Set', [path], [folder], 'Get it.'))

  assert 'data/photos is a folder; a file is needed.\n' in message(
    'data/photos'
  )
  assert (
    'data/novel.txt is in the current folder, but names are relative to '
    '--data_dir=data: give novel.txt\n'
  ) in message('data/data/novel.txt')
  assert 'give ../data/novel.txt\n' in message('x/data/novel.txt', 'x')
  assert 'data/photos is in the' in message('data/data/photos')
  for path in ('data', 'data/none', 'none', 'data/novel.txt'):
    assert 'folder' not in message(path)


def test_verify_tells_what_was_expected_and_found():
  right = hashlib.sha256(b'abc').hexdigest()
  raw_files.verify(b'abc', 3, right, 'name')
  for wrong in (b'abd', b'abcd'):
    found = hashlib.sha256(wrong).hexdigest()
    with pytest.raises(ValueError, match=f'name .*{right}.*{found}'):
      raw_files.verify(wrong, 3, right, 'name')
  with pytest.raises(ValueError, match='expected 4 bytes .* found 3 bytes'):
    raw_files.verify(b'abc', 4, right, 'name')


def test_fetch_returns_the_body():
  with serve() as url:
    assert raw_files.fetch(url) == b'body'


@pytest.mark.parametrize('answer', [{'status': 404}, {'length': 10}])
def test_fetch_raises_for_a_bad_answer(answer):
  with serve(**answer) as url, pytest.raises(ConnectionError, match=url):
    raw_files.fetch(url)


def test_fetch_gives_up_on_silence():
  with socket.create_server(('127.0.0.1', 0)) as server:
    url = f'http://127.0.0.1:{server.getsockname()[1]}/'
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=url):
      raw_files.fetch(url, seconds=0.2)
    assert time.monotonic() - start < 5


def test_fetch_gives_up_on_an_answer_that_stops():
  start = time.monotonic()
  with serve(length=10, stall=True) as url:
    with pytest.raises(ConnectionError, match=f'{url}.*timed out'):
      raw_files.fetch(url, seconds=0.2)
    assert time.monotonic() - start < 5


def test_fetch_gives_up_on_a_slow_name_look_up(monkeypatch):
  released = threading.Event()

  def wait(*args, **kwargs):
    released.wait(10)
    raise OSError

  monkeypatch.setattr(raw_files.urllib.request, 'urlopen', wait)
  with pytest.raises(ConnectionError, match='no answer in 0.1 s'):
    raw_files.fetch('http://host/', seconds=0.1)
  released.set()


def test_store_makes_folders_and_leaves_nothing_else(tmp_path):
  path = tmp_path / 'a' / 'b' / 'file'
  raw_files.store(b'content', str(path))
  assert path.read_bytes() == b'content'
  assert os.listdir(path.parent) == ['file']


def test_an_interrupted_store_changes_nothing(tmp_path, monkeypatch):
  path = tmp_path / 'file'
  path.write_bytes(b'old')

  def fail(*args):
    raise OSError(28, 'disk full')

  monkeypatch.setattr(os, 'replace', fail)
  with pytest.raises(OSError, match=f'cannot write to {tmp_path} .*disk full'):
    raw_files.store(b'new', str(path))
  assert path.read_bytes() == b'old'
  assert os.listdir(tmp_path) == ['file']


def test_store_names_the_unwritable_folder(tmp_path):
  blocked = tmp_path / 'file'
  blocked.touch()
  with pytest.raises(OSError, match=f'cannot write to {blocked}/below'):
    raw_files.store(b'', str(blocked / 'below' / 'file'))


def make_archive(path, link=''):
  with tarfile.open(path, 'w:gz') as archive:
    for name in ('a/one', 'a/two'):
      member = tarfile.TarInfo(name)
      member.size = 20_000
      archive.addfile(member, io.BytesIO(os.urandom(member.size)))
    folder = tarfile.TarInfo('a')
    folder.type = tarfile.DIRTYPE
    archive.addfile(folder)
    if link:
      member = tarfile.TarInfo('a/link')
      member.type, member.linkname = tarfile.SYMTYPE, link
      archive.addfile(member)


def read_archive(path, file=None, most=10**6):
  with raw_files.unpacking(str(path), most, file) as files:
    return {name: len(file.read()) for name, file in files}


def test_the_files_of_an_archive_are_read(tmp_path):
  path = tmp_path / 'x.tgz'
  make_archive(path, link='one')
  wanted = dict.fromkeys(('a/one', 'a/two', 'a/link'), 20_000)
  assert read_archive(path) == wanted
  assert read_archive('elsewhere', io.BytesIO(path.read_bytes())) == wanted


def test_a_damaged_archive_is_named(tmp_path):
  path = tmp_path / 'x.tgz'
  make_archive(path)
  whole = path.read_bytes()
  for damaged in (b'', b'no archive', whole[: len(whole) // 2]):
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r'x\.tgz is a damaged archive'):
      read_archive(path)
  make_archive(path, link='nowhere')
  with pytest.raises(ValueError, match=r'x\.tgz is a damaged archive'):
    read_archive(path)


@pytest.mark.parametrize(
  'error',
  [
    RuntimeError('File is encrypted, password required for extraction'),
    NotImplementedError('That compression method is not supported'),
    OSError('Invalid data stream'),  # of bz2, without a number
    lzma.LZMAError('Corrupt input data'),
    struct.error('unpack requires a buffer of 4 bytes'),
    OSError(errno.EINVAL, 'Invalid argument'),  # a seek to a place before 0
    UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid start byte'),
  ],
)
def test_every_error_of_an_archive_names_it(error):
  with (
    pytest.raises(ValueError, match=r'x\.zip is a damaged archive: .*\w'),
    raw_files.reading_archive('x.zip'),
  ):
    raise error


def test_lines_have_a_bound_for_each_and_for_all():
  text = b'12\n34\n'
  assert [*raw_files.lines(io.BytesIO(text), 'x', 6)] == [b'12\n', b'34\n']
  with pytest.raises(
    ValueError, match='x has, unpacked, more than the 5 bytes'
  ):
    list(raw_files.lines(io.BytesIO(text), 'x', 5))


def test_an_archive_that_cannot_be_opened_is_not_called_damaged(tmp_path):
  with pytest.raises(IsADirectoryError):
    read_archive(tmp_path)


@pytest.mark.parametrize('kind', ['large file', 'large name', 'many files'])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, kind):
  path = tmp_path / 'x.tgz'
  with tarfile.open(path, 'w:gz', format=tarfile.PAX_FORMAT) as archive:
    for k in range(20 if kind == 'many files' else 1):
      member = tarfile.TarInfo(f'{k}')
      if kind == 'large name':
        member.pax_headers = {'comment': 'x' * 200_000}
      member.size = {'large file': 200_000, 'many files': 9_000}.get(kind, 0)
      archive.addfile(member, io.BytesIO(bytes(member.size)))
  assert path.stat().st_size < 5_000
  with pytest.raises(ValueError, match=r'x\.tgz has, unpacked, more than the'):
    read_archive(path, most=100_000)
  assert read_archive(path, most=300_000)


def test_lines_end_at_newlines_and_endless_ones_are_refused():
  file = io.BytesIO(b'a\nb\r\n\x85c\n\nd')
  found = list(raw_files.lines(file, 'it'))
  assert found == [b'a\n', b'b\r\n', b'\x85c\n', b'\n', b'd']
  longest = raw_files.LONGEST_LINE
  endless = io.BytesIO(b'x' * (longest - 1) + b'\n' + b'y' * (longest + 1))
  lines = raw_files.lines(endless, 'it')
  assert len(next(lines)) == longest
  with pytest.raises(ValueError, match='it has a line of more than 1,048,576'):
    next(lines)


def test_nothing_is_unpacked_beyond_the_bound(tmp_path):
  path = tmp_path / 'x.tgz'
  with tarfile.open(path, 'w:gz') as archive:
    member = tarfile.TarInfo('large')
    member.size = 500_000
    archive.addfile(member, io.BytesIO(os.urandom(member.size)))
  path.write_bytes(path.read_bytes()[:250_000])  # the rest is never read
  with (
    pytest.raises(ValueError, match='has, unpacked, more than the 100,000'),
    raw_files.unpacking(str(path), 100_000) as files,
  ):
    list(files)
