"""Data sets prepared once by tensorflow-datasets, then read into NumPy arrays.

The prepared copy of a data set lies in `<data_dir>/prepared/<name>/<version>`:
array_record files, their sizes and citation, written without TensorFlow. Where
that folder exists it is complete (another one is filled and renamed) and the
raw files are looked at no more: a change in what a source reads must raise its
version.

A `Source` fits into memory and is read into it; the records of a
`RecordSource` stay on the disk and are fetched by number.
"""

import contextlib
import dataclasses
import io
import itertools
import logging as python_logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from hyper.data import raw_files

SPLITS = ('train', 'validation', 'test')
# A record is this long: tfds is slow on many small ones.
RECORD_BYTES = 2**20
# Of a RecordSource: records in a file, and records written at once.
FILE_RECORDS, CHUNK_RECORDS = 2**20, 10_000

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
  """A data set: what it is and how to read its raw files.

  Attributes:
    name: folder of the prepared copy, in snake case.
    version: 'major.minor.patch'; to be raised when `read` changes its arrays.
    read: from data_dir to the arrays of every split; along axis 0 lie
      examples, or symbols of a text. Arrays may differ in that length.
    description: one sentence.
    homepage: address of the data or its paper.
    citation: the paper to cite.
  """

  name: str
  version: str
  read: Callable[[str], dict[str, Arrays]]
  description: str
  homepage: str = ''
  citation: str = ''


def load(source: Source, data_dir: str, split: str) -> Arrays:
  """Returns one split of `source`, which is prepared first where need be.

  Raises:
    FileNotFoundError: raw files are missing; says which, and where to get them.
    OSError: data_dir cannot be written.
    ValueError: no such split, or damaged data.
  """
  check_split(split, SPLITS)
  return _read(_folder(source, data_dir, _prepare), split)


def check_split(split: str, allowed: Collection[str]) -> None:
  """Raises a ValueError unless a data set has this split."""
  if split not in allowed:
    names = ', '.join(map(repr, allowed))
    raise ValueError(f'no split {split!r}; allowed are {names}')


@dataclasses.dataclass(frozen=True)
class RecordSource:
  """A data set of many small records, which need not fit into memory.

  Attributes:
    name, version, description, homepage, citation: as of a `Source`.
    read: from data_dir to an iterator over the records of every split, each a
      dict of bytes with the keys `fields`. Missing files are to be noticed
      before the first record is asked for.
    fields: what a record has.
  """

  name: str
  version: str
  read: Callable[[str], Mapping[str, Iterator[dict[str, bytes]]]]
  fields: tuple[str, ...]
  description: str
  homepage: str = ''
  citation: str = ''


def open_records(
  source: RecordSource, data_dir: str, split: str
) -> tuple[Sequence[dict[str, bytes]], str]:
  """One split of `source`, prepared first where need be, and its folder.

  The records are read when they are asked for; `__getitems__` takes a list of
  numbers.

  Raises:
    FileNotFoundError: raw files are missing; says which, and where to get them.
    OSError: data_dir cannot be written.
    ValueError: damaged data, or no such split.
  """
  folder = _folder(source, data_dir, _write_records)
  with _quiet_tfds() as tfds:
    try:
      builder = tfds.builder_from_directory(folder)
      return builder.as_data_source(split), folder
    except Exception as error:  # array_record and protobuf raise all sorts
      raise _damaged(folder, error) from error


def _folder(
  source: Source | RecordSource, data_dir: str, write: Callable[..., None]
) -> str:
  """Where the prepared copy is; `write(source, splits, root)` makes it."""
  data_dir = os.path.expanduser(data_dir)
  root = os.path.join(data_dir, 'prepared')
  folder = os.path.join(root, source.name, source.version)
  if not os.path.isdir(folder):
    logging.info('Preparing %s in %s', source.name, folder)
    splits = source.read(data_dir)
    try:
      write(source, splits, root)
    except OSError as error:
      if not os.path.isdir(folder):  # else another process was faster
        raise raw_files.unwritable(root, error) from error
  return folder


def _write_records(
  source: RecordSource,
  splits: Mapping[str, Iterator[dict[str, bytes]]],
  root: str,
) -> None:
  """Writes records as they come, elsewhere, then renames the folder.

  The builder's own way of writing, used for a `Source`, holds a split in
  memory, and needs TensorFlow for one of more than a gigabyte.
  """
  os.makedirs(root, exist_ok=True)
  elsewhere = tempfile.mkdtemp(prefix='incomplete.', dir=root)
  try:
    with _quiet_tfds() as tfds:
      features = {field: tfds.features.Text() for field in source.fields}
      builder = _make_builder(
        tfds, source, tfds.features.FeaturesDict(features), {}, elsewhere
      )
      os.makedirs(builder.info.data_dir)
      writer = tfds.core.SequentialWriter(
        builder.info, FILE_RECORDS, file_format='array_record'
      )
      writer.initialize_splits(list(splits))
      for split, records in splits.items():
        while chunk := list(itertools.islice(records, CHUNK_RECORDS)):
          writer.add_examples({split: chunk})
      writer.close_all()
      os.makedirs(os.path.join(root, source.name), exist_ok=True)
      os.rename(
        builder.info.data_dir, os.path.join(root, source.name, source.version)
      )
  finally:
    shutil.rmtree(elsewhere, ignore_errors=True)


def _prepare(source: Source, splits: dict[str, Arrays], root: str) -> None:
  with _quiet_tfds() as tfds, tempfile.TemporaryDirectory() as downloads:
    features = _features(tfds, splits['train'])
    records = {split: _records(arrays) for split, arrays in splits.items()}
    builder = _make_builder(tfds, source, features, records, root)
    builder.download_and_prepare(download_dir=downloads)


def _make_builder(
  tfds: Any,
  source: Source | RecordSource,
  features: Any,
  records: Mapping[str, Iterator],
  root: str,
) -> Any:
  """Returns a tfds builder that writes `records`, numbered, of each split."""

  class Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self):
      """Does nothing: no network, no temporary folder left behind."""

  class Builder(  # type: ignore[call-arg]
    tfds.core.GeneratorBasedBuilder, skip_registration=True
  ):
    name = source.name
    VERSION = tfds.core.Version(source.version)

    def _info(self):
      return Info(
        builder=self,
        description=source.description,
        homepage=source.homepage,
        citation=source.citation,
        features=features,
        disable_shuffling=True,  # tfds would scramble a text
      )

    def _split_generators(self, dl_manager):
      return records

    def _generate_examples(self):
      raise NotImplementedError('the generators come from _split_generators')

  return Builder(data_dir=root, file_format='array_record')


def _features(tfds, arrays: Arrays):
  """Returns the tfds features: raw bytes, any number along axis 0."""
  return tfds.features.FeaturesDict(
    {
      key: tfds.features.Tensor(
        shape=(None, *array.shape[1:]), dtype=array.dtype, encoding='bytes'
      )
      for key, array in arrays.items()
    }
  )


def _records(arrays: Arrays) -> Iterator[tuple[int, Arrays]]:
  """Cuts every array into the same number of pieces, in order."""
  size = sum(array.nbytes for array in arrays.values())
  number = max(1, -(-size // RECORD_BYTES))
  pieces = [np.array_split(array, number) for array in arrays.values()]
  for index, piece in enumerate(zip(*pieces, strict=True)):
    yield index, dict(zip(arrays, piece, strict=True))


def _read(folder: str, split: str) -> Arrays:
  """Reads a split of the prepared copy in `folder`; ValueError if damaged."""
  with _quiet_tfds() as tfds:
    try:
      builder = tfds.builder_from_directory(folder)
      records = builder.as_data_source(split)
      records = records.__getitems__(range(len(records)))
    except Exception as error:  # array_record and protobuf raise all sorts
      raise _damaged(folder, error) from error
  return {
    key: np.concatenate([record[key] for record in records])
    for key in sorted(builder.info.features)  # else in the order of a hash
  }


def _damaged(folder: str, error: Exception) -> ValueError:
  return ValueError(
    f'cannot read the prepared copy in {folder} ({error}). If it is '
    'damaged, delete that folder to have it prepared again.'
  )


@contextlib.contextmanager
def _quiet_tfds() -> Iterator:
  """Imports tfds; keeps its bars, prints and log lines off the console."""
  import tensorflow_datasets as tfds  # slow, and most modules do without

  def is_news(record: python_logging.LogRecord) -> bool:
    is_ours = 'tensorflow_datasets' not in record.pathname
    return is_ours or record.levelno >= python_logging.ERROR

  tfds.disable_progress_bar()
  logger = logging.get_absl_logger()
  logger.addFilter(is_news)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield tfds
  finally:
    logger.removeFilter(is_news)
