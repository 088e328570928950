"""Where a hypernetwork keeps the parameters of its main network.

A parameter is generated, or stored and trained, or stored and frozen. Each is
known by its path in the main network.
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
# Shapes and types by path; a leaf may be boxed with partitioning metadata.
Shapes = Mapping[Path, Any]
Kernels = dict[Path, Any]


def unbound(main: nn.Module) -> nn.Module:
  """Returns a copy of `main` without a parent, and its modules without theirs.

  Otherwise modules that are attributes of `main`, such as the layers of an
  nn.Sequential, would keep the parent that Flax gave them.

  >>> unbound(nn.Sequential([nn.Dense(3)])).layers[0].parent is None
  True
  """
  return main.clone(parent=None, name=None, _deep_clone=True, _reset_names=True)


def matches(paths: Mapping[Path, Any], pattern: str) -> list[Path]:
  """Returns the `paths` that a shell pattern matches, in order.

  >>> matches({('conv1', 'kernel'): 0, ('conv1', 'bias'): 0}, '*/kernel')
  [('conv1', 'kernel')]
  """
  return [
    path for path in paths if fnmatch.fnmatchcase('/'.join(path), pattern)
  ]


def select(
  params: Mapping[Path, Any], patterns: Sequence[str], field: str, owner: str
) -> dict[Path, Any]:
  """Returns the parameters that at least one pattern matches, in order.

  Args:
    params: the parameters, by path.
    patterns: shell patterns of paths.
    field: the field that has the patterns, for the message.
    owner: the class that has the parameters, for the message.

  Raises:
    ValueError: one of `patterns` matches no parameter.

  >>> params = {('conv1', 'kernel'): 0, ('conv1', 'bias'): 1}
  >>> select(params, ['*/kernel'], 'generate', 'Sequential')
  {('conv1', 'kernel'): 0}
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
  """Returns `kernel` with the partitioning metadata of `like`, if any.

  >>> boxed(jnp.ones(2), nn.Partitioned(jnp.zeros(2), names=('model',))).names
  ('model',)
  """
  return jax.tree.map(lambda _: kernel, like)


class Gate(nn.Module):
  """Scales each generated parameter by a number that starts at 0 (ReZero).

  >>> kernels = {('kernel',): jnp.ones((2, 3))}
  >>> gated, variables = Gate().init_with_output(jax.random.key(0), kernels)
  >>> float(gated[('kernel',)].max()), variables['params']['scale'].shape
  (0.0, (1,))
  """

  @nn.compact
  def __call__(self, kernels: Kernels) -> Kernels:
    """Returns `kernels`, each times its number."""
    zeros = nn.initializers.zeros
    scale = self.param('scale', zeros, (len(kernels),), jnp.float32)
    return {
      path: (scale[k] * x).astype(x.dtype)
      for k, (path, x) in enumerate(kernels.items())
    }


@dataclasses.dataclass(frozen=True)
class Storage:
  """Joins stored and generated parameters, and takes them apart again.

  Attributes:
    deltas: the generated parameters, by path.
    residual: whether they are added to stored ones or replace them.
    frozen: patterns of the paths that are stored in 'frozen', not in 'params'.

  >>> storage = Storage({('kernel',): jnp.ones(2)}, residual=False, frozen=())
  >>> params = storage.put({'params': {'bias': jnp.zeros(2)}})['params']
  >>> sorted(params)
  ['bias', 'kernel']
  >>> own = {('bias',): params['bias'], ('kernel',): params['kernel']}
  >>> storage.take(own, 'Dense')['params']
  {'bias': Array([0., 0.], dtype=float32)}
  """

  deltas: Kernels
  residual: bool
  frozen: Sequence[str]

  def put(self, stored: Params) -> Params:
    """Returns all parameters, as 'params', from the `stored` ones."""
    own = _read(stored)
    generated = self.deltas
    if self.residual:
      deltas = nn.meta.unbox(self.deltas)
      generated = {k: _shift(own[k], delta) for k, delta in deltas.items()}
    return {'params': unflatten_dict(own | generated)}

  def take(self, own: Mapping[Path, Any], owner: str) -> Params:
    """Returns the parameters to store, free ones and frozen ones.

    Args:
      own: all parameters of the network, by path.
      owner: the class of the network, for messages.
    """
    if not self.residual:
      own = {path: x for path, x in own.items() if path not in self.deltas}
    frozen = select(own, self.frozen, 'frozen', owner)
    free = {path: x for path, x in own.items() if path not in frozen}
    return {'params': unflatten_dict(free), 'frozen': unflatten_dict(frozen)}

  def call(
    self, main: nn.Module, main_method: str, args: Any, kwargs: Any
  ) -> Any:
    """Calls a bound main network as if all parameters were its own.

    Args:
      main: the network.
      main_method: the name of its method.
      args: positional arguments.
      kwargs: keyword arguments.

    Returns:
      The output of the method.
    """
    stored: dict[Path, Any] = {}  # a residual sum does not give them back
    owner = type(main).__name__

    def insert(variables: Params) -> Params:
      stored.update(_read(variables))
      return self.put(variables)

    def remove(variables: Params) -> Params:
      return self.take(_read(variables) | stored, owner)

    def call(main: nn.Module) -> Any:
      return getattr(main, main_method)(*args, **kwargs)

    initialising = main.is_initializing()
    return nn.map_variables(
      *(call, ['params', 'frozen'], insert, remove),
      init=initialising,
      mutable=initialising,
    )(main)


def _shift(x: Any, delta: Array) -> Any:
  """Returns the sum, with the partitioning metadata of `x`, if any."""
  return jax.tree.map(lambda x: x + delta, x)


def _read(stored: Params) -> dict[Path, Any]:
  """Returns the stored parameters, frozen or not, by path."""
  return flatten_dict(stored.get('params', {})) | flatten_dict(
    stored.get('frozen', {})
  )
