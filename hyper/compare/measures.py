"""The score of a run that is shown, and the one that selects its checkpoint.

Of the paper's tasks both are in tables here, so that a comparison need not
import them, which takes seconds. Any other task says them itself.
"""

from hyper.paper import Measure

MEASURES = {  # by task, what the paper reports
  'char_lm': Measure('test', 'bpc', 'bpc'),
  'classify': Measure('test', 'error', '% error'),
  'handwriting': Measure('validation', 'nats', 'nats'),
  'translate': Measure('test', 'bleu', 'BLEU'),
}
SELECTIONS = {  # by task, as its class has them
  'char_lm': ('bpc', 'min'),
  'classify': ('error', 'min'),
  'handwriting': ('nats', 'min'),
  'translate': ('log_perplexity', 'min'),
}
DIGITS = {'bpc': 3, 'error': 2, 'nats': 0, 'bleu': 2, 'log_perplexity': 3}


def measure_of(task: str) -> Measure:
  """Returns what the paper reports of `task`, else what `task` reports.

  Raises:
    ValueError: there is no such task.
  """
  if task in MEASURES:
    return MEASURES[task]
  from hyper.tasks import find_task

  found = find_task(task)
  metric, _ = found.selection
  return Measure(found.reported_split, metric, metric.replace('_', ' '))


def selection_of(task: str) -> tuple[str, str]:
  """Returns the score that selects a checkpoint of `task`, and 'min' or 'max'.

  Raises:
    ValueError: there is no such task.
  """
  if task in SELECTIONS:
    return SELECTIONS[task]
  from hyper.tasks import find_task

  return find_task(task).selection


def label_of(metric: str) -> str:
  """Returns a metric as the name of an axis, with its unit.

  >>> label_of('error'), label_of('hit_rate')
  ('% error', 'hit rate')
  """
  units = {x.metric: x.unit for x in MEASURES.values()}
  return units.get(metric, metric.replace('_', ' '))


def digits_of(metric: str) -> int:
  """Returns how many decimals of `metric` are shown, the paper's or three."""
  return DIGITS.get(metric, 3)
