"""How far a run is, on a terminal and in the log."""

import io
import math

import numpy as np
import pytest
from screen import terminal

from hyper import terminal as shown
from hyper.runs.progress import Progress

MIN = ('bpc', 'min')


class Clock:
  """Seconds, set by hand."""

  def __init__(self):
    self.now = 100.0

  def __call__(self) -> float:
    return self.now


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
  monkeypatch.setattr(shown, 'BAR_SECONDS', 0.0)
  monkeypatch.setenv('TERM', 'xterm')
  monkeypatch.setenv('COLUMNS', '100')


@pytest.fixture
def logged(caplog):
  """Yields the log from level INFO on."""
  with caplog.at_level('INFO', logger='absl'):
    yield caplog


def off_terminal(total, start, unit='images', clock=None, **more):
  clock = clock or Clock()
  stream = io.StringIO()
  return Progress(total, start, unit, MIN, stream=stream, clock=clock, **more)


def test_lines_of_the_log(logged):
  clock = Clock()
  progress = off_terminal(20_000, 1_000, 'characters', clock)
  clock.now += 4
  speeds = progress.update(1_100, {'bpc': 1.5321, 'lr': 1e-4}, 124_800)
  assert speeds == pytest.approx((31_200, 0.04))
  clock.now += 8  # slower: the average has 0.1 of the new, 0.9 of the old
  progress.update(1_200, {}, np.float32(10))
  progress.step(1_201)
  assert logged.messages == [
    'step 1,100/20,000  bpc 1.532  lr 0.0001000  31,200 characters/s  '
    '12:36 left',
    'step 1,200/20,000  1.25 characters/s  13:47 left',
  ]


@pytest.mark.parametrize(
  'seconds_a_step, left',
  [(0.1, '0:01'), (3.0, '0:30'), (359.94, '59:59'), (3_600, '10:00:00')],
)
def test_time_left(seconds_a_step, left, logged):
  clock = Clock()
  progress = off_terminal(11, 0, clock=clock)
  clock.now += seconds_a_step
  progress.update(1, {}, 1)
  assert logged.messages[0].endswith(f'  {left} left')


@pytest.mark.parametrize(
  'every, step, due', [(20, 20, 5), (20, 21, 4), (30, 60, 3), (0, 50, 1)]
)
def test_the_time_left_includes_evaluations(every, step, due, logged):
  clock = Clock()
  progress = off_terminal(100, 0, clock=clock, eval_every_steps=every)
  clock.now += 0.01 * step
  progress.update(step, {}, 1)
  assert logged.messages[0].split()[-2] in ('0:00', '0:01')  # not known yet
  for seconds in (900.0, 600.0):  # the first one was compiled, too
    clock.now += seconds
    progress.evaluated(step, {'bpc': 1.0}, seconds)
  progress.update(step, {}, 1)
  minutes, _ = logged.messages[-1].split()[-2].split(':')
  assert minutes == str(10 * due)


def test_an_update_without_steps(logged):
  off_terminal(2, 2).update(2, {'bpc': math.nan}, 0)
  assert logged.messages == ['step 2/2  bpc nan  0.00 images/s']


def test_a_pause_can_be_left_out_of_the_speed():
  clock = Clock()
  progress = off_terminal(100, 0, clock=clock)
  clock.now += 3 + 50
  progress.leave_out(50.0)
  clock.now += 2
  assert progress.update(1, {}, 10) == (2, 5)


@pytest.mark.parametrize(
  'mode, said',
  [
    ('min', ['best 1 at step 7', 'the best so far', 'best 0.5 at step 20']),
    ('max', ['the best so far', 'best 2 at step 10', 'the best so far']),
  ],
)
def test_the_best_so_far(mode, said, logged):
  progress = Progress(
    100, 0, 'x', ('bpc', mode), (1.0, 7), io.StringIO(), Clock()
  )
  for step, value in ((10, 2.0), (20, 0.5), (30, 3.0)):
    progress.evaluated(step, {'bpc': value}, 1.25)
  assert [line.split(', ')[-1] for line in logged.messages] == [
    f'{words} (1.2 s)' for words in said
  ]
  assert logged.messages[0].startswith('validation at step 10: bpc 2, ')


def test_the_bar_moves_and_evaluations_stay(logged):
  clock = Clock()
  with (
    terminal() as screen,
    Progress(200, 0, 'images', MIN, None, screen.stream, clock) as progress,
  ):
    clock.now += 4
    progress.update(50, {'bpc': 2.5}, 400)
    progress.step(60)
    assert logged.messages == []
    (line,) = screen.lines()
    assert line.startswith('step 60/200 ━')
    assert line.endswith('bpc 2.500  100 images/s  0:12 left')
    assert list(progress.watch('ab')) == ['a', 'b']
    assert [x for x in progress.watch('ab') if 'of 2' in screen.lines()[-1]]
    progress.evaluated(100, {'bpc': 2.25}, 3.0)
    progress.step(101)
    (line,) = filter(None, screen.lines())
    assert line.startswith('step 101/200 ━') and line.endswith('  best 2.25')
  assert logged.messages == [
    'step 50/200  bpc 2.500  100 images/s  0:12 left',
    'validation at step 100: bpc 2.25, the best so far (3.0 s)',
  ]
