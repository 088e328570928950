"""Preparing and reading back: exact, once, quiet, and plain about failures."""

import dataclasses
import errno
import json
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from absl import logging as absl_logging
from tensorflow_datasets.core import shuffle

from hyper.data import array_records, prepared


def make_source(splits, name='hyper_test'):
  calls = []

  def read(data_dir):
    calls.append(data_dir)
    return splits

  source = prepared.Source(
    name=name, version='1.0.0', read=read, description='A test.'
  )
  return source, calls


def make_text(n, seed=0):
  return np.random.default_rng(seed).integers(0, 256, n, dtype=np.uint8)


def make_splits(n=1000):
  return {
    split: {'text': make_text(n, seed)}
    for seed, split in enumerate(prepared.SPLITS)
  }


def test_order_is_exact_over_many_records(tmp_path, monkeypatch):
  monkeypatch.setattr(array_records, 'RECORD_BYTES', 100)
  splits = make_splits(2345)  # 24 records: '10' sorts before '2' as a string
  source, _ = make_source(splits)
  for split in prepared.SPLITS:
    loaded = prepared.load(source, str(tmp_path), split)
    np.testing.assert_array_equal(loaded['text'], splits[split]['text'])


def test_no_split_is_too_large_for_memory_or_needs_tensorflow(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(shuffle, 'MAX_MEM_BUFFER_SIZE', 500)  # of tfds, bytes
  source, _ = make_source(make_splits())
  assert len(prepared.load(source, str(tmp_path), 'train')['text']) == 1000


def test_kinds_shapes_and_unequal_lengths_survive(tmp_path, monkeypatch):
  monkeypatch.setattr(array_records, 'RECORD_BYTES', 64)
  arrays = {
    'image': make_text(7 * 2 * 3).reshape(7, 2, 3),
    'label': np.arange(-3, 4, dtype=np.int32),
    'offset': np.linspace(0, 1, 40, dtype=np.float32),
    'few': np.array([5], np.int64),
  }
  source, _ = make_source(dict.fromkeys(prepared.SPLITS, arrays))
  loaded = prepared.load(source, str(tmp_path), 'test')
  assert loaded.keys() == arrays.keys()
  for key, array in arrays.items():
    assert loaded[key].dtype == array.dtype
    np.testing.assert_array_equal(loaded[key], array)
    loaded[key][0] = 0  # may be written to


def test_the_copy_is_prepared_once_and_reused(tmp_path):
  source, calls = make_source(make_splits())
  for split in (*prepared.SPLITS, *prepared.SPLITS):
    prepared.load(source, str(tmp_path), split)
  assert calls == [str(tmp_path)]
  assert os.listdir(tmp_path) == ['prepared']
  assert os.listdir(tmp_path / 'prepared') == ['hyper_test']


def test_a_leftover_of_a_killed_run_is_not_taken_for_the_copy(tmp_path):
  leftover = tmp_path / 'prepared/hyper_test/incomplete.ABCDEF_1.0.0'
  leftover.mkdir(parents=True)
  splits = make_splits()
  source, _ = make_source(splits)
  loaded = prepared.load(source, str(tmp_path), 'train')
  np.testing.assert_array_equal(loaded['text'], splits['train']['text'])


def test_a_failed_reading_leaves_no_copy(tmp_path):
  def read(data_dir):
    raise ValueError('bad raw file')

  source = dataclasses.replace(make_source({})[0], read=read)
  for _ in range(2):
    with pytest.raises(ValueError, match='bad raw file'):
      prepared.load(source, str(tmp_path), 'train')


def test_another_process_may_prepare_the_copy_first(tmp_path):
  splits = make_splits()
  fast, _ = make_source(splits)

  def read(data_dir):  # while the slow one reads, the fast one finishes
    prepared.load(fast, data_dir, 'train')
    return splits

  slow = dataclasses.replace(fast, read=read)
  loaded = prepared.load(slow, str(tmp_path), 'test')
  np.testing.assert_array_equal(loaded['text'], splits['test']['text'])


def test_a_rename_lost_to_another_process_does_no_harm(tmp_path, monkeypatch):
  source, _ = make_source(make_splits())
  prepare = array_records.write_arrays

  def prepare_twice(*args):
    prepare(*args)
    raise FileExistsError('renamed by another process')

  monkeypatch.setattr(array_records, 'write_arrays', prepare_twice)
  assert len(prepared.load(source, str(tmp_path), 'train')['text']) == 1000


@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_loading_again_takes_no_more_memory(tmp_path):
  """Threads of a reader would keep the memory of data that are freed."""
  source, _ = make_source(make_splits() | {'train': {'text': make_text(2**25)}})
  held = []
  for _ in range(5):
    prepared.load(source, str(tmp_path), 'train')
    with open('/proc/self/statm') as file:
      held.append(int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE'))
  assert held[-1] - held[1] < 2**23


def test_an_unknown_split_is_refused():
  source, calls = make_source(make_splits())
  with pytest.raises(
    ValueError, match="'valid'.*'train', 'validation', 'test'"
  ):
    prepared.load(source, 'nowhere', 'valid')
  assert not calls


@pytest.mark.parametrize(
  'error', [MemoryError('too large'), OSError(errno.EMFILE, 'too many files')]
)
def test_an_error_of_the_machine_is_not_called_damage(
  error, tmp_path, monkeypatch
):
  source, _ = make_source(make_splits())
  prepared.load(source, str(tmp_path), 'train')

  def fail(path):
    raise error

  monkeypatch.setattr(array_records, '_check_features', fail)
  with pytest.raises(type(error)) as raised:
    prepared.load(source, str(tmp_path), 'train')
  assert raised.value is error


def test_unwritable_folder_is_named(tmp_path):
  blocked = tmp_path / 'file'
  blocked.touch()
  source, _ = make_source(make_splits())
  with pytest.raises(OSError, match=f'cannot write to {blocked}/prepared'):
    prepared.load(source, str(blocked), 'train')


def test_a_damaged_copy_is_an_error_and_is_kept(tmp_path):
  source, _ = make_source(make_splits(50_000))
  prepared.load(source, str(tmp_path), 'train')
  folder = tmp_path / 'prepared/hyper_test/1.0.0'
  (path,) = folder.glob('*train*')
  content = bytearray(path.read_bytes())
  content[10_000] ^= 1
  path.write_bytes(content)
  with pytest.raises(ValueError, match=f'{folder}.*delete that folder'):
    prepared.load(source, str(tmp_path), 'train')
  assert path.read_bytes() == content
  assert len(prepared.load(source, str(tmp_path), 'test')['text']) == 50_000


@pytest.fixture
def raw(tmp_path):
  """Returns a source of one raw file, its prepared copy, and that file."""
  path = tmp_path / 'raw.txt'
  path.write_bytes(b'a' * 900)

  def read(data_dir):
    return dict.fromkeys(
      prepared.SPLITS, {'text': np.frombuffer(path.read_bytes(), 'u1')}
    )

  source = dataclasses.replace(
    make_source({})[0],
    read=read,
    raw=lambda data_dir: [str(path)] if path.exists() else [],
  )
  prepared.load(source, str(tmp_path), 'train')
  return source, tmp_path / 'prepared/hyper_test/1.0.0', path


def test_other_content_than_was_prepared_is_refused(raw, tmp_path):
  source, folder, path = raw
  for content in (b'b' * 900, b'a' * 901):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'{path} has other .*{folder}'):
      prepared.load(source, str(tmp_path), 'train')
  shutil.rmtree(folder)
  text = prepared.load(source, str(tmp_path), 'train')['text']
  assert len(text) == 901


def test_the_same_content_is_hashed_once_where_its_time_differs(
  raw, tmp_path, monkeypatch
):
  source, _, path = raw
  calls, hash_file = [], prepared.fingerprints.of_file
  monkeypatch.setattr(
    prepared.fingerprints,
    'of_file',
    lambda path: calls.append(path) or hash_file(path),
  )
  prepared.load(source, str(tmp_path), 'test')
  assert not calls
  os.utime(path, (1, 1))
  for _ in range(2):
    prepared.load(source, str(tmp_path), 'test')
  assert calls == [str(path)]


def test_a_copy_is_read_without_its_raw_files(raw, tmp_path):
  source, _, path = raw
  path.unlink()
  assert len(prepared.load(source, str(tmp_path), 'train')['text']) == 900


def test_a_copy_of_earlier_versions_notes_its_raw_files(raw, tmp_path):
  source, folder, path = raw
  (folder / prepared.ORIGIN).unlink()
  prepared.load(source, str(tmp_path), 'train')
  path.write_bytes(b'b' * 900)
  with pytest.raises(ValueError, match='has other content'):
    prepared.load(source, str(tmp_path), 'train')


@pytest.mark.parametrize(
  'content',
  ['', '{"a": ', '[]', '{"a": 1}', pytest.param('[' * 10**5, id='deep')],
)
def test_damaged_notes_on_raw_files_are_made_again(
  content, raw, tmp_path, caplog
):
  source, folder, _ = raw
  path = folder / prepared.ORIGIN
  before = path.read_text()
  path.write_text(content)
  prepared.load(source, str(tmp_path), 'train')
  assert path.read_text() == before
  assert f'{path} is damaged and is made again' in caplog.text


@pytest.mark.parametrize('key', ['pythonClassName', 'type'])
def test_a_copy_cannot_name_a_class_to_import(key, tmp_path, monkeypatch):
  source, _ = make_source(make_splits())
  prepared.load(source, str(tmp_path), 'train')
  path = tmp_path / 'prepared/hyper_test/1.0.0/features.json'
  features = json.loads(path.read_text())
  features['featuresDict']['features']['text'] = {key: 'evil_module.Tensor'}
  path.write_text(json.dumps(features))
  (tmp_path / 'evil_module.py').write_text('raise SystemExit')
  monkeypatch.syspath_prepend(str(tmp_path))
  with pytest.raises(ValueError, match="names 'evil_module.Tensor'"):
    prepared.load(source, str(tmp_path), 'train')


def test_one_log_line_and_nothing_else(tmp_path, capfd, monkeypatch):
  records = []
  handler = logging.Handler()
  monkeypatch.setattr(handler, 'emit', records.append)
  logger = absl_logging.get_absl_logger()
  logger.addHandler(handler)
  verbosity = absl_logging.get_verbosity()
  absl_logging.set_verbosity(absl_logging.INFO)
  try:
    source, _ = make_source(make_splits())
    prepared.load(source, str(tmp_path), 'train')
    prepared.load(source, str(tmp_path), 'train')
    absl_logging.info('still heard')
  finally:
    absl_logging.set_verbosity(verbosity)
    logger.removeHandler(handler)
  messages = [record.getMessage() for record in records]
  folder = tmp_path / 'prepared/hyper_test/1.0.0'
  assert messages == [f'Preparing hyper_test in {folder}', 'still heard']
  captured = capfd.readouterr()
  assert captured.out == ''
  assert 'examples' not in captured.err  # tfds' progress bars


def test_importing_is_cheap_and_tensorflow_is_never_needed(tmp_path):
  program = f"""
import sys
from hyper.data import embedded, mnist, prepared, ptb, raw_files
heavy = {{'tensorflow_datasets', 'PIL', 'matplotlib', 'jax', 'flax'}}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
embedded.load_text({str(tmp_path)!r}, 'test')
assert 'tensorflow_datasets' in sys.modules
assert 'tensorflow' not in sys.modules
"""
  root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
  command = [sys.executable, '-W', 'error', '-c', program]
  subprocess.run(command, cwd=root, check=True, timeout=60)


@pytest.mark.slow
def test_the_order_of_arrays_does_not_depend_on_hashes(tmp_path):
  script = (
    'import sys\n'
    'from hyper.data import embedded\n'
    "print(list(embedded.load_digits(sys.argv[1], 'validation')))"
  )
  orders = {
    subprocess.run(
      [sys.executable, '-c', script, str(tmp_path)],
      env=os.environ | {'PYTHONHASHSEED': seed},
      capture_output=True,
      check=True,
    ).stdout
    for seed in '012'
  }
  assert orders == {b"['image', 'label']\n"}
