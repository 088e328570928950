"""What a person sees of a study: a line on a terminal, lines in a file."""

import datetime
import io
import sys
import types

import pytest
from screen import terminal

from hyper.sweeping import progress
from hyper.sweeping.progress import Progress, Report, describe

START = datetime.datetime(2026, 1, 1)


@pytest.fixture
def at(monkeypatch):
  """Returns a function that sets the clock, in seconds after START."""

  def set_clock(seconds):
    now = START + datetime.timedelta(seconds=seconds)
    clock = types.SimpleNamespace(now=lambda: now)
    monkeypatch.setattr(
      progress, 'datetime', types.SimpleNamespace(datetime=clock)
    )

  return set_clock


def trial(state, seconds=0, value=None, number=0, begun=0):
  return types.SimpleNamespace(
    state=types.SimpleNamespace(name=state),
    duration=datetime.timedelta(seconds=seconds) if seconds else None,
    datetime_start=START + datetime.timedelta(seconds=begun),
    value=value,
    user_attrs={},
    number=number,
  )


@pytest.mark.parametrize(
  'running, waiting, unasked, slots, left',
  [
    ([], 2, 0, 1, '20:00'),
    ([], 0, 28, 2, '2:20:00'),  # of a search that suggests 28 more
    ([], 8, 0, 8, '10:00'),  # by one compiled step
    ([], 1, 0, 8, '10:00'),
    ([0], 0, 0, 1, '5:00'),  # after 300 of 600 seconds
    ([0, 100], 1, 0, 2, '10:50'),
    ([-900], 0, 0, 1, '0:00'),
    ([0, 0], 2, 0, 1, '15:00'),  # another command's worker has joined
    ([], 0, 0, 1, ''),
  ],
)
def test_the_time_left(at, running, waiting, unasked, slots, left):
  at(300)
  trials = [trial('COMPLETE', 700, 1.0), trial('PRUNED', 500)]
  trials += [trial('RUNNING', begun=begun) for begun in running]
  trials += [trial('WAITING')] * waiting
  report = describe(trials, unasked, slots, ('bpc', 'min'))
  assert report.left == left


@pytest.mark.parametrize('mode, best', [('min', '0000'), ('max', '0001')])
def test_what_a_report_says(mode, best):
  trials = [trial('COMPLETE', 6, 1.0 + k, k) for k in range(2)]
  report = describe([*trials, trial('FAIL')], 3, 1, ('bpc', mode))
  assert report.counts == '2 done, 1 failed, 3 waiting'
  assert report.best.endswith(f'in {best}')
  assert describe([], 0, 1, ('bpc', mode)) == Report('no trials', '', '')


def reports():
  counts = '12 running, 112 done, 13 pruned, 1 failed, 170 waiting'
  best = 'best log_perplexity 2.105 in 0011'
  return [Report(counts, best, left) for left in ('1:00:00', '59:59')]


def test_a_terminal_has_one_line_that_fits(monkeypatch):
  with terminal(80) as screen:
    monkeypatch.setattr(sys, 'stderr', screen.stream)
    shown = Progress()
    for report in reports():
      shown.show(report)
    line = '12 running, 112 done, 13 pruned, 1 failed, 170 waiting; 59:59 left'
    assert screen.lines() == [line]
    shown.say('saving')
    shown.show(Report('1 done', 'best bpc 2 in 0000', ''))
    shown.close()
    last = '1 done; best bpc 2 in 0000'
    assert screen.lines() == [line, 'saving', last, '']


def test_a_terminal_may_be_narrower_than_the_counts(monkeypatch):
  with terminal(20) as screen:
    monkeypatch.setattr(sys, 'stderr', screen.stream)
    Progress().show(reports()[0])
    assert screen.lines() == ['12 running, 112 don']


def test_a_file_has_a_line_for_each_change_of_a_trial(monkeypatch):
  monkeypatch.setattr(sys, 'stderr', io.StringIO())
  shown = Progress()
  for report in (*reports(), Report('113 done', '', '')):
    shown.show(report)
  shown.say('saving')
  shown.close()
  first, *rest = sys.stderr.getvalue().splitlines()
  assert first == reports()[0].line()
  assert rest == ['113 done', 'saving']


def test_a_terminal_that_is_gone_does_not_end_the_sweep(monkeypatch):
  with terminal() as screen:
    monkeypatch.setattr(sys, 'stderr', screen.stream)
    shown = Progress()
    with monkeypatch.context() as patch:
      patch.setattr(shown, '_stream', Gone())
      shown.show(reports()[0])


class Gone:
  """A terminal that has hung up."""

  def fileno(self):
    raise OSError('hung up')

  def write(self, text):
    raise OSError('hung up')
