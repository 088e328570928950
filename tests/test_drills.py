"""The drills, each in its short form, and a quick test of each promise.

`python -m tests.drills` tries more.
"""

import pathlib

import pytest

from tests.drills.__main__ import CASES, drill

TESTS = pathlib.Path(__file__).parent
QUICK = {  # by case, a test of `make test` that checks its promise
  'kill': 'runs/test_metrics.py::test_lines_survive_a_kill',
  'stop': 'runs/test_loop.py::'
  'test_an_interrupted_run_ends_bit_for_bit_as_one_that_was_not',
  'full_disk': 'runs/test_checkpoint.py::'
  'test_a_full_disk_is_one_error_before_anything_is_written',
  'read_only': 'tasks/test_handwriting.py::'
  'test_scores_come_without_a_page_that_cannot_be_written',
  'no_handles': 'runs/test_checkpoint.py::'
  'test_too_few_file_handles_are_not_called_corruption',
  'checkpoints': 'runs/test_checkpoint.py::'
  'test_best_is_never_silently_another_one',
  'resumes': 'runs/test_checkpoint.py::'
  'test_resume_sets_a_corrupt_newest_one_aside',
  'strangers': 'runs/test_checkpoint.py::'
  'test_what_no_run_has_made_is_named_once_and_left_alone',
  'records': 'runs/test_folder.py::'
  'test_a_damaged_line_of_the_starts_is_named_and_skipped',
  'places': 'runs/test_folder.py::test_urls_are_refused',
  'machines': 'test_trained.py::test_parameters_are_read_whatever_the_rest_was',
}


@pytest.mark.parametrize('case', CASES)
def test_every_drill_has_a_quick_test(case):
  file, _, name = QUICK[case].partition('::')
  text = (TESTS / file).read_text(encoding='utf-8')
  before, found, _ = text.partition(f'def {name}(')
  assert found
  decorators = before.rpartition('\n\n')[2]
  assert 'slow' not in decorators


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_promise_is_broken():
  outcomes = drill(list(CASES), tries=1)
  assert {name for name, _ in outcomes} == set(CASES)
  broken = [x for x in outcomes if x[1].held is False]
  assert not broken
