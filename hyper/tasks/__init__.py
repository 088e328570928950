"""Tasks: a config becomes data, a model and a loss.

`TASKS[config.task](config, data_dir, workdir)` makes a task. It keeps in
`workdir` what a run needs besides parameters, such as a vocabulary, and has the
members of `hyper.runs.task.Task`. Add a task with a file here and a line in
TASKS.
"""

from typing import Any

from ml_collections import ConfigDict

from hyper.configuration import Fed
from hyper.runs.task import Task
from hyper.tasks.char_lm import CharLM
from hyper.tasks.classify import Classify
from hyper.tasks.handwriting import Handwriting
from hyper.tasks.translate import Translate

TASKS: dict[str, type[Task]] = {
  'char_lm': CharLM,
  'classify': Classify,
  'handwriting': Handwriting,
  'translate': Translate,
}


def sections_of(config: ConfigDict) -> dict[str, Fed]:
  """Returns what the sections of a config feed, as its task says.

  Raises:
    ValueError: there is no such task.
  """
  return find_task(config.task).sections()


def make_task(config: ConfigDict, data_dir: str, workdir: str) -> Task:
  """Returns the task that `config.task` names.

  Raises:
    ValueError: there is no such task, or the rest of the config does not fit.
    FileNotFoundError: the data are missing.
  """
  return find_task(config.task)(config, data_dir, workdir)


def find_task(name: str) -> type[Any]:
  """Returns the class of tasks, one of TASKS, that has `name`.

  The class is not checked against `Task`, since only its instances have all
  members.

  Raises:
    ValueError: there is no such task.
  """
  if name not in TASKS:
    raise ValueError(f'config.task is {name!r}; allowed: {", ".join(TASKS)}.')
  return TASKS[name]
