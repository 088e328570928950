"""The state that a run starts from.

It is the newest checkpoint's, or the initial one, in which parameters may be
those of another run or of a file. Only parameters are taken: the optimizer, the
step and the batch statistics begin as in any run. The line in starts.jsonl
records what was taken, and from where.
"""

import dataclasses
import fnmatch
import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from hyper.runs import folder, processes, record, training
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.checkpoint_arrays import by_path, describe, fit
from hyper.runs.checkpoint_files import SUMMARY, saved_steps
from hyper.runs.checkpoint_reading import SavedCheckpoints
from hyper.runs.compiled import Compiled
from hyper.runs.record import INIT_FROM
from hyper.runs.task import Task
from hyper.runs.training import TrainState


@dataclasses.dataclass(frozen=True)
class Origin:
  """Where a new run takes parameters from.

  Attributes:
    path: a run folder, whose best checkpoint is read (the newest, if none has
      a score), or a safetensors file.
    patterns: shell patterns of the paths of the parameters that are taken, such
      as 'cells_*'. Without any, all are taken.
  """

  path: str
  patterns: tuple[str, ...] = ()

  def entry(self) -> dict[str, Any]:
    """Returns what distinguishes this origin from another one."""
    return {'path': os.path.abspath(self.path), 'paths': list(self.patterns)}


@dataclasses.dataclass(frozen=True)
class Found:
  """The content of an origin.

  Attributes:
    name: of the origin, for messages.
    arrays: the parameters by path, such as cells_0/w_h.
    step: the number of steps that trained them, if it is known.
    sha256: of the file, or of the summary of the checkpoint, which has the
      SHA-256 of each array.
    texts: the files that the other run keeps of its data, by name.
  """

  name: str
  arrays: Mapping[str, np.ndarray]
  step: int | None
  sha256: str
  texts: Mapping[str, str]


def first_state(
  config: ConfigDict,
  workdir: str,
  task: Task,
  compiled: Compiled,
  checkpoints: Checkpoints,
  begin_from: Origin | None,
) -> tuple[TrainState, dict[str, Any]]:
  """Returns the newest checkpoint's state, or the initial state.

  Also returns the entries for starts.jsonl that say where parameters of the
  initial state are from.

  Raises:
    ValueError: the checkpoint is damaged, not finite, of another config, or of
      a step after `config.train_steps`; or `begin_from` does not fit.
  """
  saved = checkpoints.saved_steps
  processes.check_alike(lambda: {'the steps of the checkpoints': saved})
  if not saved:
    if compiled.is_new('init'):
      logging.info('Compiling the initial state.')
    state = compiled.init(config.seed)
    if begin_from is None:
      return state, {}
    params, line = processes.together(
      lambda: begin(
        state.params, begin_from, workdir, config.task, task.selection
      )
    )
    processes.check_alike(lambda: {'--init_from': line[INIT_FROM]['sha256']})
    return state.replace(params=params), line
  step, state = checkpoints.resume(compiled.shapes())
  if not training.is_finite(state):
    raise ValueError(
      f'the state in {checkpoints.folder / str(step)} is not finite. Move it '
      'away to resume from the one before.'
    )
  if step > config.train_steps:
    raise ValueError(
      f'{workdir} has {step} steps already, and config.train_steps is '
      f'{config.train_steps}. Give the folder alone (python train.py '
      f'--workdir={workdir}) to resume it as it was lengthened, or a larger '
      '--config.train_steps or --set=train_steps=N.'
    )
  return state, {}


def check(origin: Origin | None, workdir: str) -> None:
  """Checks that a run in `workdir` can begin with `origin`, or resume without.

  Args:
    origin: given for this start; None if there is none.
    workdir: the run folder.

  Raises:
    FileNotFoundError: there is no such run or file.
    ValueError: the run began with other parameters.
  """
  steps = saved_steps(pathlib.Path(workdir, folder.CHECKPOINTS))
  is_run = folder.is_run(workdir)  # otherwise the lines are of another run
  lines = record.read_lines(workdir, record.STARTS) if is_run else []
  known = [x[INIT_FROM] for x in lines if isinstance(x.get(INIT_FROM), dict)]
  begun = {k: known[-1].get(k) for k in ('path', 'paths')} if known else None
  if origin is not None and steps and origin.entry() != begun:
    raise ValueError(
      f'{workdir} has {steps[-1]} steps already; --init_from={origin.path} is '
      'for a new run. Give a new --workdir, or resume without --init_from.'
    )
  if origin is None and begun and not steps:
    raise ValueError(
      f'{workdir} has begun with --init_from={begun["path"]} and has no '
      'checkpoint yet. Give --init_from again.'
    )
  if origin is not None and not steps:
    check_exists(origin.path)


def check_exists(path: str) -> None:
  """Raises an error unless `path` is a run folder or a safetensors file."""
  if folder.is_export(path):
    if not os.path.isfile(path):
      raise FileNotFoundError(f'--init_from={path}: there is no such file.')
    return
  if not folder.is_run(path):
    raise FileNotFoundError(
      f'--init_from={path} is no run folder; give one, or a file that ends in '
      f'{folder.EXPORT}, such as python -m hyper.export writes.'
    )


def begin(
  params: Any,
  origin: Origin,
  workdir: str,
  task: str,
  selection: tuple[str, str],
) -> tuple[Any, dict[str, Any]]:
  """Returns `params` with those of the origin in their places.

  Warns if a file that the run keeps of its data, such as the vocabulary,
  differs from that of the origin.

  Args:
    params: the first parameters of the run.
    origin: where others are taken from.
    workdir: the run folder.
    task: the name of the run's task.
    selection: see `SavedCheckpoints`.

  Returns:
    The parameters, and the entry of starts.jsonl.

  Raises:
    ValueError: parameters are missing in the origin, are not in this network,
      or have another shape; all are named. Or the origin is a run of another
      task, or is damaged.
    FileNotFoundError: the other run has no checkpoint.
  """
  if os.path.isdir(origin.path):
    found = read_run(origin.path, task, selection)
  else:
    found = read_file(origin.path)
  own = by_path(params)
  chosen = choose(own, found, origin.patterns)
  taken = fit(
    pathlib.Path(origin.path),
    {name: found.arrays[name] for name in chosen},
    {name: own[name] for name in chosen},
  )
  logging.info(
    '%d of %d arrays of parameters are from %s',
    len(taken),
    len(own),
    found.name,
  )
  for name, text in folder.kept(workdir).items():
    if found.texts.get(name, text) != text:
      logging.warning(
        '%s of %s differs from that of this run: parameters may stand for '
        'other symbols, scales or classes.',
        *(name, found.name),
      )
  leaves = [taken.get(name, leaf) for name, leaf in own.items()]
  about = {'step': found.step, 'sha256': found.sha256}
  return (
    jax.tree.unflatten(jax.tree.structure(params), leaves),
    {INIT_FROM: origin.entry() | about},
  )


def choose(
  own: Mapping[str, Any], found: Found, patterns: tuple[str, ...]
) -> list[str]:
  """Returns the paths of the parameters that are taken, in the order of `own`.

  Raises:
    ValueError: see `begin`; or a pattern matches nothing.
  """
  every = [*own, *(name for name in found.arrays if name not in own)]
  matched = [fnmatch.filter(own, pattern) for pattern in patterns]
  if not all(matched):
    raise ValueError(
      f'--init_from_paths={patterns[matched.index([])]} matches no parameter; '
      f'there are: {", ".join(own)}.'
    )
  chosen = [
    name
    for name in every
    if not patterns or any(fnmatch.fnmatch(name, x) for x in patterns)
  ]
  there, here = (
    {name: describe(x[name]) if name in x else 'absent' for name in chosen}
    for x in (found.arrays, own)
  )
  wrong = [
    f'  {name}: {there[name]} there, {here[name]} here'
    for name in chosen
    if there[name] != here[name]
  ]
  if wrong:
    lines = '\n'.join(wrong)
    raise ValueError(
      f'{found.name} is of another network:\n{lines}\n{remedy(own, found)}'
    )
  return chosen


def remedy(own: Mapping[str, Any], found: Found) -> str:
  """Returns the flags that take all parameters that both networks have."""
  shared = [
    name
    for name in own
    if name in found.arrays
    and describe(found.arrays[name]) == describe(own[name])
  ]
  if not shared:
    return 'They share no parameter of one name and shape.'
  flags = ' '.join(
    f"--init_from_paths='{x}'" for x in covering(shared, {*own, *found.arrays})
  )
  return f'What both have is taken with {flags}'


def covering(chosen: list[str], every: Collection[str]) -> list[str]:
  """Returns patterns that match the paths `chosen`, and no other of `every`.

  >>> paths = ['a/b', 'a/c', 'd/w_h', 'd/w_hz', 'd/w_x']
  >>> covering(paths[:-1], paths)
  ['a/*', 'd/w_h*']
  """
  others = {*every} - {*chosen}
  patterns: dict[str, None] = {}  # keeps the order
  for name in chosen:
    start = name.find('/') + 1 or len(name)
    prefixes = (name[:end] for end in range(start, len(name) + 1))
    alone = (f'{x}*' for x in prefixes if not fnmatch.filter(others, f'{x}*'))
    patterns[next(alone, name)] = None
  return list(patterns)


def read_run(path: str, task: str, selection: tuple[str, str]) -> Found:
  """Returns the content of a run's best checkpoint, of its newest if unscored.

  Raises:
    FileNotFoundError: the run has no checkpoint.
    ValueError: the run is of another task, or the checkpoint is damaged.
  """
  other = folder.load_config(path).task
  if other != task:
    raise ValueError(
      f'--init_from={path} is a run of the task {other!r}, and this is one of '
      f'{task!r}. Write its network with python -m hyper.export, and give that '
      'file.'
    )
  checkpoints = SavedCheckpoints(
    os.path.join(path, folder.CHECKPOINTS), selection
  )
  try:
    step, arrays = checkpoints.read('best')
  except FileNotFoundError:  # no checkpoint has a score
    step, arrays = checkpoints.read('latest')
    logging.info('%s has no score yet; its newest checkpoint is taken.', path)
  summary = (checkpoints.folder / str(step) / SUMMARY).read_bytes()
  params = {
    name.removeprefix('params/'): x
    for name, x in arrays.items()
    if name.startswith('params/')
  }
  return Found(
    *(f'{path} at step {step:,}', params, step),
    *(record.sha256(summary), folder.kept(path)),
  )


def read_file(path: str) -> Found:
  """Returns the content of a safetensors file."""
  from hyper import weights  # takes a while, which few runs need wait for

  tree, text = weights.load(path), weights.load_text(path)
  arrays = jax.device_get(by_path(tree.get('params', tree)))
  step = text.get('step', '')
  with open(path, 'rb') as file:
    digest = record.sha256(file.read())
  return Found(
    path, arrays, int(step) if step.isdecimal() else None, digest, text
  )
