"""Runs the drills and prints one table.

  python -m tests.drills [--case=kill --case=full_disk] [--tries=3]

Real runs of small models are killed, damaged and starved of disk space and file
handles, in a temporary folder. The exit status is 1 if a promise was broken.
"""

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from tests.drills import damages, interruptions
from tests.drills.bench import Bench, Outcome

CASES: dict[str, Callable[[Bench, int], Iterator[Outcome]]] = {
  'kill': interruptions.kill,
  'stop': interruptions.stop,
  'full_disk': interruptions.full_disk,
  'read_only': interruptions.read_only,
  'no_handles': interruptions.no_handles,
  'checkpoints': damages.checkpoints,
  'resumes': damages.resumes,
  'strangers': damages.strangers,
  'records': damages.records,
  'places': damages.places,
  'machines': damages.machines,
}
SHOWN = {True: 'held', False: 'BROKEN', None: 'not tried'}


def drill(names: list[str], tries: int) -> list[tuple[str, Outcome]]:
  """Returns the outcomes of the named cases, and prints each at once."""
  outcomes = []
  with tempfile.TemporaryDirectory(prefix='drills_') as folder:
    bench = Bench(pathlib.Path(folder))
    for name in names:
      for outcome in CASES[name](bench, tries):
        outcomes.append((name, outcome))
        shown = f'{name}: {outcome.tried}: {SHOWN[outcome.held]}'
        print(shown, file=sys.stderr, flush=True)
  return outcomes


def show(outcomes: list[tuple[str, Outcome]]) -> None:
  """Prints a table of outcomes."""
  table = Table('drill', 'tried', 'outcome', 'note')
  for name, outcome in outcomes:
    row = (name, outcome.tried, SHOWN[outcome.held], outcome.note)
    table.add_row(*row)
  Console(width=110).print(table)


def main() -> int:
  """Reads the flags, drills, and prints the table."""
  parser = argparse.ArgumentParser(prog='python -m tests.drills')
  parser.add_argument(
    '--case', action='append', choices=CASES, help='one case; may be repeated'
  )
  parser.add_argument(
    '--tries', type=int, default=3, help='signals sent to each run'
  )
  flags = parser.parse_args()
  outcomes = drill(flags.case or list(CASES), flags.tries)
  show(outcomes)
  return any(outcome.held is False for _, outcome in outcomes)


if __name__ == '__main__':
  sys.exit(main())
