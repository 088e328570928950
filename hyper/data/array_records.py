"""Array records on the disk, by tensorflow-datasets and without TensorFlow."""

import contextlib
import dataclasses
import functools
import io
import itertools
import json
import logging as python_logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from absl import logging

from hyper.terminal import track

# The length of a record of arrays; tfds is slow on many small ones.
RECORD_BYTES = 2**20
FILE_RECORDS = 2**20  # in a file
CHUNK_RECORDS = 10_000  # between two looks at the clock
# The classes that features.json may name; tfds imports what it names.
CLASSES = {
  f'tensorflow_datasets.core.features.{name}'
  for name in (
    'features_dict.FeaturesDict',
    'tensor_feature.Tensor',
    'text_feature.Text',
  )
}

Arrays = dict[str, np.ndarray]
T = TypeVar('T')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
  """The description of a data set that tfds writes beside the records.

  Attributes:
    name: folder of the prepared copy, in snake case.
    version: 'major.minor.patch'.
    description: one sentence.
    homepage: address of the data or its paper.
    citation: the paper to cite.
  """

  name: str
  version: str
  description: str
  homepage: str = ''
  citation: str = ''


def write_arrays(
  source: Described, splits: Mapping[str, Arrays], root: str
) -> None:
  """Writes the arrays of every split below `root`, whole or not at all."""
  records = {split: _records(arrays) for split, arrays in splits.items()}
  with _quiet_tfds() as tfds:
    features = _features(tfds, next(iter(splits.values())))
    _write(tfds, source, records, features, root)


def write_records(
  source: Described,
  splits: Mapping[str, Iterator[dict[str, bytes]]],
  fields: Iterable[str],
  root: str,
) -> None:
  """Writes records of bytes of every split, whole or not at all.

  Args:
    source: of the copy.
    splits: the records, which are read one by one.
    fields: the keys of a record.
    root: the folder of all copies.
  """
  shown = {
    split: _tracked(records, f'Preparing {split} of {source.name}')
    for split, records in splits.items()
  }
  with _quiet_tfds() as tfds:
    features = {field: tfds.features.Text() for field in fields}
    features = tfds.features.FeaturesDict(features)
    _write(tfds, source, shown, features, root)


def _write(
  tfds: Any,
  source: Described,
  splits: Mapping[str, Iterable[Any]],
  features: Any,
  root: str,
) -> None:
  """Writes records one by one into a new folder, then renames it.

  A builder's own writer holds a split in memory, and needs TensorFlow for one
  of more than a gigabyte.
  """
  os.makedirs(root, exist_ok=True)
  elsewhere = tempfile.mkdtemp(prefix='incomplete.', dir=root)
  try:
    builder = _make_builder(tfds, source, features, elsewhere)
    os.makedirs(builder.info.data_dir)
    writer = tfds.core.SequentialWriter(
      builder.info, FILE_RECORDS, file_format='array_record'
    )
    writer.initialize_splits(list(splits))
    for split, records in splits.items():
      writer.add_examples({split: records})
    writer.close_all()
    os.makedirs(os.path.join(root, source.name), exist_ok=True)
    os.rename(
      builder.info.data_dir, os.path.join(root, source.name, source.version)
    )
  finally:
    shutil.rmtree(elsewhere, ignore_errors=True)


def _tracked(records: Iterator[T], action: str) -> Iterator[T]:
  """Yields `records`, and shows how many after each CHUNK_RECORDS of them."""
  chunks = iter(lambda: list(itertools.islice(records, CHUNK_RECORDS)), [])
  for chunk in track(chunks, action, size=len):
    yield from chunk


def read_arrays(folder: str, split: str) -> Arrays:
  """Returns the arrays of a split of the copy in `folder`.

  Raises:
    ValueError: the copy is damaged.
  """
  with _opened(folder) as builder:
    # One by one: a read of many starts a thread, whose memory stays.
    records = list(builder.as_data_source(split))
  return {
    key: np.concatenate([record[key] for record in records])
    for key in sorted(builder.info.features)  # unsorted, the order is random
  }


class Records:
  """The records of a split, each read from the disk when it is accessed.

  A record takes 20 to 40 microseconds here. The source of tfds copies the
  index of a file at each access, 5 milliseconds for a million records.

  Args:
    folder: of the copy, for errors.
    paths: of the split's files; each is opened when it is needed.
    lengths: the number of records of each file.
  """

  def __init__(self, folder: str, paths: Sequence[Any], lengths: Sequence[int]):
    # Their import takes a while, and few data sets have records of bytes.
    from array_record.python import array_record_module
    from tensorflow_datasets.proto import tf_example_pb2

    def reader(file: int) -> Any:
      return array_record_module.ArrayRecordReader(
        os.fspath(paths[file]), options='readahead_buffer_size:0'
      )

    self._folder, self._starts = folder, np.cumsum([0, *lengths])
    self._reader = functools.cache(reader)
    self._parse = tf_example_pb2.Example.FromString

  def __len__(self) -> int:
    return int(self._starts[-1])

  def __getitem__(self, number: int) -> dict[str, bytes]:
    """Returns the record with this number, from 0.

    Raises:
      IndexError: there is no such record.
      ValueError: the copy is damaged.
    """
    if not 0 <= number < len(self):
      raise IndexError(f'no record {number} among {len(self)}')
    file = int(np.searchsorted(self._starts, number, side='right')) - 1
    place = number - int(self._starts[file])
    with _damage_named(self._folder):
      # A range of one: a list of one is slow.
      (record,) = self._reader(file).read(place, place + 1)
      features = self._parse(record).features.feature
      return {key: features[key].bytes_list.value[0] for key in features}


def open_records(folder: str, split: str) -> Records:
  """Returns the records of a split in `folder`.

  Raises:
    ValueError: the copy is damaged.
  """
  with _opened(folder) as builder:
    files = builder.info.splits[split]
    return Records(folder, files.filepaths, files.shard_lengths)


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[Any]:
  """Yields the builder of a copy; an error in the block names the copy."""
  with _quiet_tfds() as tfds, _damage_named(folder):
    _check_features(os.path.join(folder, 'features.json'))
    yield tfds.builder_from_directory(folder)


@contextlib.contextmanager
def _damage_named(folder: str) -> Iterator[None]:
  """Turns an error in the block into one that names the copy in `folder`."""
  try:
    yield
  except (OSError, MemoryError) as error:
    # A missing file damages the copy; other such errors are the machine's.
    if not isinstance(error.__cause__ or error, FileNotFoundError):
      raise
    raise _unreadable(folder, error) from error
  except Exception as error:  # array_record and protobuf raise all sorts
    raise _unreadable(folder, error) from error


def _unreadable(folder: str, error: Exception) -> ValueError:
  return ValueError(
    f'cannot read the prepared copy in {folder} ({error}). If it is damaged, '
    'delete that folder to have it prepared again.'
  )


def _check_features(path: str) -> None:
  """Raises a ValueError if features.json names a class not in CLASSES."""

  def check(fields: dict[str, Any]) -> dict[str, Any]:
    named = {
      fields[key] for key in ('pythonClassName', 'type') if key in fields
    }
    if foreign := named - CLASSES:
      raise ValueError(f'{path} names {foreign.pop()!r}')
    return fields

  with open(path, encoding='utf-8') as file:
    json.load(file, object_hook=check)


def _make_builder(
  tfds: Any,
  source: Described,
  features: Any,
  root: str,
) -> Any:
  """Returns a tfds builder, which has the description of the copy."""

  class Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self):
      """Does nothing: no network, and no temporary folder."""

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
      raise NotImplementedError('_write writes the splits')

    def _generate_examples(self):
      raise NotImplementedError('_write writes the examples')

  return Builder(data_dir=root, file_format='array_record')


def _features(tfds: Any, arrays: Arrays) -> Any:
  """Returns the tfds features: raw bytes, any number along axis 0."""
  return tfds.features.FeaturesDict(
    {
      key: tfds.features.Tensor(
        shape=(None, *array.shape[1:]), dtype=array.dtype, encoding='bytes'
      )
      for key, array in arrays.items()
    }
  )


def _records(arrays: Arrays) -> Iterator[Arrays]:
  """Cuts every array into the same number of pieces, in order."""
  size = sum(array.nbytes for array in arrays.values())
  number = max(1, -(-size // RECORD_BYTES))
  pieces = [np.array_split(array, number) for array in arrays.values()]
  for piece in zip(*pieces, strict=True):
    yield dict(zip(arrays, piece, strict=True))


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[Any]:
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
