"""The hardware that a run was trained on."""

from collections.abc import Mapping, Sequence
from typing import Any


def kinds_of(starts: Sequence[Mapping[str, Any]], steps: int) -> list[str]:
  """Returns each kind of hardware that a run has steps of, the first one first.

  Args:
    starts: the lines of starts.jsonl. The steps of a start count from its own
      step to the least one of later starts.
    steps: the number of steps taken. If there are none, the last start counts.

  >>> tpu, cpu = {'devices': 'TPU v4 (tpu)'}, {'devices': 'cpu (cpu)'}
  >>> kinds_of([tpu | {'step': 0}, cpu | {'step': 10}], 30)
  ['TPU v4 (tpu)', 'cpu (cpu)']
  >>> kinds_of([tpu | {'step': 0}, cpu | {'step': 0}], 30)
  ['cpu (cpu)']
  """
  kept: list[Mapping[str, Any]] = []
  end = steps
  for start in reversed(starts):
    begin = start.get('step')
    if not isinstance(begin, int):
      kept.insert(0, start)
    elif begin < end:
      kept.insert(0, start)
      end = begin
  found = map(describe, kept or starts[-1:])
  return list(dict.fromkeys(filter(None, found)))


def describe(start: Mapping[str, Any]) -> str:
  """Returns the hardware of a start; '' if unknown.

  >>> describe({'devices': 'cpu (cpu)', 'cores': 1})
  'cpu (cpu), 1 core'
  """
  devices, cores = start.get('devices'), start.get('cores')
  if not isinstance(devices, str):
    return ''
  if not cores or '(cpu)' not in devices:
    return devices
  return f'{devices}, {cores} core' + 's' * (cores != 1)
