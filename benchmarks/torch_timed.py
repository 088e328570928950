"""Makes contenders of the networks in torch_cells and torch_networks.

They get arrays of NumPy, and are made in a process without JAX's threads; see
`measure.apart`. torch is imported only there.
"""

import importlib.util
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks import measure

CLEAR = pathlib.Path('/proc/self/clear_refs')  # of Linux


def is_installed() -> bool:
  """Returns whether torch can be imported."""
  return importlib.util.find_spec('torch') is not None


def kind_of(dtype: str) -> dict[str, Any]:
  """Returns the device, CUDA where torch has it, and the type of numbers."""
  import torch

  torch.set_float32_matmul_precision('high')  # as XLA's default on a GPU
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  return {'device': device, 'dtype': getattr(torch, dtype)}


def check(found: Any, expected: Any, kind: Mapping[str, Any]) -> None:
  """Compares values with ours, relative to the largest.

  Raises:
    ValueError: they differ by more than rounding.
  """
  import torch

  limit = 1e-4 if kind['device'] == 'cpu' else 1e-2  # of TensorFloat-32
  limit = limit if kind['dtype'] == torch.float32 else 5e-2
  found = found.detach().float().cpu().numpy()
  difference = np.abs(found - np.asarray(expected, np.float32)).max()
  if not difference <= limit * np.abs(expected).max():
    raise ValueError(f'torch differs from ours by {difference}.')


def gradient(
  loss: Callable[[], Any], parameters: list[Any], kind: Mapping[str, Any]
) -> measure.Contender:
  """Returns forward and backward pass of `loss`."""
  import torch

  def call() -> None:
    torch.autograd.grad(loss(), parameters)
    if kind['device'] == 'cuda':
      torch.cuda.synchronize()

  return with_memory(call, kind)


def with_memory(
  call: Callable[[], None], kind: Mapping[str, Any]
) -> measure.Contender:
  """Returns a contender with the most memory that its first call took.

  On a GPU this is torch's own figure, on a CPU the growth of the process, which
  includes what compiling takes. It is None where the system does not tell it.
  """
  import torch

  if kind['device'] == 'cuda':
    torch.cuda.reset_peak_memory_stats()
    before, most = torch.cuda.memory_allocated, torch.cuda.max_memory_allocated
  elif CLEAR.exists():
    CLEAR.write_text('5')  # the most so far is what is held now
    before, most = resident, lambda: resident('VmHWM')
  else:
    return measure.called(call)
  held = before()
  contender = measure.called(call)
  contender.temporary_bytes = most() - held
  return contender


def resident(field: str = 'VmRSS') -> int:
  """Returns the bytes of memory of this process now, or at most."""
  lines = CLEAR.with_name('status').read_text().splitlines()
  fields = dict(line.split(':', 1) for line in lines)
  return int(fields[field].split()[0]) * 1024  # from KiB


def weighted_sum(
  apply: Callable[[Any], Any],
  parameters: list[Any],
  inputs: Any,
  units: int,
  kind: Mapping[str, Any],
) -> measure.Contender:
  """Returns the gradient of a weighted sum of outputs, as of our cells."""
  import torch

  weights = torch.randn(*inputs.shape[:2], units, **kind)
  return gradient(lambda: (apply(inputs) * weights).sum(), parameters, kind)


def lstm(given: Mapping[str, Any], dtype: str) -> measure.Contender:
  """Returns torch.nn.LSTM.

  Args:
    given: inputs [b, t, v], and units.
    dtype: of all numbers.
  """
  import torch

  kind = kind_of(dtype)
  inputs = torch.tensor(given['inputs'], **kind)
  made = torch.nn.LSTM(inputs.shape[-1], given['units'], batch_first=True)
  made = made.to(**kind)
  return weighted_sum(
    lambda x: made(x)[0], [*made.parameters()], inputs, given['units'], kind
  )


def cell(
  given: Mapping[str, Any], dtype: str, is_compiled: bool
) -> measure.Contender:
  """Returns a cell of torch_cells.

  Args:
    given: inputs [b, t, v], weights by name, and our outputs of the first k
      steps, first_outputs [b, k, n].
    dtype: of all numbers.
    is_compiled: whether torch.compile makes a program of the step.

  Raises:
    ValueError: the outputs of these steps differ from ours.
  """
  import torch

  from benchmarks import torch_cells

  kind = kind_of(dtype)
  inputs = torch.tensor(given['inputs'], **kind)
  weights = {
    name: torch.tensor(x, **kind).requires_grad_()
    for name, x in given['weights'].items()
  }
  is_hyper = 'hyper_w_h' in weights
  step = torch_cells.hyperlstm_step if is_hyper else torch_cells.lstm_step
  expected = given['first_outputs']
  first = inputs[:, : expected.shape[1]]
  check(torch_cells.run(step, weights, first), expected, kind)
  step = torch.compile(step) if is_compiled else step
  return weighted_sum(
    lambda x: torch_cells.run(step, weights, x),
    *([*weights.values()], inputs, expected.shape[-1], kind),
  )


def images(given: Mapping[str, Any], is_compiled: bool) -> measure.Contender:
  """Returns the gradient of the mean cross entropy of a batch.

  Args:
    given: the name of a network of torch_networks; weights by name; grids, see
      `torch_networks.generate`, or None; images [b, c, h, w]; labels [b]; and
      our loss.
    is_compiled: whether torch.compile makes a program of the loss.

  Raises:
    ValueError: the loss differs from ours.
  """
  import torch

  from benchmarks import torch_networks

  kind = kind_of('float32')
  network = getattr(torch_networks, given['network'])
  weights = {
    name: torch.tensor(x, **kind).requires_grad_()
    for name, x in given['weights'].items()
  }
  pictures = torch.tensor(given['images'], **kind)
  labels = torch.tensor(given['labels'], device=kind['device'])

  def loss() -> Any:
    own = weights
    if given['grids'] is not None:
      own = torch_networks.with_generated(weights, given['grids'])
    logits = network(own, pictures)
    return torch.nn.functional.cross_entropy(logits, labels)

  check(loss(), given['loss'], kind)
  run = torch.compile(loss) if is_compiled else loss
  return gradient(run, [*weights.values()], kind)
