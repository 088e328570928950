"""Which part of this machine each worker gets; no JAX backend is started.

A worker trains on one accelerator, or on its share of the cores. On a TPU host
each worker is a process of one chip: libtpu is told so by TPU_VISIBLE_CHIPS,
TPU_CHIPS_PER_PROCESS_BOUNDS, TPU_PROCESS_BOUNDS and ALLOW_MULTIPLE_LIBTPU_LOAD.
"""

import dataclasses
import glob
import itertools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

CHIP = {
  'TPU_CHIPS_PER_PROCESS_BOUNDS': '1,1,1',
  'TPU_PROCESS_BOUNDS': '1,1,1',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}
VISIBLE = {'gpu': 'CUDA_VISIBLE_DEVICES', 'tpu': 'TPU_VISIBLE_CHIPS'}


@dataclasses.dataclass(frozen=True)
class Share:
  """What a worker gets.

  Attributes:
    environment: variables to add.
    cores: numbers of the CPU cores that it may use.
  """

  environment: Mapping[str, str]
  cores: frozenset[int]


def shares(workers: int, kind: str, names: Sequence[str]) -> list[Share]:
  """Returns what each worker gets.

  Args:
    workers: the number of workers.
    kind: 'gpu', 'tpu' or 'cpu'.
    names: of the accelerators; those of cores if `kind` is 'cpu'.

  Raises:
    ValueError: there are more workers than accelerators or cores.
  """
  if workers > len(names):
    what = 'cores' if kind == 'cpu' else f'{kind.upper()} devices'
    raise ValueError(
      f'--workers is {workers}, and there are {len(names)} {what}: '
      f'{", ".join(names)}. Give fewer workers, or name others by --devices.'
    )
  own = cores()
  return [
    Share(
      environment(kind, names[k]),
      frozenset(own[k::workers] if workers <= len(own) else own),
    )
    for k in range(workers)
  ]


def environment(kind: str, name: str) -> dict[str, str]:
  """Returns the variables of a worker on an accelerator; none for 'cpu'."""
  if kind == 'cpu':
    return {}
  return {VISIBLE[kind]: name, **(CHIP if kind == 'tpu' else {})}


def find(given: Sequence[str] = ()) -> tuple[str, list[str]]:
  """Returns the kind and the names of this machine's devices.

  Args:
    given: names of the accelerators to use instead of all.
  """
  platform = os.environ.get('JAX_PLATFORMS', '').split(',')[0]
  gpus, chips = find_gpus(), find_chips()
  if platform == 'cpu' or not (given or gpus or chips):
    return 'cpu', [str(core) for core in cores()]
  kind = 'tpu' if platform == 'tpu' or (chips and not gpus) else 'gpu'
  return kind, list(given) or (chips if kind == 'tpu' else gpus)


def find_gpus() -> list[str]:
  """Returns the names of NVIDIA devices that this process may use."""
  visible = os.environ.get('CUDA_VISIBLE_DEVICES')
  if visible is not None:
    names = [name for name in visible.split(',') if name]
    # As CUDA reads it: -1 hides all that follow.
    return [*itertools.takewhile(lambda name: not name.startswith('-'), names)]
  if not shutil.which('nvidia-smi'):
    return []
  done = subprocess.run(
    ['nvidia-smi', '--list-gpus'], capture_output=True, text=True
  )
  lines = [x for x in done.stdout.splitlines() if x.startswith('GPU ')]
  return [str(k) for k in range(len(lines))]


def find_chips() -> list[str]:
  """Returns the names of the TPU chips of this host."""
  visible = os.environ.get('TPU_VISIBLE_CHIPS')
  if visible is not None:
    return [name for name in visible.split(',') if name]
  found = glob.glob('/dev/accel[0-9]*') or glob.glob('/dev/vfio/[0-9]*')
  return [str(k) for k in range(len(found))]


def cores() -> list[int]:
  """Returns the numbers of the CPU cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))
