"""Trains what a config describes.

  python train.py --config=configs/ptb_hyperlstm.py --workdir=runs/ptb_hyper

Any field of the config can be given on the command line, for example
`--config.model.cell.units=256`; a variant follows the file after a colon,
`--config=configs/ptb_hyperlstm.py:embedded`. The same command on the same
folder resumes an interrupted run.
"""

from absl import flags
from ml_collections import ConfigDict, config_flags

from hyper.runs import commands


def train(
  config: ConfigDict, workdir: str, data_dir: str, profile: bool = False
) -> int:
  """Trains what a config describes; see `hyper.runs.loop.train`."""
  from hyper.runs import loop  # takes a second, which --help need not wait for
  from hyper.tasks import make_task

  return loop.train(make_task, config, workdir, data_dir, profile)


def main() -> int:
  """Reads the flags and trains."""
  from hyper.runs import processes

  args = flags.FLAGS
  processes.connect(args.coordinator, args.num_processes, args.process_id)
  return train(args.config, args.workdir, args.data_dir, args.profile)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  config_flags.DEFINE_config_file(
    'config',
    None,
    'Config file, optionally with a variant after a colon; configs/ has one '
    'for each experiment. --config.FIELD=VALUE replaces a field.',
  )
  flags.DEFINE_string(
    'workdir',
    None,
    'Folder of the run: config, metrics, checkpoints. An interrupted run in it '
    'is resumed.',
  )
  flags.DEFINE_string(
    'data_dir', 'data', 'Folder of the data sets, see hyper/data/README.md.'
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
    'Of a run of several processes: address and port of the first, such as '
    'host0:1234. Slurm, Open MPI and TPU hosts need none (docs/devices.md).',
  )
  flags.DEFINE_integer(
    'num_processes', 0, 'How many there are; 1 joins none.', lower_bound=0
  )
  flags.DEFINE_integer('process_id', -1, 'Which one this is, from 0.')
  flags.mark_flags_as_required(['config', 'workdir'])


if __name__ == '__main__':
  commands.start(main, define_flags)
