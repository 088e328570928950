"""Trains what a config describes.

  python train.py --config=configs/ptb_hyperlstm.py --workdir=runs/ptb_hyper

Any field of the config can be given on the command line, for example
`--config.model.cell.units=256`; a variant follows the file after a colon,
`--config=configs/ptb_hyperlstm.py:embedded`. The folder alone resumes a run,
which `--set` can lengthen:

  python train.py --workdir=runs/ptb_hyper --set=train_steps=50000

With `--init_from=runs/other` a new run begins with the parameters of another
one, or with those of a file that `hyper.export` wrote.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from hyper import configuration
from hyper.runs import commands, folder
from hyper.runs.trackers import TRACKERS, find

if TYPE_CHECKING:
  from hyper.runs.origin import Origin
else:  # takes a second, which --help need not wait for
  Origin = Any


def train(
  config: ConfigDict,
  workdir: str,
  data_dir: str,
  profile: bool = False,
  begin_from: Origin | None = None,
  trackers: Sequence[str] = (),
) -> int:
  """Trains what a config describes; see `hyper.runs.loop.train`."""
  from hyper.runs import loop  # takes a second, which --help need not wait for
  from hyper.tasks import make_task

  return loop.train(
    *(make_task, config, workdir, data_dir, profile),
    begin_from=begin_from,
    trackers=find(trackers),
  )


def find_origin() -> Origin | None:
  """Returns where the flags take the first parameters from, if anywhere."""
  args = flags.FLAGS
  if not args.init_from:
    if args.init_from_paths:
      raise ValueError('--init_from_paths is given without --init_from.')
    return None
  from hyper.runs.origin import Origin

  return Origin(args.init_from, tuple(args.init_from_paths))


def find_config() -> ConfigDict:
  """Returns the config that the flags give, or that of the run to resume.

  Raises:
    ValueError: they give none, or a field or value that does not fit.
  """
  args = flags.FLAGS
  if args.config is not None:
    return configuration.change(args.config, args.set)
  if not args.workdir:
    raise ValueError('give --config for a new run, or the --workdir of a run.')
  if not folder.is_run(args.workdir):
    raise ValueError(
      f'there is no run in {args.workdir} to resume; give the --config of a '
      'new one.'
    )
  return configuration.change(folder.load_config(args.workdir), args.set)


def describe(config: ConfigDict) -> list[str]:
  """Returns a line for each field of a config, see `configuration.describe`.

  Raises:
    ValueError: there is no such task.
  """
  from hyper.runs import optimization, parallel
  from hyper.tasks import sections_of

  sections: dict[str, configuration.Fed] = {
    'optimizer': optimization.OPTIMIZERS,
    'schedule': optimization.SCHEDULES,
    'mesh': parallel.MeshSize,
  }
  return configuration.describe(config, sections | sections_of(config))


def main() -> int:
  """Reads the flags and trains, or describes the config."""
  from hyper.runs import compilation, processes

  args = flags.FLAGS
  config = find_config()
  if args.describe_config:
    print(*describe(config), sep='\n')
    return 0
  if not args.workdir:
    raise ValueError('give --workdir, the folder of the run.')
  begin_from = find_origin()
  processes.connect(args.coordinator, args.num_processes, args.process_id)
  compilation.keep()
  return train(
    *(config, args.workdir, args.data_dir, args.profile),
    *(begin_from, args.tracker),
  )


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  config_flags.DEFINE_config_file(
    'config',
    None,
    'Config file, optionally with a variant after a colon; configs/ has one '
    'for each experiment. --config.FIELD=VALUE replaces a field. '
    'Without it, the run in --workdir is resumed.',
  )
  flags.DEFINE(
    commands.PATH,
    'workdir',
    None,
    'Folder of the run: config, metrics, checkpoints. A run in it is resumed.',
  )
  flags.DEFINE_multi_string(
    'set',
    [],
    'FIELD=VALUE, replaces a field of the config, such as train_steps=5000.',
  )
  flags.DEFINE_bool(
    'describe_config',
    False,
    'Print each field of the config with its value and what it is, and stop.',
  )
  flags.DEFINE(
    commands.PATH,
    'data_dir',
    'data',
    'Folder of the data sets, see hyper/data/README.md.',
  )
  flags.DEFINE(
    commands.PATH,
    'init_from',
    '',
    'Run folder, whose best checkpoint is taken (the newest, if none has a '
    'score), or safetensors file: a new run begins with its parameters, at '
    'step 0.',
  )
  flags.DEFINE_multi_string(
    'init_from_paths',
    [],
    "Pattern of the parameters to take from --init_from, such as 'cells_*'; by "
    'default all.',
  )
  flags.DEFINE_multi_enum(
    'tracker',
    [],
    list(TRACKERS),
    'Tracker of experiments that observes the run, too.',
  )
  flags.DEFINE_bool(
    'profile',
    False,
    'Write a trace of a few steps to WORKDIR/profile, for Perfetto '
    '(ui.perfetto.dev), TensorBoard or XProf.',
  )
  flags.DEFINE_string(
    'coordinator',
    '',
    'Address and port of the first of several processes, such as host0:1234. '
    'Slurm, Open MPI and TPU hosts need none (docs/devices.md).',
  )
  flags.DEFINE_integer(
    'num_processes', 0, 'Number of processes; 1 joins none.', lower_bound=0
  )
  flags.DEFINE_integer('process_id', -1, 'Number of this process, from 0.')


if __name__ == '__main__':
  commands.start(main, define_flags)
