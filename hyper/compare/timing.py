"""Speed of a run, and the time that it has spent in training steps."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

ENDING = '_per_second'


def speed_of(lines: Sequence[Mapping[str, Any]]) -> tuple[str, float]:
  """Returns the unit that training counts, and its median number a second.

  Args:
    lines: of metrics.jsonl.
  """
  names = {x for line in lines for x in line if x.endswith(ENDING)}
  if not names:
    return '', 0.0
  name = min(names)
  found = statistics.median(line[name] for line in lines if name in line)
  return name.removesuffix(ENDING), found


def seconds(lines: Sequence[Mapping[str, Any]]) -> list[float]:
  """Returns the seconds spent in training steps up to each line.

  A step takes units / speed. The speed is that of the next line of training, in
  which evaluation, compilation, saving and interruptions do not count. The
  units of a step are the median of gap * speed / steps, where the gap in time
  and the steps are those from the line before to a line of training. No
  evaluation is in such a gap, since its line is written at its end.

  Without speeds, every step takes the median of gap / steps. Without lines of
  training, the gaps are those between evaluations.

  Args:
    lines: of metrics.jsonl.

  Returns:
    As many seconds as `lines`, which never fall; zeros if no gap is known.
  """
  known = known_speeds(lines)
  units = units_of_a_step(lines, known)
  last = next(filter(None, reversed(known)), 1.0)
  following = itertools.accumulate(
    reversed(known), lambda after, own: own or after, initial=last
  )
  speeds = [*following][:0:-1]
  steps = itertools.pairwise([0, *(line['step'] for line in lines)])
  spent = (
    max(after - before, 0) * units / speed
    for (before, after), speed in zip(steps, speeds, strict=True)
  )
  return [*itertools.accumulate(spent)]


def known_speeds(lines: Sequence[Mapping[str, Any]]) -> list[float]:
  """Returns the speed at each line, 0 where it is unknown.

  If it is unknown in all of them, it is 1 in those of training, or else in all.
  """
  name = speed_of(lines)[0] + ENDING
  found = [line.get(name, 0.0) for line in lines]
  if any(is_speed := [0 < x < math.inf for x in found]):
    return [x if y else 0.0 for x, y in zip(found, is_speed, strict=True)]
  trained = [float(line['split'] == 'train') for line in lines]
  return trained if any(trained) else [1.0] * len(lines)


def units_of_a_step(
  lines: Sequence[Mapping[str, Any]], speeds: Sequence[float]
) -> float:
  """Returns the median of gap * speed / steps; 0 if no gap is known."""
  found = []
  for (before, after), known in zip(
    itertools.pairwise(lines), speeds[1:], strict=True
  ):
    gap = after['time'] - before['time']
    steps = after['step'] - before['step']
    if min(gap, steps, known) > 0:
      found.append(gap * known / steps)
  return statistics.median_low(found) if found else 0.0
