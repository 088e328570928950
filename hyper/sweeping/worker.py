"""A worker: trains trials, one or several at a time; keeps compiled steps."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence

from absl import logging

from hyper.runs import loop, memory, metrics, vectorised
from hyper.runs.compiled import CompiledCache
from hyper.runs.log import Interruption
from hyper.runs.task import MakeTask
from hyper.runs.trackers import Track
from hyper.runs.vectorised import Given, Outcome
from hyper.sweeping.journal import LOG, Study, Trial
from hyper.sweeping.progress import working_time
from hyper.terminal import errors_to

STRUCTURES = 4  # the most structures whose compiled steps are kept


class Watch:
  """Tells Optuna the scores of a trial, and learns when to stop.

  Attributes:
    pruned: True once the trial is to be stopped.
  """

  def __init__(self, trial: Trial, metric: str, last_step: int):
    self._trial, self._metric, self._last_step = trial, metric, last_step
    self._seen: set[int] = set()
    self.pruned = False

  def __call__(self, step: int, scores: dict[str, float]) -> bool:
    """Reports the scores of a step once; returns whether to stop there."""
    if step not in self._seen:
      self._trial.report(scores[self._metric], step)
      self._seen.add(step)
    is_last = step >= self._last_step
    self.pruned = not is_last and bool(self._trial.should_prune())
    return self.pruned


class Worker:
  """Trains the trials of a study in this process.

  Args:
    study: the trials, which other processes may work on, too.
    make_task: as for `loop.train`.
    selection: of the task, the score and 'min' or 'max'.
    data_dir: of the data sets.
    finish: called with the run folder of each trial that has all its steps.
    together: the most trials that are trained by one compiled step.
    trackers: as in `loop.train`, for each trial.
  """

  def __init__(
    self,
    study: Study,
    make_task: MakeTask,
    selection: tuple[str, str],
    data_dir: str,
    finish: Callable[[str], None] = lambda workdir: None,
    together: int = 1,
    trackers: Sequence[Track] = (),
  ):
    self._study, self._make_task, self._data_dir = study, make_task, data_dir
    self._metric, self._mode = selection
    self._finish, self._together = finish, together
    self._trackers = trackers
    self._kept = CompiledCache(STRUCTURES)

  def work(self) -> int:
    """Trains until no trial is left, or until a signal.

    Returns:
      0, or 128 plus the signal's number; the trials can then be resumed.
    """
    status = 0
    while not status:
      with contextlib.ExitStack() as held:
        trials = self._take(held)
        if not trials:
          return 0
        status = self._train(trials)
    return status

  def _take(self, held: contextlib.ExitStack) -> list[Trial]:
    """Returns the next trials, whose folders `held` keeps locked."""
    trials: list[Trial] = []
    while len(trials) < self._together:
      trial = held.enter_context(self._study.take())
      if trial is None:
        break
      trials.append(trial)
    return trials

  def _train(self, trials: Sequence[Trial]) -> int:
    """Trains trials and records how each ended; returns a signal's status."""
    begun: list[tuple[Trial, Watch, Given]] = []
    interruption, status = Interruption(), 0
    try:
      for trial in trials:
        with self._guarded(trial):
          begun.append((trial, *self._begin(trial)))
      given = [one for *_, one in begun]
      outcomes = vectorised.run(
        *(self._make_task, given, self._data_dir, self._kept),
        interruption,
      )
      for (trial, watch, _), outcome in zip(begun, outcomes, strict=True):
        with self._guarded(trial):
          self._end(trial, watch, outcome)
    except KeyboardInterrupt:  # outside the loop, which saves
      status = 128 + signal.SIGINT
    if interruption.number:  # perhaps in the last step of all these trials
      status = 128 + interruption.number
    for trial in trials if status else ():
      self._study.leave(trial)
    return status

  @contextlib.contextmanager
  def _guarded(self, trial: Trial) -> Iterator[None]:
    """Writes to the log of a trial; an error makes the trial fail."""
    with self._logged(trial):
      try:
        yield
      except Exception as error:  # other trials may be sound
        os.write(2, traceback.format_exc().encode())
        self._study.fail(trial, f'{type(error).__name__}: {error}')

  def _logged(self, trial: Trial) -> contextlib.AbstractContextManager[None]:
    return written_to(os.path.join(self._study.workdir(trial), LOG))

  def _begin(self, trial: Trial) -> tuple[Watch, Given]:
    """Returns the watch over a trial, and the run to train."""
    workdir, point = self._study.workdir(trial), self._study.point(trial)
    config = point.make()
    loop.check(config, workdir, self._data_dir)
    watch = Watch(trial, self._metric, config.train_steps)
    for step, score in self._scores(workdir):
      watch(step, {self._metric: score})
    command = point.command(workdir, self._data_dir)

    @contextlib.contextmanager
    def around() -> Iterator[None]:
      with self._logged(trial), called_by(command):
        yield

    return watch, Given(config, workdir, watch, around, self._trackers)

  def _end(self, trial: Trial, watch: Watch, outcome: Outcome) -> None:
    """Records how a trial ended, unless a signal has interrupted it."""
    if isinstance(outcome, Exception):
      raise outcome
    if outcome:
      return
    if watch.pruned:
      self._study.prune(trial)
      return
    workdir = self._study.workdir(trial)
    with memory.explained():
      self._finish(workdir)
    best = min if self._mode == 'min' else max
    self._study.complete(trial, best(x for _, x in self._scores(workdir)))

  def _scores(self, workdir: str) -> list[tuple[int, float]]:
    """Returns step and score of each evaluation in a run folder."""
    try:
      lines = metrics.read(workdir)
    except FileNotFoundError:
      return []
    evaluations = [x for x in lines if x['split'] == 'validation']
    return [(line['step'], line[self._metric]) for line in evaluations]


def obey(time_limit: float) -> None:
  """Makes signals, and the end of a time limit, interrupt this process.

  The training loop then saves and ends; elsewhere KeyboardInterrupt is raised.

  Args:
    time_limit: the seconds after which this process has exited; 0 is none.
  """
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
  signal.setitimer(signal.ITIMER_REAL, working_time(time_limit))


@contextlib.contextmanager
def written_to(path: str) -> Iterator[None]:
  """Appends the log, and what `errors_to` redirects, to a file."""
  verbosity = logging.get_verbosity()
  with open(path, 'ab', buffering=0) as file, errors_to(file):
    logging.set_verbosity(logging.INFO)
    try:
      yield
    finally:
      logging.set_verbosity(verbosity)


@contextlib.contextmanager
def called_by(command: list[str]) -> Iterator[None]:
  """Sets the command of this process, so that the run records it."""
  before, sys.argv = sys.argv, command[1:]
  try:
    yield
  finally:
    sys.argv = before
