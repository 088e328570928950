"""Times compiled functions side by side: interleaved rounds and medians.

A machine is rarely quiet. Rounds that go through all contenders in turn spread
its noise evenly, so that ratios hold where absolute figures do not.
"""

import concurrent.futures
import concurrent.futures.process
import dataclasses
import json
import multiprocessing
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from hyper.paper import recipes
from hyper.runs import provenance


@dataclasses.dataclass
class Contender:
  """Something to time.

  Attributes:
    call: does the work once and waits for it.
    compile_seconds: the time that compiling took.
    temporary_bytes: memory besides arguments and results, by the compiler, or
      in torch by `torch_timed.with_memory`; None where it is not known.
  """

  call: Callable[[], Any]
  compile_seconds: float = 0.0
  temporary_bytes: int | None = None
  seconds: list[float] = dataclasses.field(default_factory=list)

  @property
  def median(self) -> float:
    """Seconds of one call."""
    return statistics.median(self.seconds)

  @property
  def megabytes(self) -> float | None:
    """Returns `temporary_bytes` in MB."""
    size = self.temporary_bytes
    return None if size is None else size / 1e6

  def timed(self) -> float:
    """Calls once, and returns the seconds that it took."""
    began = time.perf_counter()
    self.call()
    return time.perf_counter() - began

  def over(self, other: 'Contender') -> float:
    """Returns its time over the other's in one round, the median of rounds."""
    pairs = zip(self.seconds, other.seconds, strict=True)
    return statistics.median(own / others for own, others in pairs)


def compiled(function: Callable[..., Any], *arguments: Any) -> Contender:
  """Returns a contender, given a function to compile and its arguments."""
  executable, seconds, size = compile_timed(jax.jit(function), *arguments)
  return Contender(
    lambda: jax.block_until_ready(executable(*arguments)), seconds, size
  )


def compile_timed(
  jitted: Any, *arguments: Any
) -> tuple[Callable[..., Any], float, int | None]:
  """Returns the executable, its seconds, and its temporary bytes if known."""
  began = time.perf_counter()
  executable = jitted.lower(*arguments).compile()
  seconds = time.perf_counter() - began
  memory = executable.memory_analysis()
  return executable, seconds, getattr(memory, 'temp_size_in_bytes', None)


def run(contenders: Mapping[str, Contender], rounds: int) -> None:
  """Calls each once to warm up, then all in turn, `rounds` times."""
  for contender in contenders.values():
    contender.call()
  for _ in range(rounds):
    for contender in contenders.values():
      contender.seconds.append(contender.timed())


def find_config(name: str) -> ConfigDict:
  """Returns a config by its file in configs/, with a variant after a colon.

  Raises:
    ValueError: there is no such file.
  """
  config = recipes.load(name)
  if config is None:
    raise ValueError(f'there is no file of configs/ for {name!r}.')
  return config


def measure_each(
  benchmark: str,
  names: Iterable[str],
  measured: Callable[[str], Any],
  output: str,
) -> None:
  """Measures one thing after another; writes what there is after each.

  Args:
    benchmark: the module, see `write`.
    names: of what is measured.
    measured: returns the figures of one.
    output: a JSON file, or empty.
  """
  results = {}
  for name in names:
    results[name] = measured(name)
    if output:
      write(output, benchmark, {'results': results})


def called(call: Callable[[], Any]) -> Contender:
  """Returns a contender whose first call, which compiles, is timed here."""
  began = time.perf_counter()
  call()
  return Contender(call, time.perf_counter() - began)


class _Apart(Contender):
  """A contender in another process, which times its calls."""

  def timed(self) -> float:
    return self.call()


_held: list[Contender] = []  # that of this process, if it is another's


def apart(make: Callable[..., Contender], *arguments: Any) -> Contender:
  """Returns a contender that is made and called in a process of its own.

  So the threads and the memory of another library do not come into ours.

  Args:
    make: a function of a module, which another process can import.
    arguments: of `make`, which can be pickled.

  Raises:
    ChildProcessError: the other process has ended, now or in a call.
  """
  spawn = multiprocessing.get_context('spawn')
  pool = concurrent.futures.ProcessPoolExecutor(1, spawn)

  def answer(*asked: Any) -> Any:
    try:
      return pool.submit(*asked).result()
    except concurrent.futures.process.BrokenProcessPool as error:
      raise ChildProcessError(
        f'the process of {make.__module__}.{make.__name__} has ended, perhaps '
        'for lack of memory; leave out this or other contenders.'
      ) from error

  seconds, size = answer(_hold, make, *arguments)
  return _Apart(lambda: answer(_call_held), seconds, size)


def _hold(
  make: Callable[..., Contender], *arguments: Any
) -> tuple[float, int | None]:
  _held.append(make(*arguments))
  return _held[0].compile_seconds, _held[0].temporary_bytes


def _call_held() -> float:
  return _held[0].timed()


def hardware() -> dict[str, Any]:
  """Returns a description of the hardware and the versions."""
  return {
    'device': provenance.devices(),
    'cores': provenance.cores(),
    'jax': jax.__version__,
  }


def write(path: str, name: str, content: dict[str, Any]) -> None:
  """Writes JSON, with the command of this module, commit and hardware."""
  command = shlex.join(['python', '-m', f'benchmarks.{name}', *sys.argv[1:]])
  commit = provenance.commit(os.path.dirname(os.path.dirname(__file__)))
  about = {'command': command, 'commit': commit, 'hardware': hardware()}
  with open(path, 'w', encoding='utf-8') as file:
    json.dump(about | content, file, indent=2)
    file.write('\n')
