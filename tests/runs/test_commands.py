"""Commands: flags and arguments checked, errors in one line, exit status."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import pytest
from absl import flags
from ml_collections import config_flags

from hyper.runs import commands

ROOT = pathlib.Path(__file__).parents[2]
PLAIN = """
from absl import flags
from hyper.runs import commands

def define_flags():
  flags.DEFINE_integer('count', 1, 'How many.', lower_bound=1)
  flags.DEFINE_string('raise', '', 'An error, by its name.')
  flags.DEFINE_integer('status', None, 'Returned.')
  flags.DEFINE(commands.PATH, 'curves', None, 'A picture.')
  flags.DEFINE_bool('compute', False, 'Needs a device.')

def main(*words):
  print('ran', flags.FLAGS.count, *words)
  if flags.FLAGS.compute:
    import jax
    jax.devices()
  name = flags.FLAGS['raise'].value
  if name:
    raise getattr(__builtins__, name)('the cause')
  return flags.FLAGS.status

commands.start(main, define_flags, CHOICES)
"""


NO_PATHS = {  # flags of text that name no file to read or to write
  *('prompt', 'text', 'sentence', 'metric', 'kernel', 'set', 'override'),
  *('grid', 'launcher_option', 'devices', 'init_from_paths', 'coordinator'),
  *('checkpoint', 'entry', 'field', 'size', 'only', 'rows', 'runs', 'topology'),
  'config',  # and its variant
}
BOTH = {'a': ('count', 'raise', 'status'), 'b': ('count',)}


def run(*arguments, choices=(), env=None):
  script = PLAIN.replace('CHOICES', repr(choices))
  return subprocess.run(
    [sys.executable, '-c', script, *arguments],
    capture_output=True,
    text=True,
    timeout=60,
    env=os.environ | (env or {}),
  )


@pytest.mark.parametrize(
  'arguments, choices, printed, status',
  [
    (['--count=3'], (), 'ran 3\n', 0),
    (['--status=130'], (), 'ran 1\n', 130),
    (['b', '--count=2'], BOTH, 'ran 2 b\n', 0),
  ],
)
def test_a_command_runs(arguments, choices, printed, status):
  done = run(*arguments, choices=choices)
  assert (done.stdout, done.returncode) == (printed, status), done.stderr


@pytest.mark.parametrize(
  'arguments, choices, line',
  [
    (['--count=0'], (), 'flag --count=0: '),
    (['--cuont=2'], (), "Unknown command line flag 'cuont'. Did you mean: c"),
    (['word'], (), 'unexpected arguments: word'),
    (['c'], BOTH, "got 'c'; give one of: a, b."),
    ([], BOTH, 'give one of: a, b.'),
    (['b', '--status=1'], BOTH, 'b does not read --status; it reads --count.'),
    (['--curves=gs://b/c'], (), "flag --curves=gs://b/c: the path is 'gs://b"),
    (['--raise=ValueError'], (), 'the cause'),
    (['--raise=FloatingPointError'], (), 'the cause'),
    (['--raise=FileNotFoundError'], (), 'the cause'),
    (['--raise=IsADirectoryError'], (), 'the cause'),
  ],
)
def test_an_error_is_one_line(arguments, choices, line):
  done = run(*arguments, choices=choices)
  assert done.returncode == 1
  assert done.stderr.startswith(f'error: {line}'), done.stderr
  assert done.stderr.count('\n') == 1


@pytest.mark.parametrize('platform', ['cuda', 'rocm'])
def test_a_missing_platform_is_named(platform):
  done = run('--compute', env={'JAX_PLATFORMS': platform})
  assert done.returncode == 1
  said = f'error: JAX finds no device of the platform {platform!r} here.'
  assert done.stderr.splitlines()[-1].startswith(said), done.stderr
  assert 'Traceback' not in done.stderr


def test_a_tilde_is_the_home_folder():
  values = flags.FlagValues()
  flags.DEFINE(commands.PATH, 'one', '', '', flag_values=values)
  flags.DEFINE_multi(
    *(commands.PATH, flags.ArgumentSerializer(), 'many', None, ''),
    flag_values=values,
  )
  values(['', '--one=~/run', '--many=~/a', '--many=b'])
  home = os.path.expanduser('~')
  assert (values.one, values.many) == (f'{home}/run', [f'{home}/a', 'b'])


def test_operands_are_paths(capsys):
  assert commands.required(['~/a'], 'folders') == [os.path.expanduser('~/a')]
  with pytest.raises(SystemExit, match='a URL; .*docs/devices.md'):
    commands.required(['a', 'gs://b/c'], 'folders')


def test_each_flag_that_is_a_path_is_parsed_as_one():
  folders = [ROOT / 'hyper', ROOT / 'benchmarks']
  sources = [x for folder in folders for x in folder.rglob('*.py')]
  found = set()
  for path in [*sources, ROOT / 'train.py', ROOT / 'evaluate.py']:
    found |= {
      *re.findall(
        r"DEFINE_(?:multi_)?(?:string|list)\(\s*'(\w+)'",
        path.read_text('utf-8'),
      )
    }
  assert found == NO_PATHS


def test_an_output_is_checked_before_the_work(tmp_path):
  commands.prepare_output(str(tmp_path / 'new' / 'x.png'), ('svg', 'png'))
  assert (tmp_path / 'new').is_dir()
  commands.prepare_output('anything')
  commands.prepare_output('', ('svg', 'png'))
  with pytest.raises(ValueError, match="'x.gif'; it must end in .svg, .png."):
    commands.prepare_output('x.gif', ('svg', 'png'))
  (tmp_path / 'file').touch()
  with pytest.raises(OSError):
    commands.prepare_output(str(tmp_path / 'file' / 'x'))


@pytest.mark.parametrize('path', ['out/', 'out/.', '..'])
def test_an_output_without_a_name_is_refused(path):
  with pytest.raises(ValueError, match='a folder; name a file in it'):
    commands.prepare_output(path)
  assert not os.path.exists('out')


def test_a_command_draws_on_no_screen(monkeypatch):
  monkeypatch.setenv('MPLBACKEND', 'module://matplotlib_inline.backend_inline')
  monkeypatch.setattr(commands.app, 'run', lambda *_, **__: None)
  commands.start(print, lambda: None)
  assert 'MPLBACKEND' not in os.environ


def test_windows_is_refused_in_a_line(monkeypatch):
  monkeypatch.setattr(sys, 'platform', 'win32')
  with pytest.raises(SystemExit, match='error: hyper runs on Linux and macOS'):
    commands.start(print, lambda: None)


def test_nothing_is_imported_before_that_which_windows_lacks():
  lacks = re.compile(
    r'^(import|from) (fcntl|resource|termios)\b|^\S.*signal\.SIGKILL', re.M
  )
  sources = [x.read_text('utf-8') for x in (ROOT / 'hyper').rglob('*.py')]
  assert len(sources) > 100
  assert not [x.partition('\n')[0] for x in sources if lacks.search(x)]


@pytest.mark.parametrize(
  'error, said, status',
  [('KeyboardInterrupt', 'interrupted\n', 130), ('BrokenPipeError', '', 141)],
)
def test_leaving_early_is_no_error(error, said, status):
  done = run(f'--raise={error}')
  assert (done.stderr, done.returncode) == (said, status)


def test_an_unexpected_error_keeps_its_traceback():
  done = run('--raise=ZeroDivisionError')
  assert done.returncode == 1
  assert 'Traceback' in done.stderr
  assert 'ZeroDivisionError: the cause' in done.stderr


def test_a_missing_flag_is_asked_for_with_its_help():
  required = "flags.DEFINE_bool('compute', False, 'Needs a device.')"
  script = PLAIN.replace('CHOICES', '()').replace(
    required, f"{required}; flags.mark_flag_as_required('curves')"
  )
  done = subprocess.run(
    [sys.executable, '-c', script], capture_output=True, text=True, timeout=60
  )
  said = 'error: give --curves: A picture. (--help explains the flags)\n'
  assert (done.stderr, done.returncode) == (said, 1)


def test_help_shows_the_flags():
  done = run('--help')
  assert '--count: How many.' in done.stdout
  assert done.returncode == 0


def test_help_whose_reader_is_gone_ends_in_silence():
  reader, writer = os.pipe()
  os.close(reader)
  script = PLAIN.replace('CHOICES', '()')
  done = subprocess.run(
    [sys.executable, '-c', script, '--help'],
    stdout=writer,
    stderr=subprocess.PIPE,
    timeout=60,
  )
  os.close(writer)
  assert done.stderr == b''
  assert done.returncode in (0, 128 + signal.SIGPIPE)  # absl may ignore it


@pytest.mark.parametrize(
  'command',
  [
    *(['train.py'], ['evaluate.py']),
    *(
      ['-m', f'hyper.{name}']
      for name in ('generate', 'export', 'figures', 'compare', 'sweep')
    ),
  ],
)
def test_help_does_not_wait_for_jax(command):
  done = subprocess.run(
    [sys.executable, '-X', 'importtime', *command, '--help'],
    capture_output=True,
    text=True,
    timeout=60,
    cwd=ROOT,
  )
  assert done.returncode == 0
  wanted = {'compare': 'html', 'sweep': 'study'}
  flag = wanted.get(command[-1].removeprefix('hyper.'), 'workdir')
  assert f'\n  --{flag}: ' in done.stdout
  imported = {line.split('|')[-1].strip() for line in done.stderr.splitlines()}
  assert 'absl.flags' in imported
  assert not imported & {'jax', 'flax', 'optax', 'matplotlib'}


@pytest.mark.parametrize(
  'error', [MemoryError(), jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: no')]
)
def test_a_lack_of_memory_is_one_line_that_says_what_helps(error, capsys):
  def main():
    raise error

  assert commands.checked(main, []) == 1
  said = capsys.readouterr().err
  for part in ('out of memory', 'batch_size', 'remat_steps', 'intact'):
    assert part in said
  assert said.count('\n') == 1


def test_other_errors_of_a_device_are_not_called_a_lack_of_memory():
  def main():
    raise jax.errors.JaxRuntimeError('INTERNAL: broken')

  with pytest.raises(jax.errors.JaxRuntimeError):
    commands.checked(main, [])


@pytest.mark.filterwarnings('ignore:the load_module')  # of ml_collections
@pytest.mark.parametrize(
  'given, message',
  [
    (
      ['--config=configs/ptb_lsm.py:large'],
      "--config=configs/ptb_lsm.py: there is no such file. Did you mean '"
      "configs/ptb_lstm.py'",
    ),
    (['--config', 'mnist_mlp'], "Did you mean 'configs/mnist_mlp.py'"),
    (
      ['--config=configs/ptb_lstm.py', '--config.model.cell.units=big'],
      "--config.model.cell.units is 'big'; it must be of type int.",
    ),
    (
      ['--config=configs/ptb_lstm.py', '--config.model.cell.unitz=3'],
      "no such field. Did you mean 'model.cell.units'",
    ),
  ],
)
def test_a_wrong_config_is_explained(given, message, monkeypatch):
  values = flags.FlagValues()
  config_flags.DEFINE_config_file('config', flag_values=values)
  monkeypatch.setattr(flags, 'FLAGS', values)
  monkeypatch.setattr(sys, 'argv', ['train.py', *given])
  monkeypatch.chdir(ROOT)
  with pytest.raises(SystemExit, match=re.escape(message)):
    commands.parse(sys.argv)
