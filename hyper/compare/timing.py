"""Speed of a run, and the time that it has spent in training steps."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hyper.runs.metrics import SECONDS_PER_STEP

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

  A step takes the seconds that the next line of training says, in which
  evaluation, compilation, saving and interruptions do not count.

  A line of an earlier version says only the speed, and a step takes units /
  speed. The units of a step are the median of gap * speed / steps, where the
  gap in time and the steps are those from the line before to a line of
  training. No evaluation is in such a gap, since its line is written at its
  end; an interruption, or a checkpoint that was saved, can be.

  Without speeds, every step takes the median of gap / steps. Without lines of
  training, the gaps are those between evaluations.

  Args:
    lines: of metrics.jsonl.

  Returns:
    As many seconds as `lines`, which never fall; zeros if no gap is known.
  """
  known = known_seconds(lines)
  last = next(filter(None, reversed(known)), 0.0)
  following = itertools.accumulate(
    reversed(known), lambda after, own: own or after, initial=last
  )
  steps = itertools.pairwise([0, *(line['step'] for line in lines)])
  spent = (
    max(after - before, 0) * of_a_step
    for (before, after), of_a_step in zip(
      steps, [*following][:0:-1], strict=True
    )
  )
  return [*itertools.accumulate(spent)]


def known_seconds(lines: Sequence[Mapping[str, Any]]) -> list[float]:
  """Returns the seconds of a step at each line, 0 where they are unknown."""
  speeds = known_speeds(lines)
  units = units_of_a_step(lines, speeds)
  found = [units / speed if speed else 0.0 for speed in speeds]
  said = [line.get(SECONDS_PER_STEP, math.nan) for line in lines]
  return [x if x > 0 else y for x, y in zip(said, found, strict=True)]


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
