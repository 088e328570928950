"""The trials of a study, in Optuna's journal, which is its only state.

A study is a folder with `journal.log` and the run folders of its trials in
`trials/`. A trial that is marked as running, although no process holds the lock
of its folder, was left by a worker that has ended. It is marked as failed, and
enqueued again with the attribute `folder`, so that it continues in its folder.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hyper.runs import checkpoint_files, folder, lock
from hyper.sweeping import parameters
from hyper.sweeping.parameters import Parameters
from hyper.sweeping.search import Search
from hyper.sweeping.space import Point

if TYPE_CHECKING:
  import optuna
  from optuna.distributions import BaseDistribution
  from optuna.trial import FrozenTrial, Trial
else:  # Optuna is imported where a study is opened
  BaseDistribution = FrozenTrial = Trial = Any

JOURNAL, LOCK, TRIALS = 'journal.log', '.lock', 'trials'
LOG = 'log.txt'  # in a trial's folder: what train.py would print
NAME = 'sweep'  # of the study in its journal
DEATHS = 3  # of workers at one step of a trial


class Study:
  """A folder of trials, which several processes may work on.

  Args:
    place: the folder; it is made if it is missing.
    search: how trials are chosen.
    mode: 'min' or 'max', of the score.
    prune: stop trials that are worse than the median of the others.
  """

  def __init__(self, place: str, search: Search, mode: str, prune: bool):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    self.place, self._search = place, search
    self._states = optuna.trial.TrialState
    os.makedirs(os.path.join(place, TRIALS), exist_ok=True)
    with self._alone():
      self._study = optuna.create_study(
        storage=storage(place),
        study_name=NAME,
        direction='minimize' if mode == 'min' else 'maximize',
        load_if_exists=True,
        sampler=make_sampler(search.name),
        pruner=make_pruner(prune),
      )

  def workdir(self, trial: Trial | FrozenTrial) -> str:
    """Returns the run folder of a trial."""
    return os.path.join(self.place, TRIALS, folder_of(trial))

  def latest(self) -> list[FrozenTrial]:
    """Returns the last trial of each run folder."""
    return latest(self._study)

  def add(self, points: Sequence[Point]) -> None:
    """Enqueues the points that the study does not have yet."""
    with self._alone():
      known = [point_of(t) for t in self.latest() if has_point(t)]
      keys = {point.key for point in known}
      given = parameters.vary([*points, *known])[: len(points)]
      ranges = parameters.distributions(given)
      for point, values in zip(points, given, strict=True):
        if point.key not in keys:
          self._enqueue(attributes(point), values, ranges)

  @contextlib.contextmanager
  def take(self) -> Iterator[Trial | None]:
    """Yields the next trial, with its run folder locked; None if none is left.

    Trials whose workers have ended are enqueued again first.
    """
    with contextlib.ExitStack() as held:
      with self._alone():
        self._take_up()
        trial = self._study.ask() if self._has_more() else None
        if trial:
          held.enter_context(lock.hold(self.workdir(trial)))
          trial.set_user_attr('folder', folder_of(trial))
          trial.set_user_attr('step', last_step(self.workdir(trial)))
      yield trial

  def point(self, trial: Trial) -> Point:
    """Returns the point of a taken trial; suggests it if there is none."""
    if has_point(trial):
      return point_of(trial)
    point = self._search.suggest(trial)
    for name, value in attributes(point).items():
      trial.set_user_attr(name, value)
    return point

  def complete(self, trial: Trial, score: float) -> None:
    """Records that a trial has all its steps."""
    self._study.tell(trial, score)

  def prune(self, trial: Trial) -> None:
    """Records that a trial was stopped because it was worse than others."""
    self._study.tell(trial, state=self._states.PRUNED)

  def leave(self, trial: Trial) -> None:
    """Records that a trial was interrupted, which counts as no worker's death.

    A trial whose end is recorded stays as it is.
    """
    trials = self._study.get_trials(deepcopy=False)
    if not trials[trial.number].state.is_finished():
      trial.set_user_attr('step', None)

  def fail(self, trial: Trial, error: str) -> None:
    """Records the error of a trial."""
    trial.set_user_attr('error', error)
    self._study.tell(trial, state=self._states.FAIL)

  def unasked(self) -> int:
    """Returns the number of trials that are yet to be suggested."""
    if self._search.name == 'grid':
      return 0
    return max(self._search.limit - len(self.latest()), 0)

  def _has_more(self) -> bool:
    waiting = (self._states.WAITING,)
    if self._study.get_trials(deepcopy=False, states=waiting):
      return True
    return self.unasked() > 0

  def _take_up(self) -> None:
    for trial in self.latest():
      if trial.state.name == 'RUNNING' and not lock.is_held(
        self.workdir(trial)
      ):
        self._enqueue_again(trial)

  def _enqueue_again(self, trial: FrozenTrial) -> None:
    import optuna

    workdir, name = self.workdir(trial), folder_of(trial)
    step = last_step(workdir)
    deaths = [
      t
      for t in self._study.get_trials(deepcopy=False)
      if folder_of(t) == name and t.user_attrs.get('step') == step
    ]
    is_lost = len(deaths) >= DEATHS
    ended = optuna.trial.Trial(self._study, trial._trial_id)
    self.fail(
      ended,
      f'{DEATHS} workers have ended at step {step}'
      if is_lost
      else 'its worker has ended',
    )
    if is_lost:
      return
    point = attributes(point_of(trial)) if has_point(trial) else {}
    again = {'folder': name, **point}
    self._enqueue(again, trial.params, trial.distributions)

  def _enqueue(
    self,
    attributes: dict[str, Any],
    values: Parameters,
    ranges: Mapping[str, BaseDistribution],
  ) -> None:
    """Adds a trial whose parameters already have their values."""
    import optuna

    waiting = optuna.create_trial(
      state=self._states.WAITING,
      params=dict(values),
      distributions={name: ranges[name] for name in values},
      user_attrs=attributes,
    )
    self._study.add_trial(waiting)

  @contextlib.contextmanager
  def _alone(self) -> Iterator[None]:
    """Keeps other processes from changing the study."""
    import fcntl  # see hyper.runs.lock

    path = os.path.join(self.place, LOCK)
    with open(path, 'a', encoding='utf-8') as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      yield


def storage(place: str) -> Any:
  """Returns the journal in a study's folder, for Optuna."""
  from optuna.storages import JournalStorage
  from optuna.storages.journal import JournalFileBackend

  return JournalStorage(JournalFileBackend(os.path.join(place, JOURNAL)))


def load(place: str) -> 'optuna.Study':
  """Returns the study in a folder, to read it.

  Raises:
    ValueError: its journal has no study.
  """
  import optuna

  try:
    return optuna.load_study(study_name=NAME, storage=storage(place))
  except KeyError as error:
    raise ValueError(
      f'{os.path.join(place, JOURNAL)} has no study of hyper.sweep.'
    ) from error


def latest(study: 'optuna.Study') -> 'list[FrozenTrial]':
  """Returns the last trial of each run folder of a study."""
  trials = study.get_trials(deepcopy=False)
  return list({folder_of(trial): trial for trial in trials}.values())


def examples(search: Search, count: int) -> list[Point]:
  """Returns points that a search suggests without knowing any score."""
  import optuna

  optuna.logging.set_verbosity(optuna.logging.WARNING)
  study = optuna.create_study(sampler=make_sampler('random'))
  return [search.suggest(study.ask()) for _ in range(count)]


def make_sampler(search: str) -> Any:
  """Returns Optuna's sampler of a search; that of a grid is never asked."""
  from optuna.samplers import RandomSampler, TPESampler

  return TPESampler() if search == 'tpe' else RandomSampler()


def make_pruner(prune: bool) -> Any:
  """Returns Optuna's median pruner, or the one that never prunes."""
  from optuna.pruners import MedianPruner, NopPruner

  return MedianPruner(n_startup_trials=4) if prune else NopPruner()


def folder_of(trial: Trial | FrozenTrial) -> str:
  """Returns the name of a trial's run folder."""
  return trial.user_attrs.get('folder', f'{trial.number:04}')


def last_step(workdir: str) -> int:
  """Returns the step of a run's last checkpoint; 0 if there is none."""
  place = pathlib.Path(workdir, folder.CHECKPOINTS)
  return max(checkpoint_files.saved_steps(place), default=0)


def has_point(trial: Trial | FrozenTrial) -> bool:
  """Returns whether config and fields of a trial are known."""
  return 'config' in trial.user_attrs


def point_of(trial: Trial | FrozenTrial) -> Point:
  """Returns the point that `attributes` was called with."""
  return Point(trial.user_attrs['config'], trial.user_attrs['fields'])


def attributes(point: Point) -> dict[str, Any]:
  """Returns a point as attributes of a trial."""
  return {'config': point.config, 'fields': dict(point.fields)}
