"""How far a run is: a bar on a terminal, elsewhere lines in the log."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, SupportsFloat, TextIO, TypeVar

from absl import logging

from hyper.terminal import Bars, track

T = TypeVar('T')


class Progress:
  """Shows how far a run is: a bar on a terminal, elsewhere log lines.

  A line, and on a terminal the text beside the bar, looks like this:

    step 1,200/20,000  bpc 1.532  31,200 characters/s  12:03 left

  On a terminal, lines are logged only at evaluations, and the bar moves with
  every step.

  Args:
    total_steps: the last step of the run.
    start_step: the step that this part of the run starts from.
    unit: what `count` counts, such as 'characters'.
    selection: the score that is shown as the best, and 'min' or 'max'.
    best: its best value and the step of that; None if there is none yet.
    stream: shows the bar; None means standard error.
    clock: returns seconds.
    eval_every_steps: the steps from one evaluation to the next; 0 means that
      there is only one, at the end.
  """

  def __init__(
    self,
    total_steps: int,
    start_step: int,
    unit: str,
    selection: tuple[str, str],
    best: tuple[float, int] | None = None,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
    eval_every_steps: int = 0,
  ):
    self._total_steps, self._unit, self._clock = total_steps, unit, clock
    self._metric, self._mode = selection
    self._best = best
    self._last_step, self._last_time = start_step, clock()
    self._step_seconds: float | None = None
    self._eval_every_steps, self._eval_seconds = eval_every_steps, 0.0
    self._shown, self._eval_batches = '', 0
    self._bars = Bars(stream)
    self._bar = self._bars.add('', total_steps)

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *error: Any) -> None:
    self.close()

  def step(self, step: int) -> None:
    """Moves the bar to a step."""
    best = f'  best {self._best[0]:.4g}' if self._best else ''
    place = f'step {step:,}/{self._total_steps:,}'
    self._bars.move(self._bar, step, place, self._shown + best)

  def update(
    self, step: int, values: Mapping[str, float], count: SupportsFloat
  ) -> tuple[float, float]:
    """Shows a step with its scores, its speed, and the time left.

    The time left includes the evaluations that are due, each as long as the
    last one; before the first one their time is unknown and left out.

    Args:
      step: the number of steps taken.
      values: the scores to show, by name.
      count: units processed since the last update.

    Returns:
      Units per second and seconds per step since the last update.
    """
    now = self._clock()
    seconds, steps = max(now - self._last_time, 1e-9), step - self._last_step
    step_seconds = seconds / max(steps, 1)
    self._last_step, self._last_time = step, now
    speed = float(count) / seconds
    parts = [f'{name} {value:#.4g}' for name, value in values.items()]
    parts.append(f'{speed:,.{0 if speed >= 10 else 2}f} {self._unit}/s')
    if steps > 0:
      self._smooth(step_seconds)
    if self._step_seconds is not None:
      left = (self._total_steps - step) * self._step_seconds
      left += self._evaluations_from(step) * self._eval_seconds
      parts.append(f'{format_duration(left)} left')
    self._shown = '  '.join(parts)
    self.step(step)
    if not self._bars.is_shown:
      self._log_line()
    return speed, step_seconds

  def leave_out(self, seconds: float) -> None:
    """Excludes `seconds` since the last update from the time of steps."""
    self._last_time += seconds

  def watch(self, batches: Iterable[T]) -> Iterator[T]:
    """Yields the batches of an evaluation, and shows how far it is."""
    count = 0
    total, action = self._eval_batches, 'Validation, batches'
    for batch in track(batches, action, total, bars=self._bars):
      yield batch
      count += 1
    self._eval_batches = count

  def evaluated(
    self, step: int, scores: Mapping[str, float], seconds: float
  ) -> float:
    """Logs the scores of an evaluation, and returns the best so far.

    Its `seconds` are left out of speeds.
    """
    self.leave_out(seconds)
    self._eval_seconds = seconds
    if self._bars.is_shown and self._shown:
      self._log_line()
    value = scores[self._metric]
    note = self._compare(value, step)
    logging.info(
      *('validation at step %s: %s, %s (%.1f s)', f'{step:,}'),
      *(in_words(scores), note, seconds),
    )
    self.step(step)
    return self._best[0] if self._best else value

  def close(self) -> None:
    """Ends the bar, which stays on the screen."""
    self._bars.close()

  def _compare(self, value: float, step: int) -> str:
    """Returns in words how a score compares with the best before."""
    if self._best is not None:
      best, at = self._best
      if not (value < best if self._mode == 'min' else value > best):
        return f'best {best:.4g} at step {at:,}'
    self._best = value, step
    return 'the best so far'

  def _evaluations_from(self, step: int) -> int:
    """Returns how many evaluations are due from `step` on, it included.

    The metrics of a step are shown before its state is evaluated.
    """
    every = self._eval_every_steps or self._total_steps
    return -(-self._total_steps // every) - max(step - 1, 0) // every

  def _smooth(self, step_seconds: float) -> None:
    before = self._step_seconds
    if before is not None:
      step_seconds = before + 0.1 * (step_seconds - before)
    self._step_seconds = step_seconds

  def _log_line(self) -> None:
    place = f'step {self._last_step:,}/{self._total_steps:,}'
    logging.info('%s  %s', place, self._shown)


def in_words(scores: Mapping[str, float]) -> str:
  """Returns scores on one line.

  >>> in_words({'bpc': 1.25, 'loss': 100.0})
  'bpc 1.25  loss 100'
  """
  return '  '.join(f'{name} {value:.4g}' for name, value in scores.items())


def format_duration(seconds: float) -> str:
  """Returns a time such as 12:03 or, with hours, 1:12:03."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minutes:02}:{seconds:02}'
  return f'{minutes}:{seconds:02}'
