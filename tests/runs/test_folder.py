"""Run folders: to which run they belong, what they refuse, whole files."""

import contextlib
import errno
import importlib
import json
import logging
import os
import pathlib
import re
import sys

import jax
import numpy as np
import pytest

from hyper import configuration, files
from hyper.runs import folder, record
from hyper.runs.checkpoint import Checkpoints

DATA = {'train': 'a', 'validation': 'b'}


def get(**fields):
  config = importlib.import_module('configs.mnist_cnn').get_config().unlock()
  config.update_from_flattened_dict(fields)
  return config.lock()


def checkpoints_of(workdir):
  return Checkpoints(
    os.path.join(workdir, folder.CHECKPOINTS),
    ('error', 'min'),
    published=lambda step: record.note_checkpoint(workdir, step),
  )


def start(workdir, data=DATA, config=None, save=(), fail=False):
  """Begins or resumes a run, saves at some steps, and then fails if told to."""
  workdir, config = str(workdir), config or get()
  folder.check_run(workdir, config)
  with (
    checkpoints_of(workdir) as checkpoints,
    folder.claim(workdir, config, 'data', data, checkpoints, {}),
  ):
    for step in save:
      checkpoints.write(step, {'x': np.full(2, step)})
    if fail:
      raise FloatingPointError('a loss of NaN')


def starts(workdir):
  text = (pathlib.Path(workdir) / folder.STARTS).read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / 'new' / 'file'
  folder.write(path, 'é')
  assert path.read_bytes() == 'é'.encode()
  folder.write(path, b'\xff')
  assert [p.name for p in path.parent.iterdir()] == ['file']

  def full(number):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(os, 'fsync', full)
  with pytest.raises(OSError, match=f'No space left .*{path}') as error:
    folder.write(path, 'other')
  assert error.value.errno == errno.ENOSPC
  assert [p.name for p in path.parent.iterdir()] == ['file']
  assert path.read_bytes() == b'\xff'


# JSON that is nested too deeply to be parsed, or to be worked on.
DEEP = [
  pytest.param('{"data":' * n + '0' + '}' * n, id=f'{n} deep')
  for n in (10**5, 600)
]


@pytest.mark.parametrize(
  'path',
  [
    *('gs://bucket/run1', 's3://a', 'http://a/b', 'file:///tmp/a'),
    str(pathlib.Path('gs://bucket/run1')),
  ],
)
def test_urls_are_refused(path):
  with pytest.raises(ValueError, match='--output is .*a URL.*docs/devices.md'):
    files.check_path('--output', path)
  with pytest.raises(ValueError, match='--workdir is'):
    folder.check_run(path, get())


def test_no_file_is_written_to_a_url(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ValueError, match="'gs://bucket/file', a URL"):
    files.write('gs://bucket/file', 'content')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['back\\slash', 'a[1]', 'a\udcff'])
def test_paths_that_orbax_reads_otherwise_are_refused(name, tmp_path):
  with pytest.raises(ValueError, match='--workdir is .* Give another one'):
    folder.check_run(str(tmp_path / name), get())
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['a b', 'é', 'a?b*c', 'a%20#', '{x}'])
def test_other_odd_paths_keep_checkpoints(name, tmp_path):
  start(tmp_path / name, save=[1])
  with checkpoints_of(str(tmp_path / name)) as checkpoints:
    assert checkpoints.restore({'x': np.zeros(2, int)})[0] == 1


def test_a_config_is_saved_and_loaded(tmp_path):
  workdir = str(tmp_path / 'a' / 'run')
  folder.save_config(workdir, get(seed=1))
  folder.save_config(workdir, get(seed=2))
  (path,) = (tmp_path / 'a' / 'run').iterdir()
  assert path.name == folder.CONFIG
  config = folder.load_config(workdir)
  assert config == get(seed=2) and config.is_locked


def test_a_folder_that_is_no_run_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=f'{tmp_path} is no run folder'):
    folder.load_config(str(tmp_path))


@pytest.mark.parametrize(
  'text',
  [
    *('', '{"seed": 0', 'seed = 0', '[]', '\xff', '{"task": "char_lm"}'),
    *('{"task": [], "data": {}}', '{"format": 99}', '{"data": 3}'),
    *('{"data": {}, "hypernetwork": 3}', *DEEP),
  ],
)
def test_a_config_file_that_cannot_be_used_is_named(text, tmp_path):
  path = tmp_path / folder.CONFIG
  path.write_text(text, encoding='latin-1')
  with pytest.raises(ValueError, match=re.escape(str(path))):
    folder.load_config(str(tmp_path))


def test_a_new_folder_and_the_same_config_pass_the_check(tmp_path):
  folder.check_run(str(tmp_path / 'new'), get())
  assert not (tmp_path / 'new').exists()
  folder.save_config(str(tmp_path), get())
  folder.check_run(str(tmp_path), get(train_steps=7, log_every_steps=3))


def test_another_config_is_refused_with_the_change(tmp_path):
  folder.save_config(str(tmp_path), get())
  changed = get(**{'data.batch_size': 8})
  with pytest.raises(ValueError, match=r'data.batch_size: \d+ -> 8\n') as error:
    folder.check_run(str(tmp_path), changed)
  assert str(tmp_path) in str(error.value)
  assert 'seed' not in str(error.value)


def test_each_start_is_a_line(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['train.py', '--config=a b', '--count=1'])
  start(tmp_path, save=[3])
  start(tmp_path)
  first, second = starts(tmp_path)
  assert (first['step'], second['step']) == (0, 3)
  assert first['command'] == "python train.py '--config=a b' --count=1"
  assert first['versions']['jax'] == jax.__version__
  assert first['data_dir'] == os.path.abspath('data')
  assert first['data'] == DATA


@pytest.mark.parametrize(
  'tail',
  [
    b'{"step": 1, "da',
    b'\xff\xfe\n',
    b'[]\n',
    pytest.param(b'[' * 10**5, id='deep'),
  ],
)
def test_a_damaged_line_of_the_starts_is_named_and_skipped(
  tail, tmp_path, caplog
):
  start(tmp_path, save=[1])
  (tmp_path / folder.RECORD).unlink()  # as in a folder of format 1
  path = tmp_path / folder.STARTS
  path.write_bytes(b'{"data": "a"}\n' + tail)
  with caplog.at_level(logging.WARNING, logger='absl'):
    start(tmp_path)
    start(tmp_path)
  assert f'{path}, line 2 is damaged' in caplog.text
  assert json.loads(path.read_bytes().splitlines()[-1])['step'] == 1


@pytest.mark.parametrize(
  'split, name', [('train', 'training'), (2 * ('validation',))]
)
def test_a_run_continues_only_with_the_data_it_began_with(
  split, name, tmp_path
):
  start(tmp_path, save=[1])
  start(tmp_path)
  before = (tmp_path / folder.RECORD).read_text()
  message = rf'other {name} data \({DATA[split]}\) .*now \(z\)'
  with pytest.raises(ValueError, match=message):
    start(tmp_path, DATA | {split: 'z'}, get(train_steps=9))
  assert (tmp_path / folder.RECORD).read_text() == before
  assert folder.load_config(str(tmp_path)) == get()
  start(tmp_path, DATA | {'test': 'c'})  # looked at for the first time
  with pytest.raises(ValueError, match=r'other test data \(c\)'):
    start(tmp_path, DATA | {'test': 'd'})


def test_data_of_another_content_are_named(tmp_path):
  config = importlib.import_module('configs.ptb_lstm').get_config().unlock()
  config.data.update(source='text', files=('a.txt', 'b.txt', 'c.txt'))
  start(tmp_path, config=config, save=[1])
  message = r'Their names: config.data.files=a.txt b.txt c.txt, config.data.sou'
  with pytest.raises(ValueError, match=message):
    start(tmp_path, DATA | {'train': 'z'}, config)


def test_a_run_without_a_record_is_accepted_and_gets_one(tmp_path, caplog):
  start(tmp_path, save=[1])
  folder.save(str(tmp_path), folder.VOCABULARY, '[1, 2]')
  (tmp_path / folder.RECORD).unlink()
  (tmp_path / folder.STARTS).write_text('{"step": 0, "data": "a"}\n')
  with pytest.raises(ValueError, match=r'other training data \(a\)'):
    start(tmp_path, DATA | {'train': 'z'})
  with caplog.at_level(logging.INFO, logger='absl'):
    start(tmp_path)
  assert 'begun by an earlier version' in caplog.text
  record = json.loads((tmp_path / folder.RECORD).read_text())
  assert record['data'] == DATA
  assert list(record['files']) == [folder.VOCABULARY]
  assert record['first_checkpoint'] == 1


@pytest.mark.parametrize(
  'damaged',
  [
    '{"data": {}',
    '{"data": [], "files": {}, "first_checkpoint": 1}',
    '{"data": {}, "files": 3, "first_checkpoint": 1}',
    '{"data": {}, "files": {}, "first_checkpoint": "1"}',
    *DEEP,
  ],
)
def test_a_damaged_record_is_named(damaged, tmp_path):
  start(tmp_path, save=[1])
  (tmp_path / folder.RECORD).write_text(damaged)
  with pytest.raises(ValueError, match=f'{folder.RECORD} is damaged'):
    start(tmp_path)


def test_a_lack_of_memory_is_no_damage_of_a_file(tmp_path):
  def parse(text):
    raise MemoryError

  start(tmp_path, save=[1])
  folder.save(str(tmp_path), folder.VOCABULARY, '[1, 2]')
  with pytest.raises(MemoryError):
    folder.read(str(tmp_path), folder.VOCABULARY, parse)


def test_a_run_of_format_1_that_lost_its_checkpoints_is_refused(tmp_path):
  start(tmp_path)
  (tmp_path / folder.RECORD).unlink()
  path = tmp_path / record.METRICS
  path.write_text('{"step": 2, "split": "train"}\n')
  folder.check_run(str(tmp_path), get())
  with path.open('a') as file:
    file.write('{"step": 4, "split": "validation"}\n{"ste')
  before = path.read_bytes()
  with pytest.raises(ValueError, match='had checkpoints, the first of step 4'):
    folder.check_run(str(tmp_path), get())
  assert path.read_bytes() == before


def test_a_new_run_that_fails_before_its_first_checkpoint_is_undone(tmp_path):
  with pytest.raises(FloatingPointError):
    start(tmp_path, fail=True)
  assert os.listdir(tmp_path) == []
  start(tmp_path, config=get(seed=3))
  with pytest.raises(FloatingPointError):
    start(tmp_path, config=get(seed=3), fail=True)  # resumed, so it stays
  assert folder.is_run(str(tmp_path))
  with pytest.raises(FloatingPointError):
    start(tmp_path / 'new', save=[1], fail=True)
  assert folder.is_run(str(tmp_path / 'new'))


def test_checkpoints_of_an_unknown_config_are_refused(tmp_path):
  start(tmp_path, save=[1])
  (tmp_path / folder.CONFIG).unlink()
  with pytest.raises(ValueError, match='has checkpoints, but no config.json'):
    start(tmp_path)


def test_checkpoints_that_are_gone_are_asked_for(tmp_path):
  start(tmp_path)  # as if killed before its first checkpoint
  start(tmp_path, save=[5, 6])
  start(tmp_path)
  os.rename(tmp_path / folder.CHECKPOINTS, tmp_path / 'away')
  with pytest.raises(ValueError, match='had checkpoints, the first of step 5'):
    start(tmp_path)
  os.rename(tmp_path / 'away', tmp_path / folder.CHECKPOINTS)
  start(tmp_path)


def test_metrics_of_an_earlier_run_are_renamed(tmp_path, caplog):
  for count in ('', '-2'):
    (tmp_path / folder.METRICS).write_text(f'{{"step": 1{count[1:]}}}\n')
    with (
      caplog.at_level(logging.WARNING, logger='absl'),
      contextlib.suppress(ValueError),
    ):
      start(tmp_path)
    assert f'renamed to {tmp_path}/{folder.METRICS}.old{count}' in caplog.text
    (tmp_path / folder.CONFIG).unlink()
  assert (tmp_path / f'{folder.METRICS}.old').read_text() == '{"step": 1}\n'


def test_curves_of_an_earlier_run_are_renamed(tmp_path):
  (tmp_path / folder.TENSORBOARD).mkdir()
  (tmp_path / folder.TENSORBOARD / 'events').touch()
  for _ in range(2):  # the second start resumes
    start(tmp_path)
    assert os.listdir(tmp_path / f'{folder.TENSORBOARD}.old') == ['events']
    (tmp_path / folder.TENSORBOARD).mkdir(exist_ok=True)
  assert (tmp_path / folder.TENSORBOARD).is_dir()


def test_scores_of_a_checkpoint_that_is_made_again_do_not_count(tmp_path):
  workdir = str(tmp_path)
  start(workdir, save=[5, 7])

  def scores(step):
    return [x['error'] for x in record.evaluations(workdir, step)]

  for step, error in ((5, 0.5), (7, 0.7)):
    line = {'checkpoint': step, 'split': 'test', 'error': error}
    record.note_evaluation(workdir, line)
  start(workdir)
  assert (scores(5), scores(7)) == ([0.5], [0.7])
  before = (tmp_path / record.EVALUATIONS).read_bytes()
  os.rename(tmp_path / 'checkpoints' / '7', tmp_path / 'checkpoints' / 'away')
  start(workdir, save=[7])
  assert (scores(5), scores(7)) == ([0.5], [])
  assert (tmp_path / record.EVALUATIONS).read_bytes().startswith(before)
  record.note_evaluation(workdir, line | {'error': 0.6})
  assert (scores(5), scores(7)) == ([0.5], [0.6])


def test_what_a_run_keeps_is_verified(tmp_path):
  workdir = str(tmp_path)
  folder.save(workdir, folder.NORMALISATION, '[1.0]')
  assert folder.read(workdir, folder.NORMALISATION, json.loads) is None
  start(tmp_path)
  assert folder.read(workdir, folder.NORMALISATION, json.loads) == [1.0]
  path = tmp_path / folder.NORMALISATION
  path.write_text('[1.2]')
  with pytest.raises(ValueError, match=f'{path} is not the file that the run'):
    folder.read(workdir, folder.NORMALISATION, json.loads)
  start(tmp_path)  # the changed file is not recorded
  with pytest.raises(ValueError, match=str(path)):
    folder.read(workdir, folder.NORMALISATION, json.loads)
  path.unlink()
  with pytest.raises(FileNotFoundError, match=f'no {folder.NORMALISATION}'):
    folder.read(workdir, folder.NORMALISATION, json.loads)


def test_what_an_old_run_keeps_is_taken_as_it_is(tmp_path, caplog):
  folder.save_config(str(tmp_path), get())
  folder.save(str(tmp_path), folder.VOCABULARY, '[1]')
  with caplog.at_level(logging.INFO, logger='absl'):
    assert folder.read(str(tmp_path), folder.VOCABULARY, json.loads) == [1]
  assert 'no checksum on record' in caplog.text
  (tmp_path / folder.VOCABULARY).write_text('[1')
  with pytest.raises(ValueError, match=f'{folder.VOCABULARY} is damaged'):
    folder.read(str(tmp_path), folder.VOCABULARY, json.loads)


def test_the_config_of_a_run_has_the_current_format(tmp_path):
  start(tmp_path)
  fields = json.loads((tmp_path / folder.CONFIG).read_text())
  assert fields['format'] == configuration.FORMAT
