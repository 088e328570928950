"""Where the arrays of a run lie: on one device, or on a mesh of several.

A mesh has two axes: `data`, along which each batch is split, and `model`, along
which large matrices are. Arrays say where they lie, and the compiler adds the
communication: the step is the same program on one device and on many, and sees
the whole batch.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from hyper.configuration import splat
from hyper.runs.task import Task

AXES = ('data', 'model')


@dataclasses.dataclass(frozen=True)
class MeshSize:
  """The section config.mesh.

  Attributes:
    data: devices along the batch; 0 takes as many as divide the batch.
    model: devices along the large matrices.
    fsdp: whether parameters and the optimizer's averages are split along the
      batch's devices, too, and put together for each step.
  """

  data: int = 0
  model: int = 1
  fsdp: bool = False

  def __post_init__(self) -> None:
    for name, least in (('data', 0), ('model', 1)):
      if getattr(self, name) < least:
        raise ValueError(
          f'config.mesh.{name} is {getattr(self, name)}; it must be at least '
          f'{least}.'
        )


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where the arrays of a run lie.

  With one device all methods return what they are given.

  Attributes:
    mesh: the devices; None for the default one alone.
    fsdp: see `MeshSize`.
    has_streams: see `Task`.
    large: see `Task`.
  """

  mesh: Mesh | None = None
  fsdp: bool = False
  has_streams: bool = False
  large: Mapping[str, int] = dataclasses.field(default_factory=dict)

  @property
  def sizes(self) -> Mapping[str, int]:
    """Returns the number of devices along each axis."""
    return dict.fromkeys(AXES, 1) if self.mesh is None else self.mesh.shape

  def place(self, batch: Any) -> Any:
    """Puts host arrays on the devices, each the rows that it works on.

    Where the rows do not divide evenly, every device gets all of them.
    """
    if self.mesh is None:
      return batch

    def put(x: Any) -> jax.Array:
      x = np.asarray(x)
      where = self.along_rows(x)
      return jax.make_array_from_callback(x.shape, where, lambda k: x[k])

    return jax.tree.map(put, batch)

  def begun(self, model_state: Any) -> Any:
    """Puts the carries at the start of an evaluation on the devices."""
    return self.place(model_state) if self.has_streams else model_state

  def copy(self, tree: Any) -> Any:
    """Puts a copy of host numbers on every device."""
    if self.mesh is None:
      return jax.device_put(tree)
    return jax.jit(lambda x: x, out_shardings=self._at())(tree)

  def carried(self, model_state: Any) -> Any:
    """Splits the carries of streams, inside a compiled function."""
    if self.mesh is None or not self.has_streams:
      return model_state
    where = jax.tree.map(self.along_rows, model_state)
    return jax.lax.with_sharding_constraint(model_state, where)

  def whole(self, params: Any) -> Any:
    """Gathers parameters that `fsdp` has split, before they are used."""
    if self.mesh is None or not self.fsdp:
      return params
    return jax.lax.with_sharding_constraint(
      params, dataclasses.replace(self, fsdp=False)._by_path(params)
    )

  def state(self, state: Any) -> Any:
    """Lays out a TrainState, inside a compiled function."""
    if self.mesh is None:
      return state
    return jax.lax.with_sharding_constraint(state, self.shardings(state))

  def placed(self, shapes: Any) -> Any:
    """Returns the shapes of a TrainState, each with its sharding."""
    if self.mesh is None:
      return shapes
    return jax.tree.map(
      lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
      shapes,
      self.shardings(shapes),
    )

  def shardings(self, state: Any) -> Any:
    """Returns where each array of a TrainState lies."""
    return state.replace(
      step=self._at(),
      params=self._by_path(state.params),
      opt_state=self._by_path(state.opt_state),
      model_state=jax.tree.map(
        self.along_rows if self.has_streams else lambda x: self._at(),
        state.model_state,
      ),
      key=self._at(),
    )

  def along_rows(self, x: Any) -> NamedSharding:
    """Returns where an array lies that is split along its first axis."""
    is_even = x.ndim and x.shape[0] % self.sizes['data'] == 0
    return self._at('data') if is_even else self._at()

  def describe(self, rows: int) -> str:
    """Returns a line that says which devices a batch of `rows` is split on."""
    data, model = (self.sizes[axis] for axis in AXES)
    return (
      f'{data * model} of {jax.device_count()} devices, a batch of {data} x '
      f'{rows // data}'
      + (f', each part on {model}' if model > 1 else '')
      + (', parameters and optimizer split' if self.fsdp else '')
    )

  def _at(self, *axes: str | None) -> NamedSharding:
    assert self.mesh is not None
    return NamedSharding(self.mesh, PartitionSpec(*axes))

  def _by_path(self, tree: Any) -> Any:
    def where(path: Any, x: Any) -> NamedSharding:
      name = jax.tree_util.keystr(path, simple=True, separator='/')
      return self._at(*axes(name, x.shape, self.large, self.sizes, self.fsdp))

    return jax.tree_util.tree_map_with_path(where, tree)


ALONE = Layout()


def axes(
  name: str,
  shape: Sequence[int],
  large: Mapping[str, int],
  sizes: Mapping[str, int],
  fsdp: bool,
) -> list[str | None]:
  """Returns the axis of the mesh that each axis of a parameter is split along.

  Args:
    name: the path of the parameter, or of the optimizer's average of it.
    shape: of the parameter.
    large: see `Task`.
    sizes: of the mesh's axes, by name.
    fsdp: whether the largest other axis that `data` divides is split along it.

  Raises:
    ValueError: `model` does not divide the axis that `large` names.

  >>> large = {'softmax/kernel': 1}
  >>> axes('softmax/kernel', (8, 96), large, {'data': 4, 'model': 2}, False)
  [None, 'model']
  >>> axes('softmax/kernel', (8, 96), large, {'data': 4, 'model': 1}, True)
  [None, 'data']
  """
  found: list[str | None] = [None] * len(shape)
  ends = [end for end in large if f'/{name}'.endswith(f'/{end}')]
  for axis in [large[end] for end in ends] if sizes['model'] > 1 else ():
    if shape[axis] % sizes['model']:
      raise ValueError(
        f'config.mesh.model is {sizes["model"]}, which does not divide the '
        f'axis of {shape[axis]} of {name}; it may be '
        f'{listed(divisors(shape[axis], sizes["model"]))}.'
      )
    found[axis] = 'model'
  free = [
    (size, -axis)
    for axis, size in enumerate(shape)
    if found[axis] is None and size % sizes['data'] == 0
  ]
  if fsdp and sizes['data'] > 1 and free:
    found[-max(free)[1]] = 'data'
  return found


def check_large(params: Any, large: Mapping[str, int], model: int) -> None:
  """Raises the ValueError of `axes` for parameters split on `model` devices."""
  sizes = {'data': 1, 'model': model}
  for path, x in jax.tree_util.tree_leaves_with_path(params):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    axes(name, x.shape, large, sizes, False)


def check(config: ConfigDict) -> tuple[int, MeshSize]:
  """Returns the rows of each part of a batch, and the section config.mesh.

  Raises:
    ValueError: `data` or `accumulate_steps` does not divide the batch.
  """
  rows, parts = config.data.batch_size, config.accumulate_steps
  if parts < 1 or rows % parts:
    raise ValueError(
      f'config.accumulate_steps is {parts}; it must divide a batch of '
      f'{rows} rows: {listed(divisors(rows, rows))}.'
    )
  size = splat(MeshSize, 'config.mesh', config.mesh)
  if size.data and rows // parts % size.data:
    raise ValueError(
      f'config.mesh.data is {size.data}, and a batch of {rows} rows'
      + (f' in {parts} parts' if parts > 1 else '')
      + f' cannot be split on {size.data} devices; it may be '
      f'{listed(divisors(rows // parts, rows))}, or 0 for as many as there '
      'are.'
    )
  return rows // parts, size


def make_layout(config: ConfigDict, task: Task) -> Layout:
  """Returns the layout that the section config.mesh describes.

  Raises:
    ValueError: see `check`; or there are fewer devices, or the hosts cannot
      share them or the batch evenly.
  """
  rows, size = check(config)
  count, hosts = jax.device_count(), jax.process_count()
  allowed = [
    n
    for n in divisors(rows, count // size.model)
    if n * size.model % hosts == 0
  ]
  data = size.data or max(allowed, default=1)
  if data * size.model > count:
    raise ValueError(
      f'config.mesh asks for {data} x {size.model} devices, and there are '
      f'{count}. Give a smaller config.mesh.data (0 takes as many as there '
      'are) or config.mesh.model.'
    )
  if not allowed:
    raise ValueError(unshared(config, size.model, count, hosts))
  if data not in allowed:
    raise ValueError(
      f'config.mesh.data is {size.data}, and {data * size.model} devices '
      f'cannot be spread evenly over {hosts} hosts. With {count} devices it '
      f'may be {listed(allowed)}.'
    )
  if data * size.model == 1:
    return Layout(None, False, task.has_streams, task.large)
  mesh = make_mesh(data, size.model)
  return Layout(mesh, size.fsdp, task.has_streams, task.large)


def unshared(config: ConfigDict, model: int, count: int, hosts: int) -> str:
  """Returns an error: no number of devices suits the batch and the hosts."""
  rows, parts = config.data.batch_size, config.accumulate_steps
  least = hosts // math.gcd(hosts, model)  # the fewest rows of a part
  remedy = 'smaller config.mesh.model'
  if least * model <= count:
    remedy = f'batch_size that is a multiple of {least * parts}'
  return (
    f'config.data.batch_size is {rows}, config.accumulate_steps {parts} and '
    f'config.mesh.model {model}, which {hosts} hosts with {count} devices '
    f'cannot share evenly. Give a {remedy}.'
  )


def local_layout(task: Task) -> Layout:
  """Returns the layout of scoring on all devices of this process.

  It does not depend on the mesh that the run was trained on.
  """
  count = jax.local_device_count()
  mesh = make_mesh(count, 1) if count > 1 else None
  return Layout(mesh, has_streams=task.has_streams)


def make_mesh(data: int, model: int) -> Mesh:
  """Returns a mesh of data x model devices, with equally many of each host."""
  each = data * model // jax.process_count()
  chosen: dict[int, list[jax.Device]] = {}
  for device in jax.devices():
    chosen.setdefault(device.process_index, []).append(device)
  devices = [x for local in chosen.values() for x in local[:each]]
  types = (AxisType.Auto,) * len(AXES)
  return jax.make_mesh((data, model), AXES, types, devices=devices)


def divisors(number: int, limit: int) -> list[int]:
  """Returns the divisors of a number that are not above a limit.

  >>> divisors(12, 8)
  [1, 2, 3, 4, 6]
  """
  return [n for n in range(1, min(number, limit) + 1) if number % n == 0]


def listed(numbers: Sequence[int]) -> str:
  """Returns numbers in a sentence.

  >>> listed([1, 2, 4]), listed([1])
  ('1, 2 or 4', '1')
  """
  *before, last = [str(n) for n in numbers] or ['none']
  return f'{", ".join(before)} or {last}' if before else last
