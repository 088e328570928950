"""Fingerprints of data: hashes of arrays and of files."""

import hashlib
import os
from collections.abc import Iterable

import numpy as np


def of_arrays(arrays: Iterable[np.ndarray]) -> str:
  """Returns the first 16 digits of a SHA-256 of contents, types and shapes."""
  digest = hashlib.sha256()
  for array in arrays:
    digest.update(f'{array.dtype.str} {array.shape}'.encode())
    digest.update(np.ascontiguousarray(array).data)
  return digest.hexdigest()[:16]


def of_file(path: str) -> bytes:
  """Returns the SHA-256 of a file's content."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').digest()


def of_files(paths: Iterable[str], folder: str) -> str:
  """Returns the first 12 digits of a SHA-256 of names and contents."""
  digest = hashlib.sha256()
  for path in paths:
    with open(path, 'rb') as file:
      name = os.path.relpath(path, folder)
      digest.update(name.encode() + b'\0' + file.read())
  return digest.hexdigest()[:12]


def of_stamps(paths: Iterable[str], folder: str) -> str:
  """Returns the first 12 digits of a SHA-256 of names, sizes and times.

  The time is when content or permissions last changed. Unlike the time of
  modification, no program sets it, so a file of the same size and date that
  took another's place is noticed.
  """
  digest = hashlib.sha256()
  for path in paths:
    found = os.stat(path)
    stamp = os.path.relpath(path, folder), found.st_size, found.st_ctime_ns
    digest.update(repr(stamp).encode(errors='surrogateescape'))
  return digest.hexdigest()[:12]
