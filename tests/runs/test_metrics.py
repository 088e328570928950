"""Metrics of interrupted runs read as if uninterrupted; observers that fail."""

import errno
import json
import math
import os
import pathlib
import signal
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from hyper.runs import metrics
from hyper.runs.metrics import MetricsWriter


def run(
  workdir: pathlib.Path, start: int, stop: int, save_every: int = 10
) -> int:
  """Writes as a loop does until it is killed; returns the last saved step."""
  saved = start
  with MetricsWriter(workdir, start) as writer:
    for step in range(start, stop):
      if step > start and step % 5 == 0:
        writer.write(step, 'validation', {'bpc': 100.0 - step})
      if step % save_every == 0:
        saved = step
      writer.write(step + 1, 'train', {'bpc': 200.0 - step, 'loss': 1.0})
  return saved


def without_time(workdir: pathlib.Path) -> list[dict[str, object]]:
  lines = metrics.read(workdir)
  assert all(
    abs(line.pop('time') - os.stat(workdir).st_mtime) < 60 for line in lines
  )
  return lines


def test_reads_what_was_written(tmp_path):
  with MetricsWriter(tmp_path / 'new') as writer:
    writer.write(1, 'train', {'bpc': 1.5, 'lr': jnp.float32(0.25)})
    writer.write(np.int32(2), 'validation', {'bpc': np.float64(2.0)})
    assert len(metrics.read(tmp_path / 'new')) == 2  # at once, not at the end
  assert without_time(tmp_path / 'new') == [
    {'step': 1, 'split': 'train', 'bpc': 1.5, 'lr': 0.25},
    {'step': 2, 'split': 'validation', 'bpc': 2.0},
  ]


@pytest.mark.parametrize('killed_at', [3, 10, 14, 21, 29])
def test_a_resumed_run_reads_like_one_never_interrupted(tmp_path, killed_at):
  run(tmp_path / 'whole', 0, 30)
  saved = run(tmp_path / 'parts', 0, killed_at)
  with (tmp_path / 'parts' / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 99, "spl')
  run(tmp_path / 'parts', saved, 30)
  assert without_time(tmp_path / 'parts') == without_time(tmp_path / 'whole')


def test_lines_of_the_start_step_stay_and_are_not_repeated(tmp_path):
  with MetricsWriter(tmp_path) as writer:
    writer.write(5, 'train', {'bpc': 1.0})
    writer.write(5, 'validation', {'bpc': 2.0})
    writer.write(6, 'train', {'bpc': 3.0})
  with MetricsWriter(tmp_path, 5) as writer:
    writer.write(5, 'validation', {'bpc': 2.0})
    writer.write(5, 'validation', {'bleu': 9.0})
    writer.write(5, 'test', {'bpc': 2.0})
    writer.write(6, 'train', {'bpc': 3.0})
  assert [(line['step'], line['split']) for line in metrics.read(tmp_path)] == [
    (5, 'train'),
    (5, 'validation'),
    (5, 'validation'),
    (5, 'test'),
    (6, 'train'),
  ]


def test_kept_lines_are_kept_to_the_byte(tmp_path):
  run(tmp_path, 0, 20)
  path = tmp_path / 'metrics.jsonl'
  before = path.read_bytes()
  inode = path.stat().st_ino
  MetricsWriter(tmp_path, 20).close()
  assert path.read_bytes() == before
  assert path.stat().st_ino == inode  # nothing to drop, nothing rewritten
  MetricsWriter(tmp_path, 10).close()
  assert before.startswith(path.read_bytes())
  assert metrics.read(tmp_path)[-1]['step'] == 10
  assert os.listdir(tmp_path) == ['metrics.jsonl']


def test_a_last_line_without_its_end_is_completed(tmp_path):
  run(tmp_path, 0, 3)
  path = tmp_path / 'metrics.jsonl'
  path.write_bytes(path.read_bytes().removesuffix(b'\n'))
  assert len(metrics.read(tmp_path)) == 3
  run(tmp_path, 3, 4)
  assert [line['step'] for line in metrics.read(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
  'half', ['{"step": 9, "split": "tr', '3', 'nu', '\0\0']
)
def test_a_half_last_line_is_left_out(tmp_path, half):
  run(tmp_path, 0, 3)
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write(half)
  assert [line['step'] for line in metrics.read(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize(
  'broken', ['{"step": 2,', '[]', '{"step": "2"}', '', '{"step": 2, "time": 1}']
)
def test_a_broken_line_in_the_middle_is_named(tmp_path, broken):
  run(tmp_path, 0, 3)
  path = tmp_path / 'metrics.jsonl'
  lines = path.read_text().splitlines()
  lines[1] = broken
  path.write_text('\n'.join(lines) + '\n')
  before = path.read_bytes()
  for act in (metrics.read, MetricsWriter):
    with pytest.raises(ValueError, match=r'metrics\.jsonl, line 2 is broken'):
      act(tmp_path)
  assert path.read_bytes() == before


def test_nan_and_infinity_are_strict_json(tmp_path):
  values = {'a': math.nan, 'b': math.inf, 'c': jnp.float32(-jnp.inf), 'd': 1.0}
  with MetricsWriter(tmp_path) as writer:
    writer.write(1, 'train', values)

  def refuse(constant):
    raise AssertionError(constant)

  text = (tmp_path / 'metrics.jsonl').read_text()
  line = json.loads(text, parse_constant=refuse)
  assert [line[name] for name in 'abcd'] == [None, None, None, 1.0]
  (line,) = metrics.read(tmp_path)
  assert [math.isnan(line[name]) for name in 'abcd'] == [
    True,
    True,
    True,
    False,
  ]


@pytest.mark.parametrize('name', metrics.RESERVED)
def test_reserved_names_are_refused(tmp_path, name):
  with (
    MetricsWriter(tmp_path) as writer,
    pytest.raises(ValueError, match=name),
  ):
    writer.write(1, 'train', {name: 1.0})
  assert metrics.read(tmp_path) == []


def test_missing_metrics_are_an_error(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'metrics\.jsonl'):
    metrics.read(tmp_path)


def test_lines_survive_a_kill(tmp_path):
  code = """
import os, signal, sys
from hyper.runs.metrics import MetricsWriter
writer = MetricsWriter(sys.argv[1])
for step in range(1, 8):
  writer.write(step, 'train', {'bpc': 1.0})
os.kill(os.getpid(), signal.SIGKILL)
"""
  root = pathlib.Path(__file__).parents[2]
  status = subprocess.call(
    [sys.executable, '-c', code, str(tmp_path)], cwd=root
  )
  assert status == -signal.SIGKILL
  assert [line['step'] for line in metrics.read(tmp_path)] == list(range(1, 8))


class Disk:
  """A file on a disk with room for `free` more bytes."""

  def __init__(self, file, free):
    self.file, self.free = file, free

  def write(self, data):
    if not self.free:
      raise OSError(errno.ENOSPC, 'No space left on device')
    data = data[: self.free]
    self.free -= len(data)
    return self.file.write(data)

  def close(self):
    self.file.close()


def test_lines_that_a_full_disk_refuses_are_kept_until_a_save(tmp_path, caplog):
  with MetricsWriter(tmp_path) as writer:
    writer.write(1, 'train', {'bpc': 1.0})
    disk = writer._file = Disk(writer._file, 10)
    for step in (2, 3):
      writer.write(step, 'train', {'bpc': 1.0})
    assert [line['step'] for line in metrics.read(tmp_path)] == [1]
    with pytest.raises(OSError, match=r'No space left.*metrics\.jsonl'):
      writer.flush()
    disk.free = 10**6
    writer.flush()
    writer.write(4, 'train', {'bpc': 1.0})
    disk.free = 0
    writer.write(5, 'train', {'bpc': 1.0})
  assert [line['step'] for line in metrics.read(tmp_path)] == [1, 2, 3, 4]
  assert sum('No space left' in text for text in caplog.messages) == 1
