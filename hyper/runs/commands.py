"""What the commands share: how flags are read and how errors are said.

Whatever is wrong with flags, files or data is said on standard error, in one
line or in a list of what differs, and the exit status is 1. The traceback is in
the log with --verbosity=1.
"""

import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from absl import app, flags, logging

from hyper.runs import memory

EXPECTED = (ValueError, OSError, FloatingPointError, MemoryError)
# The flags of `define_sampling_flags`.
SAMPLING = ('checkpoint', 'prompt', 'length', 'temperature', 'seed')
PATHS = ('workdir', 'data_dir', 'output', 'input', 'prime')  # flags


def start(
  main: Callable[..., int | None],
  define_flags: Callable[[], None],
  choices: Mapping[str, Collection[str]] = MappingProxyType({}),
  operands: str = '',
) -> None:
  """Runs a command and exits with its status.

  Args:
    main: the command; its result is the exit status, None meaning 0.
    define_flags: declares the flags, which only a command does.
    choices: where there are any, one of them is the command's only argument,
      which `main` is called with, and each has the flags that it reads.
      Otherwise there are no arguments.
    operands: what the arguments are, such as 'run folders', if there is at
      least one of them; `main` is called with their list.
  """
  # Nothing is drawn on a screen, and matplotlib cannot be imported where this
  # names a backend that is not installed, as notebooks do.
  os.environ.pop('MPLBACKEND', None)
  others = set(flags.FLAGS)
  define_flags()
  own = set(flags.FLAGS) - others

  def run(argv: list[str]) -> int:
    if operands:
      return checked(main, [required(argv[1:], operands)])
    given = arguments(argv[1:], choices)
    for choice in given:
      check_unread(choice, own - {*choices[choice]}, choices[choice])
    return checked(main, given)

  app.run(run, flags_parser=parse)


def parse(argv: list[str]) -> list[str]:
  """Parses flags; what is wrong with them or the config is said in a line.

  A config file is Python, so there is no end to what it may raise; of the
  tracebacks that the flag's parser quotes, only the last line is for people.
  """
  try:
    rest = flags.FLAGS(argv)
    for name in {*PATHS} & {*flags.FLAGS}:
      flag = flags.FLAGS[name]  # the shell leaves --workdir=~/run as it is
      flag.value = expanded(flag.value)
    if 'config' in flags.FLAGS and hasattr(flags.FLAGS.config, 'to_dict'):
      flags.FLAGS.config.to_dict()  # a file that is missing is noticed here
    return rest
  except Exception as error:
    message = (str(error).strip() or repr(error)).splitlines()[-1].strip()
    cause = error.args[0] if error.args else None
    if isinstance(cause, KeyError):  # how a field that is not there is said
      message = f'no such field: {in_one_line(cause)}'
    sys.exit(f'error: {message} (--help explains the flags)')


def in_one_line(error: Exception) -> str:
  """What an error says, without its line ends; a KeyError without quotes."""
  return ' '.join(str(error.args[0]).split())


def expanded(value: Any) -> Any:
  """A path, or a list of paths, with the home folder put in for a tilde."""
  if isinstance(value, list):
    return [os.path.expanduser(path) for path in value]
  return os.path.expanduser(value) if value else value


def arguments(given: list[str], choices: Collection[str]) -> list[str]:
  """The arguments, if they are as they must be; otherwise exits."""
  if not choices and given:
    sys.exit(f'error: unexpected arguments: {" ".join(given)}')
  if choices and (len(given) != 1 or given[0] not in choices):
    said = f'got {" ".join(given)!r}; ' if given else ''
    sys.exit(f'error: {said}say one of: {", ".join(choices)}.')
  return given


def check_unread(
  choice: str, unread: Collection[str], read: Collection[str]
) -> None:
  """Exits where a flag is given that would change nothing."""
  for name in sorted(unread):
    if flags.FLAGS[name].present:
      sys.exit(
        f'error: {choice} does not read --{name}; it reads '
        f'{", ".join(f"--{each}" for each in read)}.'
      )


def prepare_output(path: str, endings: Collection[str] = ()) -> None:
  """Makes the folder of a file to write, before the work for it begins.

  An empty path stands for no file, and nothing is done.

  Raises:
    ValueError: the path has another ending, or names a folder.
    OSError: the folder cannot be made.
  """
  if not path:
    return
  if os.path.basename(path) in ('', '.', '..'):
    raise ValueError(
      f'--output is {path!r}, a folder; name a file in it, such as '
      f'{os.path.join(path, "out")}.'
    )
  if endings and not path.endswith(tuple(f'.{x}' for x in endings)):
    raise ValueError(
      f'--output is {path!r}; it must end in .{", .".join(endings)}.'
    )
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)


def required(given: list[str], operands: str) -> list[str]:
  """Returns the arguments, paths, if there are any; otherwise exits."""
  if not given:
    sys.exit(f'error: give {operands} (--help explains the flags)')
  return expanded(given)


def checked(main: Callable[..., int | None], given: list[Any]) -> int:
  """The exit status of a command; an expected error is said in one line."""
  try:
    with memory.explained():
      return main(*given) or 0
  except BrokenPipeError:  # whoever reads the output has had enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return 128 + signal.SIGINT
  except EXPECTED as error:
    logging.debug('traceback', exc_info=True)
    print(f'error: {error}', file=sys.stderr)
    return 1


def define_sampling_flags() -> None:
  """Declares how a checkpoint is chosen and text is drawn from it."""
  flags.DEFINE_enum('checkpoint', 'best', ['best', 'latest'], 'Which one.')
  flags.DEFINE_string('prompt', '', 'Text to go on from.')
  flags.DEFINE_integer(
    'length', 500, 'Symbols, or pen steps of each line.', lower_bound=1
  )
  flags.DEFINE_float(
    'temperature',
    1.0,
    'Divides the logits: below 1 is more cautious, 0 takes the most probable.',
    lower_bound=0.0,
  )
  flags.DEFINE_integer(
    'seed', 0, 'Of the draws.', lower_bound=0, upper_bound=2**32 - 1
  )
