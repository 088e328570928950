"""How commands read their flags and report errors.

An error in flags, files, data or the machine is one line on standard error, or
a list of differences, and the exit status is 1. With --verbosity=1 the log has
the traceback.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from absl import app, flags, logging

from hyper import configuration, files, terminal
from hyper.runs import memory

EXPECTED = (ValueError, OSError, FloatingPointError, MemoryError)
# The flags of `define_sampling_flags`.
SAMPLING = ('checkpoint', 'prompt', 'length', 'temperature', 'seed')


class Path(flags.ArgumentParser[str]):
  """The parser of flags that are paths: `flags.DEFINE(PATH, 'workdir', ...)`.

  A leading tilde, which the shell leaves in --workdir=~/run, becomes the home
  folder, and a URL is an error.
  """

  def parse(self, argument: str) -> str:
    """Returns the path to use; raises a ValueError if it is a URL."""
    files.check_path('the path', argument)
    return os.path.expanduser(argument)


PATH = Path()


def start(
  main: Callable[..., int | None],
  define_flags: Callable[[], None],
  choices: Mapping[str, Collection[str]] = MappingProxyType({}),
  operands: str = '',
) -> None:
  """Runs a command and exits with its status.

  Args:
    main: the command; it returns the exit status, or None for 0.
    define_flags: declares the flags, which only a command does.
    choices: by word, the flags that it reads. A command with choices takes one
      of the words as its argument, and `main` is called with it.
    operands: for a command that takes one or more arguments, what they are,
      such as 'run folders'; `main` is called with the list of them.
  """
  if sys.platform == 'win32':
    sys.exit(
      'error: hyper runs on Linux and macOS; Windows is not supported. Use the '
      'Windows Subsystem for Linux.'
    )
  # Notebooks set this to a backend that may not be installed, and matplotlib
  # then cannot be imported. Commands draw to files and need no backend.
  os.environ.pop('MPLBACKEND', None)
  others = set(flags.FLAGS)
  define_flags()
  own = set(flags.FLAGS) - others
  for name in own:  # so that --help shows those that other modules declare
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])

  def run(argv: list[str]) -> int:
    terminal.log_briefly()
    if operands:
      return checked(main, [required(argv[1:], operands)])
    given = arguments(argv[1:], choices)
    for choice in given:
      check_unread(choice, own - {*choices[choice]}, choices[choice])
    return checked(main, given)

  app.run(run, flags_parser=parse)


def parse(argv: list[str]) -> list[str]:
  """Parses flags, and exits with one line if they or the config are wrong.

  A config file is Python and may raise anything. The flag's parser quotes the
  traceback, of which only the last line is shown.
  """
  try:
    rest = flags.FLAGS(argv)
    if 'config' in flags.FLAGS and hasattr(flags.FLAGS.config, 'to_dict'):
      flags.FLAGS.config.to_dict()  # raises if the file is missing
    return rest
  except (SystemExit, BrokenPipeError):  # of --help, whose status absl makes 1
    sys.exit(checked(sys.stdout.flush, []))
  except Exception as error:
    message = missing_flag(error) or wrong_config(error, argv) or last(error)
    sys.exit(f'error: {message} (--help explains the flags)')


def last(error: Exception) -> str:
  """Returns the last line of an error, which may quote a traceback.

  >>> last(Exception('line 1, in get_config\\nValueError: units is 0'))
  'units is 0'
  """
  line = (str(error).strip() or repr(error)).splitlines()[-1].strip()
  return line.removeprefix('ValueError: ')


def missing_flag(error: Exception) -> str:
  """Returns which flag must be given; '' if the error is another one."""
  missing = re.match(r'flag --(\w+)=None: ', str(error))
  if not missing:
    return ''
  return f'give --{missing[1]}: {flags.FLAGS[missing[1]].help}'


def wrong_config(error: Exception, argv: list[str]) -> str:
  """Returns what is wrong with --config or a --config.FIELD; '' if unknown."""
  text = '\n'.join(argv)
  file = re.search(r'^--?config[=\n](.+)', text, re.M)
  if not file or 'config' not in flags.FLAGS:
    return ''
  try:
    configuration.check_file(file[1])
  except FileNotFoundError as missing:
    return str(missing)
  try:
    config = flags.FLAGS['config'].parser.parse(file[1])
    fields = configuration.flatten(config)
  except Exception:  # the file itself is wrong
    return ''
  cause = error.args[0] if error.args else None
  if any(isinstance(x, KeyError) for x in (error, cause)):
    return mistyped(text, fields)
  value = re.match(r'flag --config\.([\w.]+)=(.*?): ', str(error))
  if not value or value[1] not in fields:
    return ''
  kind = type(fields[value[1]]).__name__
  return f'--config.{value[1]} is {value[2]!r}; it must be of type {kind}.'


def mistyped(text: str, fields: Collection[str]) -> str:
  """Returns what is wrong with the first --config.FIELD not in `fields`.

  Args:
    text: the flags, one a line.
    fields: the paths that a config has.
  """
  for path in re.findall(r'^--?config\.([\w.]+)', text, re.M):
    if path not in fields:
      return (
        f'--config.{path}: there is no such field.'
        f'{configuration.nearest_or_all(path, fields)}'
      )
  return ''


def arguments(given: list[str], choices: Collection[str]) -> list[str]:
  """Returns `given`, or exits unless it is one of `choices`.

  Without choices `given` must be empty.
  """
  if not choices and given:
    sys.exit(f'error: unexpected arguments: {" ".join(given)}')
  if choices and (len(given) != 1 or given[0] not in choices):
    found = f'got {" ".join(given)!r}; ' if given else ''
    sys.exit(f'error: {found}give one of: {", ".join(choices)}.')
  return given


def check_unread(
  choice: str, unread: Collection[str], read: Collection[str]
) -> None:
  """Exits if one of the flags `unread` is given, which `choice` ignores."""
  for name in sorted(unread):
    if flags.FLAGS[name].present:
      sys.exit(
        f'error: {choice} does not read --{name}; it reads '
        f'{", ".join(f"--{each}" for each in read)}.'
      )


def prepare_output(
  path: str, endings: Collection[str] = (), flag: str = '--output'
) -> None:
  """Checks `path` and makes its folder, before long work writes the file.

  Args:
    path: of the file; if it is empty, nothing is done.
    endings: the allowed file endings, without the dot; empty allows any.
    flag: the flag that the path comes from, for messages.

  Raises:
    ValueError: the path has another ending, or names a folder.
    OSError: the folder cannot be made.
  """
  if not path:
    return
  if os.path.basename(path) in ('', '.', '..'):
    raise ValueError(
      f'{flag} is {path!r}, a folder; name a file in it, such as '
      f'{os.path.join(path, "out")}.'
    )
  if endings and not path.endswith(tuple(f'.{x}' for x in endings)):
    raise ValueError(
      f'{flag} is {path!r}; it must end in .{", .".join(endings)}.'
    )
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)


def required(given: list[str], operands: str) -> list[str]:
  """Returns the paths `given`; exits if there is none, or one is a URL."""
  if not given:
    sys.exit(f'error: give {operands} (--help explains the flags)')
  try:
    return [PATH.parse(path) for path in given]
  except ValueError as error:
    sys.exit(f'error: {error}')


def checked(main: Callable[..., int | None], given: list[Any]) -> int:
  """Runs a command and returns its exit status; prints errors in one line."""
  try:
    with memory.explained():
      return main(*given) or 0
  except BrokenPipeError:  # the reader of the output has closed it
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return 128 + signal.SIGINT
  except EXPECTED as error:
    logging.debug('traceback', exc_info=True)
    print(f'error: {error}', file=sys.stderr)
    return 1
  except (RuntimeError, AssertionError):  # jax raises these without a device
    platform = missing_platform()
    if not platform:
      raise
    logging.debug('traceback', exc_info=True)
    print(
      f'error: JAX finds no device of the platform {platform!r} here. Unset '
      'JAX_PLATFORMS, or set it to cpu.',
      file=sys.stderr,
    )
    return 1


def missing_platform() -> str:
  """Returns the platform asked of JAX if it has no device, otherwise ''."""
  import jax

  try:
    jax.devices()
    return ''
  except (RuntimeError, AssertionError):
    return jax.config.jax_platforms  # type: ignore[attr-defined]


def define_run_flag() -> None:
  """Declares --workdir of a command that uses a trained run."""
  flags.DEFINE(
    PATH, 'workdir', None, 'Folder of a trained run, or a file of hyper.export.'
  )


def define_sampling_flags() -> None:
  """Declares the flags that choose a checkpoint and draw from its model."""
  flags.DEFINE_enum(
    'checkpoint', 'best', ['best', 'latest'], 'The checkpoint to read.'
  )
  flags.DEFINE_string('prompt', '', 'Text that the generated text continues.')
  flags.DEFINE_integer(
    'length',
    500,
    'Number of symbols, or of pen moves in each line.',
    lower_bound=1,
  )
  flags.DEFINE_float(
    'temperature',
    1.0,
    'Divides the logits: below 1 is more cautious, 0 takes the most probable.',
    lower_bound=0.0,
  )
  flags.DEFINE_integer(
    'seed',
    0,
    'Seed of the random draws.',
    lower_bound=0,
    upper_bound=2**32 - 1,
  )
