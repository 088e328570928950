"""The compilation cache: used where it works, and never in the way."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest
from toy import Toy, config_of

from hyper.runs import compilation
from hyper.runs.compiled import Compiled, step_numbers

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = """
import jax
from hyper.runs import compilation
compilation.keep()
hits = []
jax.monitoring.register_event_listener(
  lambda event, **more: hits.append(event) if 'cache_hits' in event else None
)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
print(jax.jit(lambda x: x * x + 1)(3.0), bool(hits))
"""


def run(home, enabled='true'):
  """Returns what a process prints: a number, and if its program was read."""
  environment = os.environ | {
    'XDG_CACHE_HOME': str(home),
    'JAX_ENABLE_COMPILATION_CACHE': enabled,
  }
  done = subprocess.run(
    [sys.executable, '-c', SCRIPT],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env=environment,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout.strip()


@pytest.mark.slow
def test_a_second_process_reads_what_the_first_compiled(tmp_path):
  assert run(tmp_path, 'false') == '10.0 False'
  assert list(tmp_path.iterdir()) == []
  assert run(tmp_path) == '10.0 False'
  (state,) = tmp_path.glob('hyper/compiled/*/state')
  assert state.read_text() == 'written'
  second, verdict = run(tmp_path), state.read_text()
  assert (second, verdict) in [
    *(('10.0 True', 'works'), ('10.0 False', 'fails'))
  ]
  for entry in state.parent.glob('*-cache'):
    entry.write_bytes(b'damaged')
  assert run(tmp_path) == '10.0 False'


@pytest.mark.parametrize(
  'probe, verdict',
  [
    ((True, ''), 'works'),
    ((False, ''), 'fails'),
    ((True, 'E0000 features are not supported on the host'), 'fails'),
  ],
)
def test_the_second_process_decides(probe, verdict, tmp_path, monkeypatch):
  monkeypatch.setattr(compilation, 'read_probe', lambda: (False, ''))
  assert compilation.is_sound(tmp_path)
  monkeypatch.setattr(compilation, 'read_probe', lambda: probe)
  for _ in range(2):
    assert compilation.is_sound(tmp_path) == (verdict == 'works')
    assert (tmp_path / 'state').read_text() == verdict
    monkeypatch.setattr(compilation, 'read_probe', None)  # not called again


def test_only_the_first_process_decides(tmp_path, monkeypatch):
  monkeypatch.setattr(compilation, 'read_probe', None)  # not called
  monkeypatch.setattr(compilation.processes, 'is_first', lambda: False)
  for _ in range(2):  # a host whose cache the first process does not share
    assert compilation.is_sound(tmp_path)
    assert not [*tmp_path.iterdir()]
  (tmp_path / 'state').write_text('fails')
  assert not compilation.is_sound(tmp_path)


def test_an_error_turns_the_cache_off(tmp_path, monkeypatch):
  place = jax.config.jax_compilation_cache_dir
  (tmp_path / 'hyper').write_text('a file in the way')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  try:
    jax.config.update('jax_compilation_cache_dir', None)
    compilation.keep()
    assert jax.config.jax_compilation_cache_dir is None
  finally:
    jax.config.update('jax_compilation_cache_dir', place)


def test_a_folder_that_the_user_chose_is_used_as_it_is(monkeypatch):
  monkeypatch.setattr(compilation, 'folder', None)
  place = jax.config.jax_compilation_cache_dir
  compilation.keep()
  assert place and jax.config.jax_compilation_cache_dir == place


def test_the_folder_depends_on_the_machine(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  place = compilation.folder()
  assert place.parent == tmp_path / 'hyper' / 'compiled'
  assert place.name.startswith(f'{jax.lib.__version__}-cpu-')
  monkeypatch.setattr(compilation, 'cpu', lambda: 'another one')
  assert compilation.folder() != place


def test_entries_without_their_end_are_deleted(tmp_path):
  for name in ('whole-cache', 'whole-atime', 'torn-cache', 'state'):
    (tmp_path / name).touch()
  compilation.delete_torn(tmp_path)
  assert sorted(os.listdir(tmp_path)) == ['state', 'whole-atime', 'whole-cache']


def test_what_is_printed_meanwhile_is_kept(capfd):
  with compilation.printed() as text:
    os.write(2, b'of a library')
  assert text() == 'of a library'
  assert capfd.readouterr().err == ''


def test_seeds_and_numbers_are_no_part_of_a_program():
  programs = []
  for more in ({}, {'seed': 5, 'schedule.learning_rate': 0.3}, {'size': 4}):
    config = config_of(**more)
    task = Toy(config, '', '')
    compiled = Compiled(config, task)
    batch = next(task.batches('train', config.seed, 0))
    arguments = compiled.init(config.seed), batch, step_numbers(config, task)
    programs.append(compiled.train.lower(*arguments).as_text())
  assert programs[0] == programs[1] != programs[2]
