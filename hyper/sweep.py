"""Trains many trials: a grid, or what Optuna suggests.

  python -m hyper.sweep --config=configs/ptb_hyperlstm.py:embedded \
    --study=studies/units --grid='model.cell.hyper_units=24,48' --seeds=3 \
    --workers=2

A trial is a run folder in STUDY/trials, as train.py makes it. The same command
resumes a study that was stopped; more --trials make it grow; the same command
on another machine, on the same disk, adds workers. At the end the runs are
compared as by `python -m hyper.compare`.
"""

import os
import signal
import sys

from absl import flags

from hyper.compare import entries, finished, tables
from hyper.compare.formats import FORMATS
from hyper.runs import commands
from hyper.runs.folder import is_run
from hyper.sweeping import journal, local, machine, space
from hyper.sweeping.journal import LOG, TRIALS, Study, folder_of
from hyper.sweeping.search import SEARCHES, Search, ends
from hyper.sweeping.space import Point

FLAGS = flags.FLAGS


def main() -> int:
  """Trains the trials, or prints their commands."""
  import jax  # takes a second, as the tasks do; --help need not wait for them

  from hyper.tasks import make_task

  check_flags()
  points = find_points()
  selection = find_selection()
  if FLAGS.worker:
    from hyper.sweeping.worker import Worker

    worker = Worker(open_study(selection), make_task, selection, FLAGS.data_dir)
    return worker.work()
  jax.config.update('jax_platforms', 'cpu')  # accelerators are the workers'
  is_grid = FLAGS.search == 'grid'
  tried = points if is_grid else ends(search())
  space.check(tried, make_task, FLAGS.data_dir)
  if FLAGS.dry_run or FLAGS.launcher == 'print':
    for number, point in enumerate(points):
      workdir = os.path.join(FLAGS.study, TRIALS, f'{number:04}')
      print(point.line(workdir, FLAGS.data_dir))
    return 0
  return sweep(points, selection)


def sweep(points: list[Point], selection: tuple[str, str]) -> int:
  """Trains the trials by workers of this machine, and compares them."""
  kind, names = machine.find(FLAGS.devices)
  shares = machine.shares(FLAGS.workers, kind, names)
  study = open_study(selection)
  if FLAGS.search == 'grid':
    study.add(points)
  for number in (signal.SIGTERM, signal.SIGINT):  # a scheduler's, Ctrl-C
    signal.signal(number, signal.default_int_handler)
  command = [sys.executable, '-m', 'hyper.sweep', *sys.argv[1:], '--worker']
  workers = local.Workers(command, shares)
  status = local.supervise(
    study, workers, FLAGS.workers, selection, FLAGS.time_limit
  )
  report(study)
  return status


def check_flags() -> None:
  """Raises a ValueError for flags that do not go together."""
  if FLAGS.search == 'grid':
    return
  if len(FLAGS.config) > 1 or FLAGS.grid or FLAGS.seeds:
    raise ValueError(
      f'--search={FLAGS.search} takes one --config, and neither --grid nor '
      '--seeds: what varies is what the config file suggests.'
    )
  if not FLAGS.trials:
    raise ValueError(f'--search={FLAGS.search} needs --trials.')
  path = FLAGS.config[0].partition(':')[0]
  if not hasattr(space.module(path), 'suggest'):
    raise ValueError(
      f'{path} has no function suggest(trial), which --search={FLAGS.search} '
      'calls; write one that returns fields and values, or use --search=grid.'
    )


def find_points() -> list[Point]:
  """Returns the trials of a grid, or examples of those of another search."""
  if FLAGS.search != 'grid':
    return journal.examples(search(), FLAGS.trials)
  found = space.points(FLAGS.config, FLAGS.grid, FLAGS.set, FLAGS.seeds)
  return found[: FLAGS.trials or None]


def find_selection() -> tuple[str, str]:
  """Returns the score that decides, and 'min' or 'max'.

  Raises:
    ValueError: the configs' tasks are unknown, or decide by different scores.
  """
  from hyper.tasks import TASKS

  tasks = {space.load(config).task for config in FLAGS.config}
  if unknown := tasks - set(TASKS):
    raise ValueError(
      f'config.task is {min(unknown)!r}; allowed: {", ".join(TASKS)}.'
    )
  found = {TASKS[task].selection for task in tasks}
  if len(found) > 1:
    raise ValueError(
      f'the configs are of the tasks {", ".join(sorted(tasks))}, whose scores '
      'cannot be compared; make a study of each.'
    )
  return found.pop()


def search() -> Search:
  """Returns how the flags say that trials are chosen."""
  config = FLAGS.config[0]
  fixed = space.fixed_fields(config, FLAGS.set)
  return Search(FLAGS.search, config, fixed, FLAGS.trials)


def open_study(selection: tuple[str, str]) -> Study:
  """Returns the study of the flags.

  Raises:
    ValueError: Optuna is not installed.
  """
  try:
    return Study(FLAGS.study, search(), selection[1], FLAGS.prune)
  except ModuleNotFoundError as error:
    raise ValueError(
      f'sweeps need Optuna, which is not installed ({error}); run pip install '
      "'optuna>=4.5,<6'."
    ) from error


def report(study: Study) -> None:
  """Prints the errors of trials that failed, and the tables of all runs."""
  for trial in study.latest():
    if trial.state.name == 'FAIL':
      log = os.path.join(study.workdir(trial), LOG)
      error = trial.user_attrs.get('error')
      print(f'{folder_of(trial)} failed: {error} (see {log})', file=sys.stderr)
  workdirs = [study.workdir(trial) for trial in study.latest()]
  runs = [finished.read(workdir) for workdir in workdirs if is_run(workdir)]
  for grid in tables.compare(entries.group(runs)):
    print(FORMATS['terminal'](grid))


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string(
    'config', None, 'FILE[:variant]; give several to train them side by side.'
  )
  flags.DEFINE_string(
    'study', None, 'Folder of the study: its journal, and trials/NUMBER.'
  )
  flags.DEFINE_multi_string(
    'grid',
    [],
    'FIELD=VALUE,VALUE; several make all combinations. Without any, the grid '
    'is what the config file says by get_sweep.',
  )
  flags.DEFINE_multi_string('set', [], 'FIELD=VALUE for all trials.')
  flags.DEFINE_integer(
    'seeds', 0, 'Repeat each trial of a grid with this many.', lower_bound=0
  )
  flags.DEFINE_enum(
    'search', 'grid', SEARCHES, 'The last two call suggest of the config file.'
  )
  flags.DEFINE_integer(
    'trials', 0, 'How many; 0 is the whole grid.', lower_bound=0
  )
  flags.DEFINE_bool(
    'prune', False, 'Stop trials that are worse than the median of the others.'
  )
  flags.DEFINE_integer(
    'workers', 1, 'Trials that are trained at once.', lower_bound=1
  )
  flags.DEFINE_list(
    'devices', [], 'Names of accelerators, such as 0,2; by default all.'
  )
  flags.DEFINE_float(
    'time_limit', 0.0, 'Seconds after which all is saved.', lower_bound=0.0
  )
  flags.DEFINE_string(
    'data_dir', 'data', 'Folder of the data sets, see hyper/data/README.md.'
  )
  flags.DEFINE_enum(
    'launcher',
    'local',
    ['local', 'print'],
    'Where trials run; print is one command a line, for any scheduler.',
  )
  flags.DEFINE_bool('dry_run', False, 'Print what would run, and stop.')
  flags.DEFINE_bool(
    'worker', False, 'Train trials of the study in this process alone.'
  )
  flags.mark_flags_as_required(['config', 'study'])


if __name__ == '__main__':
  commands.start(main, define_flags)
