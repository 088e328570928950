"""JAX's compilation cache on the disk, for commands, where it is seen to work.

A program that one process has compiled is read by the next, whatever its seed
and learning rate. The entries are in ~/.cache/hyper/compiled, or in
hyper/compiled below XDG_CACHE_HOME. Each version of jaxlib, platform and kind
of CPU has its own folder of at most MOST_BYTES.

Some versions of jaxlib refuse what they wrote for the CPU on some machines, and
print an error for each entry. So the first process only writes to a folder, and
the second reads a small program from it. If that fails, or prints anything, the
cache stays off in that folder. Of the processes of one run, JAX lets only the
first write; so the others read what is there, and leave the verdict to it.

JAX's own variables are respected: JAX_ENABLE_COMPILATION_CACHE=false turns the
cache off, and a folder in JAX_COMPILATION_CACHE_DIR is used as it is.
"""

import contextlib
import hashlib
import os
import pathlib
import platform
import tempfile
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from absl import logging
from jax.experimental.compilation_cache import compilation_cache

from hyper import files
from hyper.runs import processes
from hyper.terminal import errors_to

MOST_BYTES = 2 * 2**30
LEAST_SECONDS = 0.1  # a program that compiles faster gets no entry
STATE, WRITTEN, WORKS, FAILS = 'state', 'written', 'works', 'fails'
HIT, MISS = (f'/jax/compilation_cache/cache_{x}' for x in ('hits', 'misses'))


def keep() -> None:
  """Makes JAX keep what it compiles, unless that fails or is not wanted."""
  config = jax.config
  wanted = config.jax_enable_compilation_cache  # type: ignore[attr-defined]
  if not wanted or config.jax_compilation_cache_dir:  # type: ignore
    return
  try:
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    delete_torn(place)
    turn_on(place)
    if not is_sound(place):
      turn_off()
  except Exception as error:  # the run is worth more than the cache
    turn_off()
    logging.debug('no compilation cache: %r', error)


def folder() -> pathlib.Path:
  """Returns the folder of what this machine compiles with this jaxlib."""
  root = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  kind = hashlib.sha256(cpu().encode()).hexdigest()[:12]
  name = f'{jax.lib.__version__}-{jax.default_backend()}-{kind}'
  return pathlib.Path(root, 'hyper', 'compiled', name)


def cpu() -> str:
  """Returns a text that identifies the kind of CPU: machine and features."""
  lines = []
  with contextlib.suppress(OSError), open('/proc/cpuinfo') as file:
    for line in file:
      if line.startswith(('flags', 'Features')):
        lines.append(line)
        break
  return ' '.join([platform.machine(), platform.processor(), *lines])


def turn_on(place: pathlib.Path) -> None:
  """Makes JAX read and write entries in a folder."""
  jax.config.update('jax_compilation_cache_dir', str(place))
  jax.config.update('jax_compilation_cache_max_size', MOST_BYTES)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', LEAST_SECONDS)


def turn_off() -> None:
  """Makes JAX neither read nor write entries."""
  jax.config.update('jax_compilation_cache_dir', None)
  compilation_cache.reset_cache()


def is_sound(place: pathlib.Path) -> bool:
  """Returns whether entries in a folder can be read, as far as is known."""
  path = place / STATE
  state = path.read_text('utf-8') if path.exists() else ''
  if state in ('', WRITTEN) and processes.is_first():
    hit, said = read_probe()
    state = (WORKS if hit and not said else FAILS) if state else WRITTEN
    files.write(path, state)
  return state != FAILS


def read_probe() -> tuple[bool, str]:
  """Returns whether a small program was read, and what was printed meanwhile.

  It is compiled and written if it cannot be read.
  """
  events: list[str] = []
  jax.monitoring.register_event_listener(
    lambda event, **more: events.append(event)
  )
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  with printed() as text:
    jax.jit(probe)(jnp.ones((32, 32))).block_until_ready()
  jax.config.update('jax_persistent_cache_min_compile_time_secs', LEAST_SECONDS)
  return HIT in events and MISS not in events, text()


def probe(x: jax.Array) -> jax.Array:
  """Returns a value that takes a loop and a product, as networks do."""
  return jax.lax.fori_loop(0, 3, lambda _, y: jnp.tanh(jnp.sort(y @ y)), x)


@contextlib.contextmanager
def printed() -> Iterator[Callable[[], str]]:
  """Captures standard error; yields a function that returns it afterwards."""
  text = ''
  with tempfile.TemporaryFile() as file:
    try:
      with errors_to(file):
        yield lambda: text
    finally:
      file.seek(0)
      text = file.read().decode(errors='replace')


def delete_torn(place: pathlib.Path) -> None:
  """Deletes entries that a killed process did not finish."""
  for path in place.glob('*-cache'):
    end = path.with_name(path.name.removesuffix('-cache') + '-atime')
    if not end.exists():
      path.unlink(missing_ok=True)
