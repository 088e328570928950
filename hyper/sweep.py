r"""Trains many trials: a grid, or what Optuna suggests.

  python -m hyper.sweep --config=configs/ptb_hyperlstm.py:embedded \
    --study=studies/units --grid='model.cell.hyper_units=24,48' --seeds=3 \
    --workers=2

A trial is a run folder in STUDY/trials, as train.py makes it. The same command
resumes a study that was stopped; more --trials make it grow; the same command
on another machine, on the same disk, adds workers. At the end the runs are
compared as by `python -m hyper.compare`.

  python -m hyper.sweep --table=ptb --scale=0.25 --study=studies/ptb --seeds=3

trains every network of a table of the paper that has a config, at a quarter of
its width and steps, and scores each on the split that the paper reports.
"""

import importlib.util
import os
import signal
import sys
from collections.abc import Callable

from absl import flags

from hyper.compare import entries, finished, studies, tables
from hyper.compare.formats import FORMATS
from hyper.runs import commands, folder, record, trackers
from hyper.sweeping import (
  analysis,
  journal,
  launchers,
  progress,
  space,
  table,
)
from hyper.sweeping.journal import LOG, TRIALS, Study, folder_of
from hyper.sweeping.search import SEARCHES, Search, ends
from hyper.sweeping.space import Point
from hyper.sweeping.workers import Job, Workers

FLAGS = flags.FLAGS


def main() -> int:
  """Trains the trials, or prints their commands."""
  deadline = progress.deadline(FLAGS.time_limit)
  import jax  # takes a second, as the tasks do; --help need not wait for them

  from hyper.tasks import make_task

  check_flags()
  trackers.find(FLAGS.tracker)  # raises before the first trial
  selection = find_selection()
  if FLAGS.worker:
    return work(selection)
  points = find_points()
  jax.config.update('jax_platforms', 'cpu')  # accelerators are the workers'
  is_grid = FLAGS.search == 'grid'
  tried = points if is_grid else ends(search())
  space.check(tried, make_task, FLAGS.data_dir)
  if FLAGS.dry_run or FLAGS.launcher == 'print':
    tracked = [f'--tracker={name}' for name in FLAGS.tracker]
    for number, point in enumerate(points):
      workdir = os.path.join(FLAGS.study, TRIALS, f'{number:04}')
      print(point.line(workdir, FLAGS.data_dir, *tracked))
    return 0
  return sweep(points, selection, deadline)


def work(selection: tuple[str, str]) -> int:
  """Trains trials in this process until none is left."""
  from hyper.runs import compilation
  from hyper.sweeping.worker import Worker, obey
  from hyper.tasks import make_task

  compilation.keep()
  obey(FLAGS.time_limit)
  given = open_study(selection), make_task, selection, FLAGS.data_dir
  finish = evaluate if FLAGS.table else lambda workdir: None
  found = trackers.find(FLAGS.tracker)
  return Worker(*given, finish, FLAGS.vectorize, found).work()


def evaluate(workdir: str) -> None:
  """Scores a trained run on the split that the paper reports."""
  from hyper import trained

  scores = trained.evaluate(workdir, data_dir=FLAGS.data_dir)
  record.note_evaluation(workdir, scores)


def sweep(
  points: list[Point], selection: tuple[str, str], deadline: float
) -> int:
  """Trains the trials by workers, and compares them.

  Returns:
    0; 1 if a trial failed; 128 plus the number of a signal that stopped it.
  """
  start, log = launcher()
  study = open_study(selection)
  if FLAGS.search == 'grid':
    study.add(points)
  for number in (signal.SIGTERM, signal.SIGINT):  # a scheduler's, Ctrl-C
    signal.signal(number, signal.default_int_handler)
  workers = Workers(start, FLAGS.workers, log)
  slots = FLAGS.workers * FLAGS.vectorize
  status = progress.supervise(study, workers, slots, selection, deadline)
  if status:
    return status
  report(study)
  return int(any(trial.state.name == 'FAIL' for trial in study.latest()))


def launcher() -> tuple[Callable[[int], Job], str]:
  """Returns a function that starts a worker, and where workers' errors are.

  Raises:
    ValueError: see `launchers`.
  """
  command = [sys.executable, '-m', 'hyper.sweep', *sys.argv[1:], '--worker']
  if FLAGS.launcher == 'local':
    given = command, FLAGS.workers, FLAGS.devices
    return launchers.on_this_machine(*given), 'above'
  place = os.path.join(FLAGS.study, FLAGS.launcher)
  given = command, place, FLAGS.launcher_option
  return launchers.on_engine(FLAGS.launcher, *given), f'in {place}'


def check_flags() -> None:
  """Raises a ValueError for flags that do not go together, or need Optuna."""
  prints = FLAGS.dry_run or FLAGS.launcher == 'print'
  needs_optuna = FLAGS.search != 'grid' or not prints
  if needs_optuna and not importlib.util.find_spec('optuna'):
    raise ValueError("sweeps need Optuna: run pip install 'optuna>=4.7,<6'.")
  if bool(FLAGS.table) == bool(FLAGS.config):
    raise ValueError('give either --config or --table.')
  if FLAGS.vectorize > 1 and FLAGS.launcher == 'print':
    raise ValueError(
      f'--vectorize={FLAGS.vectorize} trains trials in one process, and '
      '--launcher=print prints a command for each; leave out one, or give '
      f'--launcher={", ".join(["local", *launchers.ENGINES])}.'
    )
  if FLAGS.scale != 1 and not FLAGS.table:
    raise ValueError('--scale shrinks the networks of a --table.')
  if FLAGS.table and (FLAGS.grid or FLAGS.search != 'grid' or FLAGS.prune):
    raise ValueError(
      '--table trains each network as the paper does: leave out --grid, '
      '--search and --prune.'
    )
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
  """Returns the trials of a grid, or examples of another search's trials."""
  if FLAGS.search != 'grid':
    return journal.examples(search(), FLAGS.trials)
  if FLAGS.table:
    found = table.points(FLAGS.table, FLAGS.set, FLAGS.seeds, FLAGS.scale)
  else:
    found = space.points(FLAGS.config, FLAGS.grid, FLAGS.set, FLAGS.seeds)
  return found[: FLAGS.trials or None]


def find_selection() -> tuple[str, str]:
  """Returns the score that decides, and 'min' or 'max'.

  Raises:
    ValueError: the configs' tasks are unknown, or decide by different scores.
  """
  from hyper.tasks import find_task

  tasks = {space.load(config).task for config in configs()}
  found = {find_task(task).selection for task in sorted(tasks)}
  if len(found) > 1:
    raise ValueError(
      f'the configs are of the tasks {", ".join(sorted(tasks))}, whose scores '
      'cannot be compared; make a study of each.'
    )
  return found.pop()


def configs() -> list[str]:
  """Returns FILE[:variant] of each config that is trained."""
  return table.configs(FLAGS.table) if FLAGS.table else FLAGS.config


def search() -> Search:
  """Returns the search that the flags choose."""
  config = configs()[0]
  fixed = space.fixed_fields(config, FLAGS.set)
  return Search(FLAGS.search, config, fixed, FLAGS.trials)


def open_study(selection: tuple[str, str]) -> Study:
  """Returns the study that the flags name."""
  return Study(FLAGS.study, search(), selection[1], FLAGS.prune)


def report(study: Study) -> None:
  """Prints the errors of trials that failed, and the tables of all runs."""
  for trial in study.latest():
    if trial.state.name == 'FAIL':
      log = os.path.join(study.workdir(trial), LOG)
      error = trial.user_attrs.get('error')
      print(f'{folder_of(trial)} failed: {error} (see {log})', file=sys.stderr)
  workdirs = map(study.workdir, study.latest())
  runs = [finished.read(x) for x in workdirs if folder.is_run(x)]
  grids = tables.compare(entries.group(runs))
  if not FLAGS.table:
    grids += studies.tables(FLAGS.study, analysis.read(FLAGS.study))
  for grid in grids:
    print(FORMATS['terminal'](grid))


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE_multi_string(
    'config', None, 'FILE[:variant]; give several to train them side by side.'
  )
  flags.DEFINE_enum(
    'table',
    None,
    list(table.DATA),
    'Instead of --config: every network of the tables of this data set in the '
    'paper that has a config.',
  )
  flags.DEFINE_float(
    'scale',
    1.0,
    'Factor for the networks of a table, rounded up: of the units of recurrent '
    'cells and of their hypernetworks, the numbers of steps (of training; '
    "between evaluations, saves and log lines) and the schedule's boundaries.",
    lower_bound=0.001,
    upper_bound=1.0,
  )
  flags.DEFINE(
    commands.PATH,
    'study',
    None,
    'Folder of the study: its journal, and trials/NUMBER.',
  )
  flags.DEFINE_multi_string(
    'grid',
    [],
    'FIELD=VALUE,VALUE; several make all combinations. Without any, the grid '
    'is that of get_sweep in the config file.',
  )
  flags.DEFINE_multi_string('set', [], 'FIELD=VALUE for all trials.')
  flags.DEFINE_integer(
    'seeds', 0, 'Number of seeds for each trial of a grid.', lower_bound=0
  )
  flags.DEFINE_enum(
    'search', 'grid', SEARCHES, 'The last two call suggest in the config file.'
  )
  flags.DEFINE_integer(
    'trials', 0, 'Number of trials; 0 is the whole grid.', lower_bound=0
  )
  flags.DEFINE_bool(
    'prune', False, 'Stop trials that are worse than the median of the others.'
  )
  flags.DEFINE_integer(
    'workers',
    1,
    'Processes that train at once, each on its share of the machine.',
    lower_bound=1,
  )
  flags.DEFINE_integer(
    'vectorize',
    1,
    'Trials that each worker trains at once by one compiled step, each in its '
    'own run folder. Trials train together if they are at the same step and '
    'differ only in the seed and in numbers of the step (learning rate, '
    'dropout, clip norm, L2; never zero beside non-zero). The seed must agree '
    'if batches are sorted by length (handwriting, translation). It pays for '
    'small networks.',
    lower_bound=1,
  )
  flags.DEFINE_list(
    'devices', [], 'Names of accelerators, such as 0,2; by default all.'
  )
  flags.DEFINE_float(
    'time_limit',
    0.0,
    'Seconds after which everything is saved and has stopped, such as the '
    'limit of a scheduler; the last tenth, half a minute to two minutes, is '
    'for saving.',
    lower_bound=0.0,
  )
  flags.DEFINE(
    commands.PATH,
    'data_dir',
    'data',
    'Folder of the data sets, see hyper/data/README.md.',
  )
  flags.DEFINE_enum(
    'launcher',
    'local',
    ['local', 'print', *launchers.ENGINES],
    'Where workers run: on this machine, as jobs of Slurm (by submitit), or on '
    'a Ray cluster; print is one command a line, for any scheduler.',
  )
  flags.DEFINE_multi_string(
    'launcher_option',
    [],
    "NAME=VALUE: of a job, as submitit's AutoExecutor takes it, or of a Ray "
    'actor; see docs/commands.md.',
  )
  flags.DEFINE_multi_enum(
    'tracker',
    [],
    list(trackers.TRACKERS),
    'Tracker of experiments that observes each trial, too.',
  )
  flags.DEFINE_bool('dry_run', False, 'Print what would run, and stop.')
  flags.DEFINE_bool(
    'worker', False, 'Train trials of the study in this process alone.'
  )
  flags.mark_flag_as_required('study')


if __name__ == '__main__':
  commands.start(main, define_flags)
