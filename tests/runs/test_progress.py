"""The progress line."""

import io
import logging
import math

import numpy as np
import pytest
from absl import logging as absl_logging

from hyper.runs.progress import Progress


class Terminal(io.StringIO):
  """A terminal that shows what was written as a screen would."""

  def isatty(self) -> bool:
    return True

  def screen(self) -> list[str]:
    lines = ['']
    for part in self.getvalue().replace('\x1b[K', '').split('\n'):
      lines[-1] = part.rsplit('\r', 1)[-1]
      lines.append('')
    return lines[:-1]


class Clock:
  """Seconds, set by hand."""

  def __init__(self):
    self.now = 100.0

  def __call__(self) -> float:
    return self.now


@pytest.fixture(autouse=True)
def wide(monkeypatch):
  monkeypatch.setenv('COLUMNS', '100')


def test_progress_line(tmp_path):
  terminal, clock = Terminal(), Clock()
  progress = Progress(20_000, 1_000, 'characters', terminal, clock)
  clock.now += 60  # compilation
  assert progress.update(1_100, {'bpc': 2.0}, 3_000_000) == 50_000
  assert terminal.screen() == [
    'step 1,100/20,000  bpc 2.000  50,000 characters/s'
  ]
  clock.now += 4
  speed = progress.update(1_200, {'bpc': 1.5321, 'lr': 1e-4}, 124_800)
  assert speed == pytest.approx(31_200)
  assert terminal.screen() == [
    'step 1,200/20,000  bpc 1.532  lr 0.0001000  31,200 characters/s  '
    '12:32 left'
  ]
  clock.now += 8  # slower: 0.1 of the new, 0.9 of the old
  progress.update(1_300, {}, np.float32(10))
  assert terminal.screen() == [
    'step 1,300/20,000  1.25 characters/s  13:43 left'
  ]
  progress.close()
  assert terminal.getvalue().count('\n') == 1
  assert terminal.getvalue().endswith('left\x1b[K\n')


def test_progress_is_cut_to_the_terminal(monkeypatch):
  monkeypatch.setenv('COLUMNS', '20')
  terminal = Terminal()
  Progress(100, 0, 'images', terminal).update(1, {'accuracy': 0.5}, 10)
  assert terminal.screen() == ['step 1/100  accurac']


def test_messages_do_not_garble_the_line():
  terminal = Terminal()
  handler = absl_logging.get_absl_handler()
  printed = logging.StreamHandler(terminal)
  record = logging.LogRecord('absl', logging.INFO, '', 1, 'saved', None, None)
  with Progress(100, 0, 'images', terminal) as progress:
    progress.update(1, {'accuracy': 0.25}, 10)
    if handler.filter(record):
      printed.emit(record)
    progress.update(2, {}, 10)
    progress.clear()
    print('by hand', file=terminal)
    progress.clear()
    progress.update(3, {}, 10)
  assert [line.split('  ')[0] for line in terminal.screen()] == [
    'saved',
    'by hand',
    'step 3/100',
    '',
  ]
  assert 'accuracy 0.2500' in terminal.getvalue()
  progress_filters = len(handler.filters)
  Progress(100, 0, 'images', terminal).close()
  assert len(handler.filters) == progress_filters


def test_progress_is_logged_where_there_is_no_terminal(caplog):
  stream = io.StringIO()
  with (
    caplog.at_level(logging.INFO, logger='absl'),
    Progress(100, 0, 'images', stream) as progress,
  ):
    progress.update(50, {'accuracy': 0.5}, 10)
    progress.clear()
  assert stream.getvalue() == ''
  (message,) = caplog.messages
  assert message.startswith('step 50/100  accuracy 0.5000  ')


@pytest.mark.parametrize(
  ('seconds_a_step', 'shown'),
  [(0.1, '0:01'), (3.0, '0:30'), (359.94, '59:59'), (3_600, '10:00:00')],
)
def test_time_left(seconds_a_step, shown):
  terminal, clock = Terminal(), Clock()
  progress = Progress(12, 0, 'images', terminal, clock)
  for step in (1, 2):
    clock.now += seconds_a_step
    progress.update(step, {}, 1)
  assert terminal.screen()[0].endswith(f'  {shown} left')


def test_first_and_last_update(caplog):
  terminal, clock = Terminal(), Clock()
  with Progress(2, 2, 'images', terminal, clock) as progress:
    progress.update(2, {'bpc': math.nan}, 0)
  assert terminal.screen()[0] == 'step 2/2  bpc nan  0.00 images/s'


def test_a_pause_can_be_left_out_of_the_speed():
  clock = Clock()
  progress = Progress(100, 0, 'images', Terminal(), clock)
  clock.now += 3 + 50
  progress.leave_out(50.0)
  clock.now += 2
  assert progress.update(1, {}, 10) == 2
