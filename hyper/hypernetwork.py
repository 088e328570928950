"""Any Flax module, with some of its parameters generated.

`HyperNetwork` is what all hypernetworks of this kind share: it finds the
parameters of the main network by their paths, has them generated, and calls
the main network as if they were its own.
"""

import fnmatch
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

Params = Mapping[str, Any]
Path = tuple[str, ...]
Shapes = Mapping[Path, jax.ShapeDtypeStruct]
Kernels = dict[Path, Array]


class HyperNetwork(nn.Module):
  """Any Flax module, with the parameters of some paths generated.

  All other parameters of the main network stay free, under `network`, and so
  do its other collections. Of its methods `__call__` alone can be called. What
  generates is up to a subclass: `kernels`.

  Attributes:
    main: the main network. Not to be used elsewhere in the same module tree.
    generate: shell patterns of parameter paths, such as 'conv2/kernel', where
      a star also stands for slashes; a pattern that matches nothing is an
      error.

  Raises:
    ValueError: `generate` is no tuple of patterns, or one matches nothing.
  """

  main: nn.Module
  generate: tuple[str, ...]

  def __post_init__(self) -> None:
    if isinstance(self.generate, str) or not self.generate:
      raise ValueError(
        f'generate is {self.generate!r}; it is a tuple of patterns of '
        "parameter paths, such as ('conv2/kernel',)."
      )
    super().__post_init__()

  def setup(self) -> None:
    """Puts a copy of the main network under `network`."""
    self.network = unbound(self.main)

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    """Calls the main network with its generated parameters in place."""
    shapes = generated_shapes(self.main, self.generate, *args, **kwargs)
    return call_with(self.network, self.kernels(shapes), args, kwargs)

  def kernels(self, shapes: Shapes) -> Kernels:
    """The generated parameters, given their shapes and types."""
    raise NotImplementedError(f'{type(self).__name__} has no kernels().')

  def bake(self, variables: Params, *args: Any, **kwargs: Any) -> Params:
    """The variables of the main network alone, its kernels generated.

    `main.apply(network.bake(variables, x), x)` equals
    `network.apply(variables, x)` and needs no hypernetwork any more.

    Args:
      variables: this network's 'params', and other collections if there are.
      *args: what the main network is called with; only shapes matter.
      **kwargs: likewise.

    Raises:
      ValueError: there are no 'params' among the variables.
    """
    return self._bake(variables, {}, args, kwargs)

  def _bake(
    self, variables: Params, given: Params, args: Any, kwargs: Any
  ) -> Params:
    if 'params' not in variables:
      raise ValueError(
        f"variables have {', '.join(variables)}, but no 'params'; give what "
        '`init` returned.'
      )
    shapes = generated_shapes(self.main, self.generate, *args, **kwargs)
    params = {'params': variables['params']}
    kernels: Any = self.apply(params, shapes, method='kernels', **given)
    # Copies: whoever donates the baked tree keeps the free parameters.
    free = jax.tree.map(jnp.copy, dict(variables))
    baked = {
      k: tree['network'] for k, tree in free.items() if 'network' in tree
    }
    return baked | {'params': merge(baked.get('params', {}), kernels)}


def unbound(main: nn.Module) -> nn.Module:
  """A copy that belongs to no module, and so do the modules it is made of.

  Modules that are attributes of the main network, such as the layers of an
  nn.Sequential, would otherwise stay where Flax has put them.
  """
  return main.clone(parent=None, name=None, _deep_clone=True, _reset_names=True)


def generated_shapes(
  main: nn.Module, generate: tuple[str, ...], *args: Any, **kwargs: Any
) -> dict[Path, jax.ShapeDtypeStruct]:
  """The parameters of `main` that the patterns name, in the order of paths.

  Raises:
    ValueError: a pattern matches no parameter.
  """

  def init(key: Array) -> Params:
    rngs = {'params': key, 'dropout': key}
    return unbound(main).init(rngs, *args, **kwargs).get('params', {})

  shapes = flatten_dict(nn.meta.unbox(jax.eval_shape(init, jax.random.key(0))))
  names = {path: '/'.join(path) for path in shapes}
  for pattern in generate:
    if not fnmatch.filter(names.values(), pattern):
      raise ValueError(
        f'generate has {pattern!r}, which matches no parameter of '
        f'{type(main).__name__}; it has: {", ".join(sorted(names.values()))}.'
      )
  return {
    path: x
    for path, x in shapes.items()
    if any(fnmatch.fnmatchcase(names[path], pattern) for pattern in generate)
  }


def call_with(main: nn.Module, kernels: Kernels, args: Any, kwargs: Any) -> Any:
  """Calls a bound module as if these were among its parameters."""

  def insert(variables: Params) -> Params:
    return {'params': merge(variables.get('params', {}), kernels)}

  def remove(variables: Params) -> Params:
    every = flatten_dict(variables.get('params', {}))
    free = {path: x for path, x in every.items() if path not in kernels}
    return {'params': unflatten_dict(free)}

  def call(main: nn.Module) -> Any:
    return main(*args, **kwargs)

  initialising = main.is_initializing()
  return nn.map_variables(
    call, 'params', insert, remove, init=initialising, mutable=initialising
  )(main)


def merge(free: Params, kernels: Kernels) -> Params:
  """A tree of parameters with some more put in by their paths."""
  return unflatten_dict({**flatten_dict(free), **kernels})
