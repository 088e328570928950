"""Several runs trained by one compiled step, each in its own run folder.

Runs of one structure (see `hyper.runs.numbers`) that are at the same step are
rows of one stacked state: the step is mapped over states, batches, keys and
numbers. Each run keeps its own folder, log, checkpoints and scores, and what
happens at a step is that of `loop.Loop`. A run that ends, by an error or
because it is told to, leaves the others alone.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from hyper.runs import loop, memory, opening, training
from hyper.runs.compiled import CompiledCache, step_numbers
from hyper.runs.log import Interruption
from hyper.runs.loop import Due, Loop, Observe
from hyper.runs.opening import Opened
from hyper.runs.task import MakeTask
from hyper.runs.trackers import Track

Outcome = int | Exception  # the exit status of a run, or its error


@dataclasses.dataclass(frozen=True)
class Given:
  """A run that is to be trained; this process holds its folder.

  Attributes:
    config: of the run; `loop.check` has passed.
    workdir: the run folder.
    observe: as in `loop.run`.
    around: a context for what is done for this run alone, such as its log.
    trackers: as in `loop.run`.
  """

  config: ConfigDict
  workdir: str
  observe: Observe
  around: Callable[[], contextlib.AbstractContextManager[None]]
  trackers: Sequence[Track] = ()


def run(
  make_task: MakeTask,
  given: Sequence[Given],
  data_dir: str,
  kept: CompiledCache,
  interruption: Interruption,
) -> list[Outcome]:
  """Trains runs, together where possible, and returns how each ended.

  A signal saves and ends all of them; see `loop.train`. One that comes in the
  last step of a run leaves its outcome 0, so look at `interruption`, too.

  Args:
    make_task: as in `loop.train`.
    given: the runs.
    data_dir: of the data sets.
    kept: compiled functions of earlier runs; those of these runs are added.
    interruption: notes signals while the runs train; it is entered here.
  """
  members = [Member(one) for one in given]
  with contextlib.ExitStack() as stack:
    for member in members:
      stack.push(member.stack)
      member.open(make_task, data_dir, kept)
    found = groups(members)
    if len(members) > 1:
      logging.info('%s', describe([len(group) for group in found]))
    with interruption:
      for group in found:
        if interruption.number:
          break
        train(group, interruption)
  return [
    128 + interruption.number if member.outcome is None else member.outcome
    for member in members
  ]


class Member:
  """A run among others.

  Attributes:
    given: what is to be trained.
    stack: the contexts that the run is in.
    opened: the run, once it is open.
    loop: its loop, once it has begun.
    outcome: None until the run has ended.
  """

  opened: Opened
  loop: Loop

  def __init__(self, given: Given):
    self.given, self.stack = given, contextlib.ExitStack()
    self.outcome: Outcome | None = None

  @contextlib.contextmanager
  def alone(self) -> Iterator[None]:
    """Encloses what is done for this run; an error ends it, and no other."""
    try:
      with self.given.around(), memory.explained():
        yield
    except Exception as error:
      self.fail(error)

  def fail(self, error: Exception) -> None:
    """Ends the run with an error."""
    try:
      with self.given.around(), self.stack:
        raise error
    except Exception as raised:
      self.outcome = raised

  def open(
    self, make_task: MakeTask, data_dir: str, kept: CompiledCache
  ) -> None:
    """Opens the run, see `opening.opened`."""
    config, workdir = self.given.config, self.given.workdir
    with self.alone():
      self.opened = self.stack.enter_context(
        opening.opened(make_task, config, workdir, data_dir, kept)
      )

  def begin(self, interruption: Interruption, count: int) -> None:
    """Claims the folder of the run, which is one of `count`."""
    with self.alone():
      logging.info('One of %d runs that train together.', count)
      self.loop = self.stack.enter_context(
        loop.begun(
          *(self.opened, interruption, self.given.observe),
          trackers=self.given.trackers,
        )
      )

  def end(self, step: int, seconds: float, interruption: Interruption) -> None:
    """Ends the run at a step that is saved."""
    with self.alone():
      self.stack.close()
      self.outcome = loop.ended(self.opened, step, seconds, interruption)

  def finish(self, interruption: Interruption) -> None:
    """Trains the run on its own."""
    with self.alone():
      self.opened.compiled.use(self.opened.task)
      self.outcome = loop.finish(
        *(self.opened, interruption, self.given.observe),
        trackers=self.given.trackers,
      )
      self.stack.close()


def groups(members: Sequence[Member]) -> list[list[Member]]:
  """Returns the runs that are open, in groups that can train together."""
  found: dict[Any, list[Member]] = {}
  for member in living(members):
    found.setdefault(kind(member.opened), []).append(member)
  return list(found.values())


def describe(sizes: Sequence[int]) -> str:
  """Returns a line that says how many runs train together.

  >>> describe([3])
  '3 runs train together.'
  >>> describe([3, 2])[:35]
  '5 runs train in groups of 3 and 2: '
  """
  if len(sizes) == 1:
    return f'{sizes[0]} runs train together.'
  *before, last = map(str, sizes)
  return (
    f'{sum(sizes)} runs train in groups of {", ".join(before)} and {last}: '
    'those of a group are at one step and differ only in seed, learning rate, '
    'dropout, clip norm or L2, none of them zero in one and not in another; '
    'with batches sorted by length, not in the seed.'
  )


def kind(opened: Opened) -> tuple[Any, ...]:
  """Returns a value that two runs share if they can train together."""
  config, task, layout = opened.config, opened.task, opened.compiled.layout
  own = opened.is_complete or layout.mesh is not None
  return (
    *(id(opened.compiled), *opened.data.values(), opened.start),
    *(config.train_steps, config.eval_every_steps),
    *(config.save_every_steps, config.log_every_steps),
    config.seed if task.has_buckets else None,
    opened.workdir if own else None,
  )


def train(members: Sequence[Member], interruption: Interruption) -> None:
  """Trains runs of one kind until each has ended."""
  if len(members) == 1:
    members[0].finish(interruption)
    return
  for member in members:
    member.begin(interruption, len(members))
  try:
    with memory.explained():
      Rows(members).run(interruption)
  except Exception as error:  # of the common step
    for member in living(members):
      member.fail(error)


def living(members: Sequence[Member]) -> list[Member]:
  """Returns the runs that have not ended."""
  return [member for member in members if member.outcome is None]


class Rows:
  """The states of runs that have begun, stacked along a first axis."""

  def __init__(self, members: Sequence[Member]):
    opened = [member.opened for member in members]
    first = opened[0]
    self._members, self._start = list(members), first.start
    self._task, self._compiled = first.task, first.compiled
    self._compiled.use(self._task)
    self._last = first.config.train_steps
    self._state = stacked([x.state for x in opened])
    for leaf in jax.tree.leaves([x.state for x in opened]):
      leaf.delete()  # the stacked state is a copy
    numbers = [step_numbers(x.config, x.task) for x in opened]
    self._numbers = stacked([jax.device_put(x) for x in numbers])
    seeds = [x.config.seed for x in opened]
    self._is_shared = len(set(seeds)) == 1
    self._batches = [
      self._task.batches('train', seed, self._start)
      for seed in (seeds[:1] if self._is_shared else seeds)
    ]

  def run(self, interruption: Interruption) -> None:
    """Takes steps until each run has ended."""
    began = time.monotonic()
    for step in range(self._start, self._last + 1):
      self._keep()
      if not living(self._members):
        return
      due = self._due(step)
      if step == self._last:
        break
      metrics = self._train()
      for k, member in self._alive():
        with member.alone():
          member.loop.taken(step + 1, entries(metrics, k), due[k])
        if due[k].stop and member.outcome is None:
          member.end(step, time.monotonic() - began, interruption)
    for member in living(self._members):
      member.end(self._last, time.monotonic() - began, interruption)

  def _alive(self) -> list[tuple[int, Member]]:
    every = enumerate(self._members)
    return [(k, member) for k, member in every if member.outcome is None]

  def _due(self, step: int) -> dict[int, Due]:
    """Returns what is due at a step in each row."""
    scores: dict[int, dict[str, float]] = {}
    if living(self._members)[0].loop.is_scored(step):
      scores = self._evaluate(step)
    due = {}
    for k, member in self._alive():
      copy = functools.partial(self._copy, step, k)
      with member.alone():
        due[k] = member.loop.due(step, scores.get(k, {}), copy)
    return due

  def _copy(self, step: int, k: int) -> dict[str, np.ndarray]:
    return self._members[k].loop.copy(step, row(self._state, k))

  def _train(self) -> Any:
    """Takes a step, and returns its metrics, stacked."""
    drawn = [next(batches) for batches in self._batches]
    batch = drawn[0] if self._is_shared else jax.tree.map(join, *drawn)
    compiled, count = self._compiled, len(self._members)
    step = compiled.train_alike if self._is_shared else compiled.train_many
    with contextlib.ExitStack() as compiling:
      if compiled.is_new(f'train {count}', batch):
        logging.info('Compiling the training step of %d runs.', count)
        for member in living(self._members):
          compiling.enter_context(member.loop.log.aside())
      self._state, metrics = step(self._state, batch, self._numbers)
    return metrics

  def _evaluate(self, step: int) -> dict[int, dict[str, float]]:
    """Returns the scores of each row, and logs them."""
    for member in living(self._members):
      with member.alone():
        member.loop.log.flush()
    began, task, count = time.monotonic(), self._task, len(self._members)
    if self._compiled.is_new(f'evaluate {count}'):
      logging.info('Compiling the evaluation step of %d runs.', count)
    start = jax.vmap(lambda state: task.eval_state(state.model_state))
    parts = training.sums_of(
      *(self._compiled.evaluate_many, self._state.params, start(self._state)),
      task.batches('validation', seed=0, start=0, once=True),
    )
    scores, seconds = {}, time.monotonic() - began
    for k, member in self._alive():
      with member.alone():
        own = [{name: x[k] for name, x in part.items()} for part in parts]
        scores[k] = task.summarize(training.add_sums(own))
        member.loop.log.evaluation(step, scores[k], seconds)
        member.loop.log.sample(step, row(self._state, k))
    return scores

  def _keep(self) -> None:
    """Drops the rows of runs that have ended, once they are half of all."""
    alive = [k for k, _ in self._alive()]
    if not alive or 2 * len(alive) > len(self._members):
      return
    chosen = np.array(alive)
    self._state, self._numbers = jax.tree.map(
      lambda x: x[chosen], (self._state, self._numbers)
    )
    self._members = living(self._members)
    if not self._is_shared:
      self._batches = [self._batches[k] for k in alive]


class Entry:
  """An entry of a stacked array, which is read when it is used.

  >>> jax.device_get(Entry(jnp.arange(3.0), 2))
  np.float32(2.0)
  """

  def __init__(self, stacked: jax.Array, k: int):
    self._stacked, self._k = stacked, k

  def __array__(self, *_: Any, **__: Any) -> Any:
    return np.asarray(self._stacked)[self._k]


def entries(tree: Any, k: int) -> Any:
  """Returns row k of a tree of stacked arrays, without reading it."""
  return jax.tree.map(lambda x: Entry(x, k), tree)


def stacked(trees: Sequence[Any]) -> Any:
  """Stacks the arrays of trees along a new first axis."""
  return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def join(*arrays: np.ndarray) -> np.ndarray:
  """Stacks host arrays along a new first axis."""
  return np.stack(arrays)


@jax.jit
def row(tree: Any, k: Any) -> Any:
  """Returns row k of a tree of stacked arrays."""
  return jax.tree.map(lambda x: x[k], tree)
