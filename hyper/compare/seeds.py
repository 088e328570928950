"""Which runs differ only in their seed, and which are copies of one."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from hyper.compare.timing import ENDING
from hyper.paper import recipes
from hyper.runs.metrics import SECONDS_PER_STEP


def key(config: ConfigDict, origin: Mapping[str, Any]) -> str:
  """Returns a key, equal for runs that can differ only by chance.

  Args:
    config: of the run. Its seed and the other fields that change a score only
      by chance do not count.
    origin: where its first parameters are from; empty if it drew them.
  """
  fields = recipes.in_words(recipes.changes(ConfigDict(), config))
  return f'{fields}; {begun(origin)}'


def begun(origin: Mapping[str, Any]) -> str:
  """Returns a key, equal for runs that began with the same parameters."""
  taken = origin.get('sha256') or origin.get('path'), origin.get('paths')
  return str(taken)


def group(
  keys: Sequence[str], data: Sequence[str]
) -> dict[tuple[str, str], list[int]]:
  """Groups runs that differ only in their seed; returns their places.

  Runs with one key are one group unless they are known to have been trained on
  different data. Then each data set is a group, and 'unknown' is one too.

  Args:
    keys: of the runs, see `key`.
    data: the fingerprint of the training data of each run; '' if unknown.

  Returns:
    The places, by the key and the fingerprint. The fingerprint is '' unless the
    data differ.

  >>> group(['a', 'b', 'a', 'a'], ['x', 'x', '', 'x'])
  {('a', ''): [0, 2, 3], ('b', ''): [1]}
  >>> group(['a', 'a', 'a'], ['x', 'y', ''])
  {('a', 'x'): [0], ('a', 'y'): [1], ('a', 'unknown'): [2]}
  """
  pairs = [*zip(keys, data, strict=True)]
  known: dict[str, set[str]] = {}
  for own, fingerprint in pairs:
    known.setdefault(own, set()).update({fingerprint} - {''})
  groups: dict[tuple[str, str], list[int]] = {}
  for k, (own, fingerprint) in enumerate(pairs):
    differ = len(known[own]) > 1
    place = own, (fingerprint or 'unknown') if differ else ''
    groups.setdefault(place, []).append(k)
  return groups


def copies(
  places: Sequence[int],
  configs: Sequence[ConfigDict],
  lines: Sequence[Sequence[Mapping[str, Any]]],
) -> list[list[int]]:
  """Groups runs that are one run: those of equal seed and metrics.

  Args:
    places: of runs that differ only in their seed, see `group`.
    configs: of all runs.
    lines: likewise, of metrics.jsonl. A run without lines is no copy.

  Returns:
    The places, those of one run together.
  """
  found: dict[str, list[int]] = {}
  for k in places:
    same = [{x: line[x] for x in line if is_result(x)} for line in lines[k]]
    key = f'{configs[k].seed}; {same}' if same else f'{k}'
    found.setdefault(key, []).append(k)
  return [*found.values()]


def is_result(name: str) -> bool:
  """Returns whether a value of metrics.jsonl is the same in a repeated run."""
  return name not in ('time', SECONDS_PER_STEP) and not name.endswith(ENDING)
