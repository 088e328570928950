"""The drills, each in its short form; `python -m tests.drills` tries more."""

import pytest

from tests.drills.__main__ import CASES, drill


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_promise_is_broken():
  outcomes = drill(list(CASES), tries=1)
  assert {name for name, _ in outcomes} == set(CASES)
  broken = [x for x in outcomes if x[1].held is False]
  assert not broken
