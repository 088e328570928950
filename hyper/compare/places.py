"""Folders, as runs and studies are looked for in them."""

import os
from collections.abc import Iterable, Iterator

from hyper.runs.folder import CHECKPOINTS, CONFIG


def walk(folder: str) -> Iterator[tuple[str, list[str]]]:
  """Yields `folder` and all folders in it, each with the names of its files.

  Links to folders are followed. A folder that several paths lead to is there
  once, by a path without a link if there is one beside it; so links may form a
  loop. The checkpoints of a run are left out.
  """
  seen = set()
  for root, inside, names in os.walk(folder, followlinks=True):
    place = os.path.realpath(root)
    if place in seen:
      inside.clear()
      continue
    seen.add(place)
    if CONFIG in names and CHECKPOINTS in inside:
      inside.remove(CHECKPOINTS)
    paths = {name: os.path.join(root, name) for name in inside}
    inside.sort(key=lambda name: (os.path.islink(paths[name]), name))
    yield root, sorted(names)


def once(paths: Iterable[str]) -> list[str]:
  """Returns the first of the paths that lead to the same place.

  >>> once(['runs/a', 'runs/b', 'runs/../runs/a/'])
  ['runs/a', 'runs/b']
  """
  found: dict[str, str] = {}
  for path in paths:
    found.setdefault(os.path.realpath(path), path)
  return [*found.values()]
