"""Arrays in an .npz file of unknown origin."""

import zipfile
from collections.abc import Collection

import numpy as np

from hyper.data import raw_files


def read(
  path: str, names: Collection[str], most: int
) -> tuple[dict[str, np.ndarray], list[str]]:
  """Returns the arrays called `names` in an .npz file, those that it has.

  No other array is unpacked, and no Python object.

  Args:
    path: of the file.
    names: of the arrays.
    most: the most bytes that they may have together.

  Returns:
    The arrays by name, and the names of all other arrays.

  Raises:
    ValueError: the file is damaged, or the arrays are too large.
  """
  with raw_files.reading_archive(path), zipfile.ZipFile(path) as archive:
    sizes = {
      entry.filename.removesuffix('.npy'): entry.file_size
      for entry in archive.infolist()
    }
    found = [name for name in names if name in sizes]
    if sum(sizes[name] for name in found) > most:
      raise ValueError(
        f'{path} has arrays of more than the {most:,} bytes that are allowed.'
      )
    arrays = {name: _read_array(archive, name, path) for name in found}
  return arrays, [name for name in sizes if name not in arrays]


def _read_array(archive: zipfile.ZipFile, name: str, path: str) -> np.ndarray:
  with archive.open(f'{name}.npy') as file:
    try:
      return np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
      raise ValueError(f'{path}: {name} cannot be read: {error}') from error
