"""Names of the rows of a table: what tells runs of one config apart."""

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from hyper.compare import finished, seeds
from hyper.compare.entries import Entry
from hyper.paper import recipes

LONGEST = 48  # characters of the fields in a name
CHECKSUM = re.compile('[0-9a-f]{8}(?=[0-9a-f]{4})')  # its first digits


def names(entries: Sequence[Entry], notes: list[str]) -> list[str]:
  """Returns the first cell of each entry; appends the notes to `notes`.

  Args:
    entries: of a table; those of one config follow each other.
    notes: of the table.
  """
  groups = itertools.groupby(entries, config_name)
  return [x for name, group in groups for x in of_group(name, [*group], notes)]


def config_name(entry: Entry) -> str:
  """Returns the network of the paper, else the config, else the task."""
  first = entry.first
  if entry.table_row and not first.changes:
    return entry.table_row[1].name
  return first.row or first.config.task


def of_group(name: str, group: Sequence[Entry], notes: list[str]) -> list[str]:
  """Returns the name of each entry of a config.

  A single one has the config's. Several have the fields that vary, too, or
  their folder if that is too long; then a note has the fields.
  """
  states = [
    {**state(entry), finished.BEGIN: origin}
    for entry, origin in zip(group, origins(group), strict=True)
  ]
  fields = varying(states)
  mark = changes_mark(group, fields, notes)
  texts = [values(own, fields) for own in states]
  if len(group) == 1:
    return [name + mark]
  if all(0 < len(text) <= LONGEST for text in texts):
    return [f'{name}: {text}{mark}' for text in texts]
  found = []
  for entry, text in zip(group, texts, strict=True):
    own = ''
    if mark and text:
      notes.append(text)
      own = f' [{len(notes)}]'
    found.append(f'{name}: {entry.first.name}{mark}{own}')
  return found


def changes_mark(
  group: Sequence[Entry], fields: Sequence[str], notes: list[str]
) -> str:
  """Notes what a config's entries change; returns a reference to the note."""
  changed: dict[str, tuple[Any, Any]] = {}
  for entry in group:
    changed |= entry.first.changes
  if not changed:
    return ''
  whole = group[0].first.row or 'its config'
  fixed = {x: changed[x] for x in sorted(changed) if x not in fields}
  words = (
    [f'differs from {whole} in {recipes.in_words(fixed)}'] if fixed else []
  )
  words += [
    f'{x} varies ({shown(changed[x][0])} in {whole})'
    for x in sorted(changed)
    if x in fields
  ]
  notes.append(', '.join(words))
  return f' [{len(notes)}]'


def varying(states: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns the fields in which the states of entries differ."""
  return [
    field
    for field in sorted(set().union(*states))
    if any(x.get(field) != states[0].get(field) for x in states)
  ]


def state(entry: Entry) -> dict[str, Any]:
  """Returns what may change an entry's score, as far as it has been trained."""
  first = entry.first
  fields = recipes.changes(ConfigDict(), first.config) | first.changes
  data = {'training data': brief(entry.data)} if entry.data else {}
  return data | {field: value for field, (_, value) in fields.items()}


def brief(fingerprint: str) -> str:
  """Returns the part of a fingerprint of data that tells it from others.

  >>> brief('0123456789abcdef'), brief('hyper_parallel_text_1a2b3c4d5e6f/1.0.0')
  ('01234567', '1a2b3c4d')
  >>> brief('wmt14_translate/1.0.0')
  'wmt14_translate/1.0.0'
  """
  found = CHECKSUM.search(fingerprint)
  return found[0] if found else fingerprint


def origins(group: Sequence[Entry]) -> list[str]:
  """Returns where each entry's parameters at the start are from.

  That is the last part of a path, unless that leaves two of them equal; then it
  is the whole path, with the checksum and the names of the parameters taken.
  """
  found = [entry.first.origin for entry in group]
  names = [os.path.basename(x['path']) if x else finished.DRAWN for x in found]
  if len(set(names)) >= len(set(map(seeds.begun, found))):
    return names
  return [*map(in_full, found)]


def in_full(origin: Mapping[str, Any]) -> str:
  """Returns an origin as text: path, checksum, names of what was taken."""
  if not origin:
    return finished.DRAWN
  parts = origin['path'], origin.get('sha256', '')[:8], *origin.get('paths', ())
  return ' '.join(filter(None, parts))


def values(own: Mapping[str, Any], fields: Sequence[str]) -> str:
  """Returns fields with their values in the state of an entry."""
  return ', '.join(f'{field} {shown(own.get(field))}' for field in fields)


def shown(value: Any) -> str:
  """Returns a value of a field, numbers with four digits.

  >>> shown(0.0012345), shown('he')
  ('0.001234', 'he')
  """
  return f'{value:.4g}' if isinstance(value, float) else recipes.shown(value)
