"""A trained run: loading it, scoring it, using its model.

  from hyper import trained

  run = trained.load('runs/enwik8')
  print(trained.score(run, 'validation'))
  carry, logits = run.task.reader(run.params)(run.task.model.zeros(1), symbols)

`hyper.generate` draws text, handwriting and translations from a run.
"""

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import jax
from absl import logging
from flax import linen as nn
from ml_collections import ConfigDict

from hyper import configuration, terminal, weights
from hyper.runs import folder, parallel, record, training
from hyper.runs.checkpoint_reading import SavedCheckpoints
from hyper.runs.task import Task
from hyper.tasks import make_task

T = TypeVar('T', bound=Task)


@runtime_checkable  # annotations are checked in the tests
class _OfModel(Protocol):
  """A task that trains its `model` as it is."""

  model: nn.Module


@runtime_checkable
class _OfMain(Protocol):
  """A task whose network `main` may have generated parameters.

  Attributes:
    main: the network, which knows of no hypernetwork.
    hypernetwork: what generates some of its parameters, or None.
  """

  main: nn.Module
  hypernetwork: nn.Module | None

  def main_params(self, params: Any) -> Any:
    """Returns the parameters of `main`, generated ones included."""


@dataclasses.dataclass(frozen=True)
class Run(Generic[T]):
  """A checkpoint of a run, and all that is needed to use it.

  Attributes:
    workdir: the run folder, or the folder of the file.
    config: the config saved with it, with the changes given to `load`.
    task: the task of the run. Annotate a run with the class of its task where
      you use more than a `Task` has: `run: Run[CharLM] = load(workdir)`.
    step: the number of training steps before the checkpoint.
    params: the parameters.
    model_state: the model's other state, such as batch statistics; empty if an
      evaluation starts from a state of its own.

  >>> run = load('runs/enwik8')
  >>> run.config.task, run.step, run.task.model.cells[0].units
  ('char_lm', 4, 6)
  """

  workdir: str
  config: ConfigDict
  task: T
  step: int
  params: Any
  model_state: Any


def load(
  workdir: str,
  checkpoint: str | int = 'best',
  data_dir: str = 'data',
  task: str = '',
  changes: Iterable[str] = (),
) -> Run[Any]:
  """Loads the parameters, and the model state if needed, of a checkpoint.

  The optimizer's state, the random key and the carries of training streams are
  not read. So `changes` may set another batch size, optimizer or random number
  generator than the run was trained with.

  Args:
    workdir: the run folder, or a file NAME.safetensors that `hyper.export` has
      written, not baked.
    checkpoint: 'best', 'latest', or a step; a file has only one.
    data_dir: the folder of the data sets, which are read when they are needed.
    task: the task that the run must have, a name in `hyper.tasks.TASKS`; empty
      allows any.
    changes: fields of the saved config to replace, each FIELD=VALUE.

  Returns:
    The run.

  Raises:
    FileNotFoundError: `workdir` is no run folder, the checkpoint does not
      exist, or the data are missing.
    ValueError: the run has another task than `task`, one of its files is
      damaged or of a newer format, or a change names no field or has a value of
      another type.

  >>> run = load('runs/enwik8', 'latest', changes=['data.batch_size=1'])
  >>> run.step, run.config.data.batch_size
  (4, 1)
  """
  if folder.is_export(workdir):
    return _load_file(workdir, checkpoint, data_dir, task, changes)
  config = configuration.change(folder.load_config(workdir), changes)
  _check_task(workdir, config, task)
  # If a field is replaced, the file is not to blame for it.
  with contextlib.nullcontext() if changes else folder.naming_config(workdir):
    made = make_task(config, data_dir, workdir)
  params, model_state = jax.eval_shape(made.init, jax.random.key(0))
  like = {'params': params}
  if not made.has_streams:  # carries start from zero in an evaluation
    like['model_state'] = model_state
  checkpoints = SavedCheckpoints(
    os.path.join(workdir, folder.CHECKPOINTS), made.selection
  )
  step, found = checkpoints.restore(like, checkpoint)
  return Run(
    *(
      workdir,
      config,
      made,
      step,
      found['params'],
      found.get('model_state', {}),
    )
  )


def _load_file(
  path: str,
  checkpoint: str | int,
  data_dir: str,
  task: str,
  changes: Iterable[str],
) -> Run[Any]:
  """Returns the run whose network is in a file of `hyper.export`."""
  text = _read_text(path)
  if text['baked'] == 'true':
    raise ValueError(
      f'{path} has a network whose kernels are baked; export the run without '
      '--baked, or load the network with hyper.trained.load_network.'
    )
  with _naming(path):
    config = configuration.from_json(text['config'])
  config = configuration.change(config, changes)
  _check_task(path, config, task)
  with contextlib.nullcontext() if changes else _naming(path):
    made = _task_of(path, config, text, data_dir)
    step = int(text['step'])
  if checkpoint not in ('best', 'latest', step):
    raise ValueError(f'{path} has step {step}, not {checkpoint}.')
  params, model_state = jax.eval_shape(made.init, jax.random.key(0))
  state = {} if made.has_streams else model_state
  state = weights.load(path, _variables(made, params, state, baked=False))
  params = state.pop('params')
  if _has_hypernetwork(made):
    state = {name: x['network'] for name, x in state.items()}
  return Run(os.path.dirname(path) or '.', config, made, step, params, state)


def _check_task(workdir: str, config: ConfigDict, task: str) -> None:
  """Raises a ValueError unless a config has the task, or `task` is empty."""
  if task and config.task != task:
    raise ValueError(
      f'{workdir} is a run of the task {config.task!r}; a run of {task!r} is '
      'needed.'
    )


def score(run: Run[T], split: str = 'test') -> dict[str, float]:
  """Returns the scores of `run` over a whole split of its data.

  Each of this process's devices works on its share of a batch, where they
  divide its rows.

  Args:
    run: what `load` returned.
    split: 'train', 'validation', or 'test'.

  Returns:
    Means by name, in the units of the task, such as 'bpc' in bits per character
    or 'error' in percent.

  Raises:
    FileNotFoundError: the data are missing.
    ValueError: the data do not fit the run.

  >>> f"{score(load('runs/enwik8'), 'validation')['bpc']:.2f}"
  '6.30'
  """
  layout = parallel.local_layout(run.task)
  eval_step = training.make_eval_step(
    run.task.loss, layout, run.config.precision
  )
  placed = dataclasses.replace(
    run,
    params=layout.copy(run.params),
    model_state=layout.copy(run.model_state),
  )
  logging.info('Compiling the evaluation step.')
  watch = functools.partial(terminal.track, action='Scoring, batches')
  return training.evaluate(run.task, eval_step, placed, split, layout, watch)


def evaluate(
  workdir: str,
  checkpoint: str | int = 'best',
  data_dir: str = 'data',
  split: str | None = None,
  changes: Sequence[str] = (),
) -> dict[str, Any]:
  """Returns the scores of a checkpoint, with what was scored and how.

  Args:
    workdir: the run folder, or a file of `hyper.export`, see `load`.
    checkpoint: 'best', 'latest', or a step.
    data_dir: of the data sets.
    split: by default the one that the paper reports: test, or validation of
      data without a test part. Of 'train' only the means are computed.
    changes: fields of the saved config to replace, each FIELD=VALUE.

  Raises:
    ValueError: the checkpoint is damaged, or the data do not fit the config.
    FileNotFoundError: there is no such checkpoint, or the data are missing.

  >>> found = evaluate('runs/enwik8', split='validation')
  >>> found['checkpoint'], found['split'], f"{found['bpc']:.2f}"
  (4, 'validation', '6.30')
  """
  run = load(workdir, checkpoint, data_dir, changes=changes)
  task = run.task
  if split is None:
    split = task.reported_split
    if split != 'test':
      logging.info('There is no test part; what is scored is %s.', split)
  data = task.fingerprint(split)
  other = record.data_changes(run.workdir, {split: data})
  if other:
    logging.warning('%s was begun with %s.', workdir, other)
  scores = score(run, split)
  return {
    'workdir': workdir,
    'checkpoint': run.step,
    'split': split,
    **scores,
    **(task.report(run, split) if split != 'train' else {}),
    'data': data,
    **({'other_data': True} if other else {}),
    **({'set': list(changes)} if changes else {}),
  }


def network(run: Run[Any], baked: bool = False) -> tuple[nn.Module, Any]:
  """Returns the module of `run` and its variables, ready for `apply`.

  Args:
    run: what `load` returned.
    baked: for an image classifier, return the plain network with its generated
      kernels instead of the hypernetwork.

  Returns:
    `(module, variables)`.

  Raises:
    ValueError: `baked` is true, and the run is no image classifier.

  >>> import jax.numpy as jnp
  >>> model, variables = network(load('runs/enwik8'))
  >>> text = jnp.array([[0, 1, 2]])  # one stream
  >>> carry, logits = model.apply(variables, model.zeros(1), text)
  >>> logits.shape == (1, 3, model.vocabulary_size)
  True
  """
  task = run.task
  if baked and not isinstance(task, _OfMain):
    raise ValueError(
      f'{run.workdir} is a run of the task {run.config.task!r}; only the '
      'kernels of image classifiers are generated beforehand.'
    )
  variables = _variables(task, run.params, run.model_state, baked)
  return _module(task, baked), variables


def load_network(path: str) -> tuple[nn.Module, Any]:
  """Returns the module and the variables that `hyper.export` wrote to `path`.

  `weights.load_text(path)` returns the rest of the file, such as a vocabulary.
  A run folder is loaded with `load`, whose result `network` takes.

  Args:
    path: of the safetensors file, not of a run folder.

  Returns:
    `(module, variables)`, ready for `apply`.

  Raises:
    FileNotFoundError: there is no such file.
    IsADirectoryError: `path` is a folder.
    ValueError: the file is damaged, or `hyper.export` did not write it.

  >>> from hyper.export import export
  >>> export('runs/enwik8', 'enwik8.safetensors')
  >>> model, variables = load_network('enwik8.safetensors')
  >>> symbols = jax.numpy.array([[0, 1, 2]])  # one stream
  >>> carry, logits = model.apply(variables, model.zeros(1), symbols)
  >>> logits.shape == (1, 3, model.vocabulary_size)
  True
  """
  text = _read_text(path)
  baked = text['baked'] == 'true'
  with _naming(path):
    task = _task_of(path, configuration.from_json(text['config']), text)
  shapes = jax.eval_shape(task.init, jax.random.key(0))
  like = jax.eval_shape(
    lambda params, state: _variables(task, params, state, baked), *shapes
  )
  return _module(task, baked), weights.load(path, like)


def _read_text(path: str) -> dict[str, str]:
  """Returns the text of a file, if `hyper.export` has written it."""
  text = weights.load_text(path)
  if not {'config', 'step', 'baked'} <= text.keys():
    raise ValueError(
      f'{path} does not say of which network it is; load it with '
      'hyper.weights.load, or write it again with python -m hyper.export.'
    )
  return text


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
  """Names the file in the errors of what is read from it."""
  try:
    yield
  except ValueError as error:
    raise ValueError(f'{path} cannot be used: {error}') from error


def _task_of(  # of one of the two kinds
  path: str, config: ConfigDict, text: Mapping[str, str], data_dir: str = ''
) -> Any:
  """Returns the task of a config, with the kept files in `text`, by name.

  Errors name the file at `path`, which has the text, and not the folder that is
  made of it for a moment.
  """
  configuration.check(config)
  with tempfile.TemporaryDirectory() as workdir:
    folder.rebuild(workdir, config, text)
    try:
      return make_task(config, data_dir, workdir)
    except FileNotFoundError as error:
      raise FileNotFoundError(str(error).replace(workdir, path)) from error
    except ValueError as error:
      raise ValueError(str(error).replace(workdir, path)) from error


def _module(task: _OfModel | _OfMain, baked: bool) -> nn.Module:
  """Returns the module that `task` trains or, if `baked`, the plain network."""
  if not isinstance(task, _OfMain):
    return task.model
  return task.main if baked else task.hypernetwork or task.main


def _variables(
  task: _OfModel | _OfMain, params: Any, model_state: Any, baked: bool
) -> Any:
  """Returns the variables of the module that `_module` returns."""
  if not isinstance(task, _OfMain):
    return {'params': params}
  if baked or not _has_hypernetwork(task):
    return {'params': task.main_params(params)} | model_state
  state = {name: {'network': x} for name, x in model_state.items()}
  return {'params': params} | state


def _has_hypernetwork(task: Any) -> bool:
  """Returns whether a hypernetwork generates parameters of a task's `main`."""
  return isinstance(task, _OfMain) and task.hypernetwork is not None
