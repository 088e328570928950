"""The files of a run that say how its data are read."""

import os
from collections.abc import Callable
from typing import TypeVar

CONFIG = 'config.json'  # what a run saves when it begins, after these files
T = TypeVar('T')


def write(workdir: str, name: str, text: str) -> None:
  """Writes a file into a run folder, whole or not at all."""
  os.makedirs(workdir, exist_ok=True)
  path = os.path.join(workdir, name)
  with open(path + '.partial', 'w', encoding='utf-8') as file:
    file.write(text)
  os.replace(path + '.partial', path)


def read(workdir: str, name: str, parse: Callable[[str], T]) -> T | None:
  """A file's content; None in a folder where no run has begun.

  What a start that failed has left in such a folder belongs to no run.

  Raises:
    FileNotFoundError: a run has begun there, but this file of it is missing.
    ValueError: the file is damaged.
  """
  if not os.path.exists(os.path.join(workdir, CONFIG)):
    return None
  path = os.path.join(workdir, name)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f'{workdir} holds a run, but no {name}, without which its checkpoints '
      'say nothing. Put back a copy of it.'
    )
  with open(path, encoding='utf-8') as file:
    text = file.read()
  try:
    return parse(text)
  except Exception as error:  # tokenizers raises nothing narrower
    raise ValueError(
      f'{path} is damaged ({error}). Put back a copy of it.'
    ) from error
