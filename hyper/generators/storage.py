"""Where the parameters of a main network lie in those of a hypernetwork.

What is generated, what is stored and trained, and what is stored and frozen,
by the paths of the main network's parameters.
"""

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

Params = Mapping[str, Any]
Path = tuple[str, ...]
# Shapes and types by path; a leaf may lie in a box of partitioning metadata.
Shapes = Mapping[Path, Any]
Kernels = dict[Path, Any]


def unbound(main: nn.Module) -> nn.Module:
  """Returns a copy that belongs to no module, down to the modules in it.

  Modules that are attributes of the main network, such as the layers of an
  nn.Sequential, would otherwise stay where Flax has put them.
  """
  return main.clone(parent=None, name=None, _deep_clone=True, _reset_names=True)


def matches(paths: Mapping[Path, Any], pattern: str) -> list[Path]:
  """Returns the paths that a shell pattern matches, in order."""
  return [
    path for path in paths if fnmatch.fnmatchcase('/'.join(path), pattern)
  ]


def select(
  params: Mapping[Path, Any], patterns: Sequence[str], field: str, owner: str
) -> dict[Path, Any]:
  """Returns the parameters that some pattern matches, in order.

  Raises:
    ValueError: a pattern matches none; `field` and `owner` are named.
  """
  found: set[Path] = set()
  for pattern in patterns:
    paths = matches(params, pattern)
    if not paths:
      names = ', '.join(sorted('/'.join(path) for path in params))
      raise ValueError(
        f'{field} has {pattern!r}, which matches no parameter of {owner}; it '
        f'has: {names}.'
      )
    found.update(paths)
  return {path: x for path, x in params.items() if path in found}


def boxed(kernel: Array, like: Any) -> Any:
  """Returns `kernel` with the partitioning metadata of `like`, if any."""
  return jax.tree.map(lambda _: kernel, like)


class Gate(nn.Module):
  """Multiplies each generated parameter by a number that starts at 0."""

  @nn.compact
  def __call__(self, kernels: Kernels) -> Kernels:
    """Returns the kernels, each times its number."""
    zeros = nn.initializers.zeros
    scale = self.param('scale', zeros, (len(kernels),), jnp.float32)
    return {
      path: (scale[k] * x).astype(x.dtype)
      for k, (path, x) in enumerate(kernels.items())
    }


@dataclasses.dataclass(frozen=True)
class Storage:
  """How the parameters of a main network lie in those of a hypernetwork.

  Attributes:
    deltas: what is generated, by path.
    residual: whether it is added to what is stored, or stands in its place.
    frozen: patterns of what is stored in 'frozen', not in 'params'.
  """

  deltas: Kernels
  residual: bool
  frozen: Sequence[str]

  def put(self, stored: Params) -> Params:
    """Returns all parameters, as 'params', from those stored."""
    own = read(stored)
    generated = self.deltas
    if self.residual:
      deltas = nn.meta.unbox(self.deltas)
      generated = {k: shift(own[k], delta) for k, delta in deltas.items()}
    return {'params': unflatten_dict(own | generated)}

  def take(self, own: Mapping[Path, Any], owner: str) -> Params:
    """Returns what is stored of all parameters of a network."""
    if not self.residual:
      own = {path: x for path, x in own.items() if path not in self.deltas}
    frozen = select(own, self.frozen, 'frozen', owner)
    free = {path: x for path, x in own.items() if path not in frozen}
    return {'params': unflatten_dict(free), 'frozen': unflatten_dict(frozen)}

  def call(
    self, main: nn.Module, main_method: str, args: Any, kwargs: Any
  ) -> Any:
    """Calls a bound main network as if all parameters were its own."""
    stored: dict[Path, Any] = {}  # not to be read back from sums
    owner = type(main).__name__

    def insert(variables: Params) -> Params:
      stored.update(read(variables))
      return self.put(variables)

    def remove(variables: Params) -> Params:
      return self.take(read(variables) | stored, owner)

    def call(main: nn.Module) -> Any:
      return getattr(main, main_method)(*args, **kwargs)

    initialising = main.is_initializing()
    return nn.map_variables(
      *(call, ['params', 'frozen'], insert, remove),
      init=initialising,
      mutable=initialising,
    )(main)


def shift(x: Any, delta: Array) -> Any:
  """Returns the sum, with the partitioning metadata of `x`, if any."""
  return jax.tree.map(lambda x: x + delta, x)


def read(stored: Params) -> dict[Path, Any]:
  """Returns the stored parameters, frozen or not, by path."""
  return flatten_dict(stored.get('params', {})) | flatten_dict(
    stored.get('frozen', {})
  )
