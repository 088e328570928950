"""The processes of one run: how they find each other, and what they agree on.

All of them train, each with the devices of its host. The first one writes all
files but the checkpoints, which orbax writes with all of them together.
"""

import contextlib
import glob
import importlib.util
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from absl import logging

from hyper import files

HEARTBEAT_SECONDS = 60  # without a sign of life a process counts as dead
AGREE_STEPS = 10  # between two exchanges of signals
TOKEN = '.processes'  # a file that shows whether all see one folder
T = TypeVar('T')


def connect(
  coordinator: str = '', processes: int = 0, number: int = -1
) -> None:
  """Joins the processes of a run, if there are several.

  Without arguments JAX finds them, if Slurm or Open MPI started several, or on
  TPU hosts. The function must be called before anything is computed.

  Args:
    coordinator: address and port of the first process, such as 'host0:1234'.
    processes: the number of processes; 1 joins none.
    number: the number of this one, from 0.

  Raises:
    ValueError: some arguments are missing, or the number is too large.
    OSError: the others cannot be reached.
  """
  if processes == 1 or not (coordinator or processes or is_cluster()):
    return
  given: dict[str, Any] = {}
  if coordinator or processes:
    if not coordinator or not 0 <= number < processes:
      raise ValueError(
        f'--coordinator is {coordinator!r}, --num_processes {processes} and '
        f'--process_id {number}; give all three, the last from 0 to '
        '--num_processes - 1.'
      )
    given = {
      'coordinator_address': coordinator,
      'num_processes': processes,
      'process_id': number,
    }
  import jax

  try:
    jax.distributed.initialize(
      **given,
      heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=HEARTBEAT_SECONDS,
    )
  except RuntimeError as error:
    reason = str(error).strip().partition('\n')[0]
    raise OSError(f'the processes could not be joined: {reason}') from error
  if not is_first():
    logging.set_verbosity(logging.WARNING)


def is_cluster() -> bool:
  """Returns whether this is one of several processes, or on a TPU host."""
  tasks = os.environ.get('SLURM_NTASKS', '1')
  if 'SLURM_STEP_NODELIST' in os.environ and int(tasks) > 1:
    return True
  if int(os.environ.get('OMPI_COMM_WORLD_SIZE', '1')) > 1:
    return True
  has_chips = glob.glob('/dev/accel[0-9]*') or glob.glob('/dev/vfio/[0-9]*')
  is_for_tpu = os.environ.get('JAX_PLATFORMS', 'tpu').startswith('tpu')
  has_all_chips = 'TPU_PROCESS_BOUNDS' not in os.environ
  has_library = importlib.util.find_spec('libtpu') is not None
  return bool(has_chips and is_for_tpu and has_all_chips and has_library)


def count() -> int:
  """Returns the number of processes of this run.

  Unless `connect` has joined several, JAX would start a backend to answer this.
  """
  import jax

  return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first() -> bool:
  """Returns whether this process is the one that writes; see `count`."""
  import jax

  return not jax.distributed.is_initialized() or jax.process_index() == 0


def gather(value: Any) -> list[Any]:
  """Returns the JSON values that all processes give, in the processes' order.

  >>> gather({'host': 'a'})
  [{'host': 'a'}]
  """
  if count() == 1:
    return [value]
  from jax.experimental import multihost_utils

  content = np.frombuffer(json.dumps(value).encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(len(content)))
  padded = np.zeros(int(sizes.max()), np.uint8)
  padded[: len(content)] = content
  rows = multihost_utils.process_allgather(padded)
  return [
    json.loads(row[:size].tobytes())
    for row, size in zip(rows, sizes, strict=True)
  ]


def of_first(value: T) -> T:
  """Returns the JSON value that the first process gives."""
  return gather(value)[0]


def together(act: Callable[[], T]) -> T:
  """Returns `act()`; an error of one process is raised by all.

  Raises:
    ValueError: `act` raised an error that a user can fix, here or elsewhere.
  """
  value, failure = None, None
  try:
    value = act()
  except (ValueError, OSError) as error:
    failure = error
  reports = gather((socket.gethostname(), str(failure or '')))
  if failure is not None:
    raise failure
  for number, (host, reason) in enumerate(reports):
    if reason:
      raise ValueError(f'process {number} on {host}: {reason}')
  return value  # type: ignore[return-value]


@contextlib.contextmanager
def on_first(
  context: Callable[[], contextlib.AbstractContextManager[T]],
) -> Iterator[T | None]:
  """Enters a context on the first process only; all raise its errors."""
  with contextlib.ExitStack() as stack:
    yield together(
      lambda: stack.enter_context(context()) if is_first() else None
    )


@contextlib.contextmanager
def own_folder(workdir: str) -> Iterator[str]:
  """Yields the folder for this process's metrics; only the first keeps it."""
  if is_first():
    yield workdir
  else:
    with tempfile.TemporaryDirectory() as scratch:
      yield scratch


def check_alike(facts: Callable[[], Mapping[str, Any]]) -> None:
  """Checks that all processes agree on each fact.

  Args:
    facts: is called only if there are several processes.

  Raises:
    ValueError: they do not; process, host, fact and both values are named.
  """
  if count() == 1:
    return
  host = socket.gethostname()
  (first_host, first), *others = gather((host, dict(facts())))
  for number, (host, own) in enumerate(others, 1):
    for name in first | own:
      if own.get(name) != first.get(name):
        raise ValueError(
          f'process {number} on {host} has {name} = {own.get(name)!r}, and '
          f'process 0 on {first_host} has {first.get(name)!r}. All processes '
          'need the same config, data and code.'
        )


def check_shared(workdir: str) -> None:
  """Checks that all processes see one folder.

  Raises:
    ValueError: a process does not see what the first one writes there.
  """
  if count() == 1:
    return
  path = os.path.join(workdir, TOKEN)
  token = secrets.token_hex(8)
  if is_first():
    files.write(path, token)
  wanted, *_ = gather(token)
  found = ''
  with contextlib.suppress(OSError), open(path, encoding='utf-8') as file:
    found = file.read()
  blind = [
    f'process {number} on {host}'
    for number, (host, seen) in enumerate(gather((socket.gethostname(), found)))
    if seen != wanted
  ]
  if is_first():
    os.remove(path)
  if blind:
    raise ValueError(
      f'{", ".join(blind)} cannot see the files of process 0 in {workdir}; '
      '--workdir must be a folder of a disk that all hosts share.'
    )


def signalled(number: int, step: int) -> int:
  """Returns the signal that a process got, or 0, the same in all processes.

  With several processes signals are exchanged every AGREE_STEPS steps.

  Args:
    number: of the signal that this process got, or 0.
    step: of all processes.
  """
  if count() == 1:
    return number
  return max(gather(number)) if step % AGREE_STEPS == 0 else 0
