"""Raw files as their owners publish them: finding, fetching, checking them."""

import contextlib
import errno
import gzip
import hashlib
import http.client
import lzma
import math
import os
import queue
import struct
import tarfile
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from hyper import files

LONGEST_LINE = 2**20  # bytes
# Errors of an archive that is damaged, encrypted (RuntimeError), or packed in a
# way that Python does not know (NotImplementedError).
DAMAGE = (
  *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error),
  *(lzma.LZMAError, struct.error, EOFError, KeyError, RuntimeError),
  UnicodeDecodeError,
)


@runtime_checkable
class File(Protocol):
  """Bytes to read, packed by gzip or not."""

  def read(self, size: int = ..., /) -> bytes:
    """Returns at most `size` bytes."""

  def readline(self, size: int = ..., /) -> bytes:
    """Returns at most `size` bytes, up to the end of a line."""

  def seek(self, place: int, whence: int = ..., /) -> int:
    """Goes to a place, and returns it."""

  def tell(self) -> int:
    """Returns the place."""


def find(folders: Iterable[str], names: Iterable[str]) -> str | None:
  """Returns the path of the first of `names` in the first folder with one."""
  names = list(names)
  paths = (os.path.join(folder, name) for folder in folders for name in names)
  return next(filter(os.path.isfile, paths), None)


def missing(
  title: str, names: Iterable[str], folders: Iterable[str], remedy: str
) -> FileNotFoundError:
  """Returns the error to raise when files of the data set `title` are absent.

  Args:
    title: the name of the data set.
    names: every file that was not found, or its path.
    folders: every folder that was searched.
    remedy: where to get the files and where to put them, in a sentence or two.
  """
  names, folders = list(names), list(folders)
  hints = ''.join(
    f'{hint}\n' for name in names for hint in _hints(name, folders)
  )
  return FileNotFoundError(
    f'{title}: some files are missing.\n'
    f'  missing:  {", ".join(names)}\n'
    f'  searched: {", ".join(folders)}\n'
    f'{hints}{remedy}\n'
    "Or run the same config with ':embedded', which needs no data."
  )


def _hints(path: str, folders: Iterable[str]) -> Iterator[str]:
  """Yields what may be wrong with a path that names no file in `folders`."""
  if os.path.dirname(path) and os.path.isdir(path):
    yield f'{path} is a folder; a file is needed.'
    return
  for folder in folders:
    start = os.path.join(os.path.expanduser(folder), '')
    given = path.removeprefix(start)
    if given != path and os.path.exists(given):
      yield (
        f'{given} is in the current folder, but names are relative to '
        f'--data_dir={folder}: give {os.path.relpath(given, start)}'
      )


def verify(content: bytes, size: int, sha256: str, name: str) -> None:
  """Raises ValueError unless `content` has this size (bytes) and SHA-256."""
  found = hashlib.sha256(content).hexdigest()
  if (len(content), found) != (size, sha256):
    raise ValueError(
      f'{name} is not the expected data: expected {size:,} bytes with SHA-256 '
      f'{sha256}, found {len(content):,} bytes with SHA-256 {found}.'
    )


def read(file: File, most: int, name: str) -> bytes:
  """Returns the rest of `file`; a ValueError if it exceeds `most` bytes."""
  content = file.read(most + 1)
  if len(content) > most:
    raise _too_large(name, most)
  return content


def lines(file: File, name: str, most: float = math.inf) -> Iterator[bytes]:
  """Yields the lines of `file`.

  Raises:
    ValueError: a line exceeds a megabyte, or all of them `most` bytes.
  """
  left = most
  while line := file.readline(LONGEST_LINE + 1):
    left -= len(line)
    if left < 0:
      raise _too_large(name, most)
    if len(line) > LONGEST_LINE:
      raise ValueError(
        f'{name} has a line of more than {LONGEST_LINE:,} bytes; this is no '
        'text file.'
      )
    yield line


@contextlib.contextmanager
def reading_archive(path: str) -> Iterator[None]:
  """Turns the errors of a damaged archive into a ValueError that names it.

  Errors of the machine, such as too many open files, are raised unchanged.
  """
  try:
    yield
  except (*DAMAGE, OSError) as error:
    # bz2 raises an OSError without a number, a seek to a wrong place EINVAL.
    if getattr(error, 'errno', None) not in (None, errno.EINVAL):
      raise
    raise ValueError(f'{path} is a damaged archive: {error}') from error


@contextlib.contextmanager
def unpacking(
  path: str, most: int, file: File | None = None
) -> Iterator[Iterator[tuple[str, File]]]:
  """Yields an iterator over the paths and files in a tar archive.

  Args:
    path: of the archive, plain or packed by gzip.
    most: the most bytes that it may unpack to.
    file: the content of the archive if it is not on the disk.

  Raises:
    ValueError: the archive is damaged or too large. It is raised on opening, or
      while the block reads from the archive.
  """
  with reading_archive(path), contextlib.ExitStack() as stack:
    packed = file or stack.enter_context(open(path, 'rb'))
    plain = _unzipped(packed)
    bounded: Any = _Bounded(plain, most, path)
    archive = stack.enter_context(tarfile.open(fileobj=bounded, mode='r:'))
    found = ((x.name, archive.extractfile(x)) for x in archive)
    yield ((name, content) for name, content in found if content)


def _unzipped(file: File) -> File:
  is_gzip = file.read(2) == b'\x1f\x8b'
  file.seek(0)
  return gzip.GzipFile(fileobj=file) if is_gzip else file


class _Bounded:
  """A file that raises a ValueError for reading or seeking beyond `most`."""

  def __init__(self, file: File, most: int, name: str):
    self._file, self._most, self._name = file, most, name
    self.tell = file.tell

  def read(self, size: int = -1) -> bytes:
    left = self._most - self.tell()
    if 0 <= size <= left:
      return self._file.read(size)
    return read(self._file, left, self._name)

  def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
    if whence == os.SEEK_SET and place > self._most:
      raise _too_large(self._name, self._most)
    return self._file.seek(place, whence)


def _too_large(name: str, most: float) -> ValueError:
  return ValueError(
    f'{name} has, unpacked, more than the {most:,} bytes that are allowed; it '
    'is not the expected data set.'
  )


def fetch(url: str, seconds: float = 10.0) -> bytes:
  """Downloads `url` into memory.

  Args:
    url: the address.
    seconds: the longest wait for the server's answer, and then for each next
      piece of it; the whole transfer may take longer.

  Raises:
    ConnectionError: the download failed.
  """
  # urlopen's own limit does not cover the name look-up, and begins again with
  # every address of the host: without a network that takes minutes.
  answers: queue.SimpleQueue = queue.SimpleQueue()

  def ask():
    try:
      answers.put(urllib.request.urlopen(url, timeout=seconds))
    except (OSError, http.client.HTTPException) as error:
      answers.put(error)

  threading.Thread(target=ask, daemon=True).start()
  try:
    answer = answers.get(timeout=seconds)
    if isinstance(answer, Exception):
      raise answer
    with answer:
      return answer.read()
  except queue.Empty:
    raise ConnectionError(f'{url}: no answer in {seconds:g} s') from None
  except (OSError, http.client.HTTPException) as error:
    if isinstance(error, urllib.error.HTTPError):
      error.close()  # it holds the connection
    raise ConnectionError(f'{url}: {error}') from error


def store(content: bytes, path: str) -> None:
  """Writes `content` to `path`, whole or not at all.

  Raises:
    OSError: the folder cannot be made or written; the message names it.
  """
  try:
    files.write(path, content)
  except OSError as error:
    raise unwritable(os.path.dirname(path), error) from error


def unwritable(folder: str, error: OSError) -> OSError:
  """Returns the error to raise when `folder` cannot be written."""
  return OSError(
    f'cannot write to {folder} ({error}). Choose a data_dir on a disk with '
    'room that you may write to.'
  )
