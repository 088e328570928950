"""Progress while data are prepared: lines now and then, the items unchanged."""

import itertools

from hyper.data import progress


def test_a_line_every_few_seconds(monkeypatch, caplog):
  clock = itertools.count(step=2)
  monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
  with caplog.at_level('INFO', logger='absl'):
    items = list(progress.logged('abcdefg', 'Reading', 7))
    assert items == list('abcdefg')
    assert list(progress.logged([[1] * 5] * 3, 'Sorting', size=len))
  assert [record.getMessage() for record in caplog.records] == [
    'Reading: 3 of 7, 6 s',
    'Reading: 6 of 7, 12 s',
    'Sorting: 15, 6 s',
  ]
