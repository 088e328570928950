"""Log lines and bars, as they look on a pseudo-terminal and elsewhere."""

import io
import itertools
import logging as standard
import re
import sys

import pytest
from absl import logging
from screen import terminal

from hyper import terminal as shown
from hyper.terminal import Bars, Brief, track


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
  monkeypatch.setattr(shown, 'BAR_SECONDS', 0.0)
  monkeypatch.setenv('TERM', 'xterm')
  monkeypatch.setenv('COLUMNS', '60')
  logging.set_verbosity(logging.INFO)


@pytest.fixture
def screen():
  """Yields a terminal to which absl's log is written."""
  handler = logging.get_absl_handler()
  before = handler.python_handler.stream, handler.python_handler.formatter
  with terminal() as screen:
    handler.python_handler.setStream(screen.stream)
    handler.setFormatter(Brief(colour=False))
    standard.root.addHandler(handler)
    yield screen
    standard.root.removeHandler(handler)
    handler.python_handler.setStream(before[0])
    handler.setFormatter(before[1])


def record(level, text):
  return standard.LogRecord('absl', level, '', 1, text, None, None)


def test_a_line_of_the_log_is_short():
  brief = Brief(colour=False)
  line = brief.format(record(standard.INFO, 'saved'))
  assert re.fullmatch(r'\d\d:\d\d:\d\d saved', line)
  line = brief.format(record(standard.WARNING, 'the disk is full'))
  assert re.fullmatch(r'\d\d:\d\d:\d\d warning: the disk is full', line)
  assert '\x1b' not in line


@pytest.mark.parametrize(
  'level, code', [(standard.WARNING, '33'), (standard.ERROR, '31')]
)
def test_only_warnings_and_errors_have_a_colour(level, code):
  brief = Brief(colour=True)
  assert '\x1b' not in brief.format(record(standard.INFO, 'saved'))
  line = brief.format(record(level, 'x'))
  assert line.startswith(f'\x1b[{code}m') and line.endswith('\x1b[0m')


@pytest.mark.parametrize('no_colour', ['', '1'])
def test_a_command_logs_briefly(no_colour, monkeypatch):
  handler, jax = logging.get_absl_handler(), standard.getLogger('jax')
  before, level = handler.python_handler.formatter, jax.level
  with terminal() as screen:
    monkeypatch.setattr(sys, 'stderr', screen.stream)
    monkeypatch.setenv('NO_COLOR', no_colour)
    shown.log_briefly()
    line = handler.format(record(standard.ERROR, 'x'))
    assert ('\x1b' in line) == (not no_colour)
    assert not jax.isEnabledFor(standard.INFO)  # it logs that there is no TPU
  handler.setFormatter(before)
  jax.setLevel(level)


def test_the_log_stays_above_the_bars(screen):
  before = sys.stderr
  with Bars(screen.stream) as bars:
    one, other = bars.add('one', 10), bars.add('[two]')
    bars.move(one, 5, 'one', 'half of it')
    logging.info('the first line')
    bars.move(other, 3, '[two]', 'of any number')
    logging.info('the second line')
    print('a line of another program', file=sys.stderr)
    bars.remove(other)
    bars.move(one, 10, 'one', 'all of it')
  *rest, line, after = screen.lines()
  assert after == ''
  assert re.fullmatch('one ━+ all of it', line)
  assert len(line) == 60
  assert [x.split(' ', 1)[-1] for x in rest[-3:]] == [
    *('the first line', 'the second line', 'line of another program')
  ]
  assert sys.stderr is before
  assert logging.get_absl_handler().python_handler.stream is screen.stream


def test_bars_fit_a_narrow_terminal(screen, monkeypatch):
  monkeypatch.setenv('COLUMNS', '30')
  with Bars(screen.stream) as bars:
    bar = bars.add('step 1/2', 2)
    bars.move(bar, 1, 'step 1/2', 'bpc 1.234  12,345 characters/s  0:12 left')
  line, after = screen.lines()
  assert 'bpc 1.234' in line and len(line) <= 30
  assert after == ''


def test_short_work_has_no_bars(screen, monkeypatch):
  monkeypatch.setattr(shown, 'BAR_SECONDS', 60.0)
  with Bars(screen.stream) as bars:
    bars.move(bars.add('one', 10), 5, 'one', 'half')
  assert screen.raw() == ''


@pytest.mark.parametrize('kind', ['dumb', ''])
def test_a_terminal_without_control_codes_has_no_bars(kind, monkeypatch):
  monkeypatch.setenv('TERM', kind)
  with terminal() as screen, Bars(screen.stream) as bars:
    assert not bars.is_shown
    bars.move(bars.add('one', 10), 5, 'one', 'half')
    assert screen.raw() == ''


def test_a_file_has_no_bars():
  stream = io.StringIO()
  with Bars(stream) as bars:
    bar = bars.add('one', 10)
    bars.move(bar, 5, 'one', 'half')
    bars.remove(bar)
  assert stream.getvalue() == ''


class Broken(io.StringIO):
  """A terminal that fails after a few writes."""

  def __init__(self, sound):
    super().__init__()
    self.left = sound

  def isatty(self):
    return True

  def write(self, text):
    self.left -= 1
    if self.left < 0:
      raise OSError(5, 'Input/output error')
    return super().write(text)


@pytest.mark.parametrize('sound', range(6))
def test_a_terminal_that_fails_ends_the_bars_alone(sound, caplog):
  before = sys.stderr, logging.get_absl_handler().python_handler.stream
  with (
    caplog.at_level('WARNING', logger='absl'),
    Bars(Broken(sound)) as bars,
  ):
    bar = bars.add('one', 10)
    for k in range(10):
      bars.move(bar, k, 'one', '')
    bars.remove(bar)
    assert not bars.is_shown
  (message,) = caplog.messages
  assert 'Input/output error' in message
  assert sys.stderr is before[0]
  assert logging.get_absl_handler().python_handler.stream is before[1]


def test_items_are_tracked_by_a_line_every_few_seconds(monkeypatch, caplog):
  clock = itertools.count(step=1)
  monkeypatch.setattr(shown.time, 'monotonic', lambda: next(clock))
  with caplog.at_level('INFO', logger='absl'):
    bars = Bars(io.StringIO())
    items = list(track('abcdefghijkl', 'Reading', 12, bars=bars))
    assert items == list('abcdefghijkl')
    assert list(track([[1] * 5] * 6, 'Sorting', size=len, bars=bars))
  assert caplog.messages == [
    'Reading: 5 of 12, 5 s',
    'Reading: 10 of 12, 10 s',
    'Sorting: 25, 5 s',
  ]


def test_items_are_tracked_by_a_bar(screen):
  with Bars(screen.stream) as bars:
    for item in track('abc', 'Reading', 3, bars=bars):
      if item == 'c':
        assert re.fullmatch('Reading ━+[╸╺]?━* 2 of 3', screen.lines()[-1])
  assert not any('Reading' in line for line in screen.lines())


def test_an_item_that_fails_leaves_no_bar(screen, monkeypatch):
  monkeypatch.setattr(sys, 'stderr', screen.stream)
  with pytest.raises(ValueError):
    for item in track('abc', 'Reading', 3):
      if item == 'c':
        raise ValueError
  assert sys.stderr is screen.stream
  assert not any('Reading' in line for line in screen.lines())
