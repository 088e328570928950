"""Folders, as runs and studies are looked for in them."""

import itertools
import os
from collections.abc import Iterable, Iterator

from hyper.runs.folder import CHECKPOINTS, CONFIG


def walk(folder: str) -> Iterator[tuple[str, list[str]]]:
  """Yields `folder` and all folders in it, each with the names of its files.

  Links to folders are followed after all other folders. So a folder that
  several paths lead to is there once, by a path without a link if there is one,
  and links may form a loop. The checkpoints of a run are left out.
  """
  seen, pending = set(), [folder]
  while pending:
    links: list[str] = []
    for root, inside, names in itertools.chain(*map(os.walk, pending)):
      place = os.path.realpath(root)
      if place in seen:
        inside.clear()
        continue
      seen.add(place)
      if CONFIG in names and CHECKPOINTS in inside:
        inside.remove(CHECKPOINTS)
      inside.sort()
      paths = [os.path.join(root, name) for name in inside]
      links += filter(os.path.islink, paths)
      yield root, sorted(names)
    pending = links


def once(paths: Iterable[str]) -> list[str]:
  """Returns one of the paths that lead to the same place.

  That is the first one without a link, or else the first one.

  >>> once(['runs/a', 'runs/b', 'runs/../runs/a/'])
  ['runs/a', 'runs/b']
  """
  found: dict[str, str] = {}
  for path in paths:
    place = os.path.realpath(path)
    before = found.setdefault(place, path)
    if os.path.abspath(before) != place == os.path.abspath(path):
      found[place] = path
  return [*found.values()]
