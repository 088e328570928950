"""A state as arrays by name, such as params/cell/kernel, and back."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from hyper.runs.checkpoint_files import sha256


def copy_to_host(state: Any) -> dict[str, np.ndarray]:
  """Copies all leaves to the host, and returns them by their paths.

  The host holds the state once. Of several processes all must call this: each
  gets the whole state.
  """
  leaves = by_path(state)
  for leaf in leaves.values():
    if isinstance(leaf, jax.Array) and leaf.is_fully_addressable:
      leaf.copy_to_host_async()
  arrays = {name: _own(_whole(leaf)) for name, leaf in leaves.items()}
  for name, array in arrays.items():
    if array.size == 0:
      raise ValueError(f'{name} is {describe(array)}; it must have elements.')
  return arrays


def by_path(tree: Any) -> dict[str, Any]:
  """Returns the leaves of a tree by their paths.

  Raises:
    TypeError: a leaf is not an array.
    ValueError: two leaves have the same path.
  """
  leaves: dict[str, Any] = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    if not hasattr(leaf, 'dtype'):
      raise TypeError(f'{name} is {leaf!r}; a state has arrays only.')
    if name in leaves:
      raise ValueError(f'Two leaves of the state are called {name}.')
    leaves[name] = leaf
  return leaves


def _whole(leaf: Any) -> Any:
  """Returns an array, gathered if it is spread over processes."""
  if not isinstance(leaf, jax.Array):
    return leaf
  if leaf.is_fully_addressable or leaf.is_fully_replicated:
    return leaf
  return multihost_utils.process_allgather(leaf, tiled=True)


def _own(leaf: Any) -> np.ndarray:
  """Returns an array of the host, in memory that no step writes to.

  On a CPU NumPy would share the memory of a JAX array, which the next step
  overwrites. What comes from another device is a copy already.
  """
  array = np.asarray(leaf, order='C')
  is_shared = array is leaf or not array.flags.owndata
  return array.copy() if is_shared else array


def describe(leaf: Any) -> str:
  """Returns type and shape, such as float32[3, 4]."""
  return f'{leaf.dtype}{list(leaf.shape)}'


def fingerprints(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
  """Returns type, shape and SHA-256 of each array."""
  return {
    name: f'{describe(x)} {sha256(x.reshape(-1).view(np.uint8))}'
    for name, x in arrays.items()
  }


def fit(path: pathlib.Path, arrays: Mapping[str, Any], like: Any) -> Any:
  """Returns the arrays of a checkpoint as a tree like `like`, placed likewise.

  Raises:
    ValueError: the arrays are not those of `like`, by path, type and shape.
  """
  leaves = by_path(like)
  for name in [*leaves, *arrays]:
    has = describe(arrays[name]) if name in arrays else 'missing'
    asked = describe(leaves[name]) if name in leaves else 'no such array'
    if has != asked:
      raise ValueError(
        f'{path} is of another model or optimizer: {name} is {has} in the '
        f'checkpoint, and {asked} is needed here.'
      )
  placed = [_place(arrays[name], leaf) for name, leaf in leaves.items()]
  return jax.tree.unflatten(jax.tree.structure(like), placed)


def part(arrays: Mapping[str, Any], like: Any) -> dict[str, Any]:
  """Returns the arrays of the collections that `like` has, such as params."""
  asked = {name.partition('/')[0] for name in by_path(like)}
  return {k: x for k, x in arrays.items() if k.partition('/')[0] in asked}


def _place(array: np.ndarray, like: Any) -> jax.Array:
  """Puts an array where `like` is; on the default device if uncommitted."""
  sharding = getattr(like, 'sharding', None)
  if sharding is None or not getattr(like, 'committed', True):
    return jax.device_put(array)
  return jax.make_array_from_callback(
    array.shape, sharding, lambda index: array[index]
  )
