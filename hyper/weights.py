"""Variables of a network as a safetensors file, and back.

A tensor's name is its path in the tree, such as 'params/conv1/kernel'. The
file can be read in any language that has safetensors.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.flax import load_file
from safetensors.flax import save as serialise


def save(variables: Any, path: str) -> None:
  """Writes a nested dict of arrays, whole or not at all.

  Raises:
    ValueError: what is not an array stands in it, or a name has a slash.
  """
  flat = flatten_dict(variables)
  for place, x in flat.items():
    if not isinstance(x, jax.Array | np.ndarray | np.generic):
      raise ValueError(f'{place} is a {type(x).__name__}, not an array.')
    if not all(isinstance(name, str) and '/' not in name for name in place):
      raise ValueError(f'{place} is no path of names without slashes.')
  content = serialise({'/'.join(k): jnp.asarray(x) for k, x in flat.items()})
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  with open(f'{path}.partial', 'wb') as file:
    file.write(content)
  os.replace(f'{path}.partial', path)


def load(path: str, like: Any = None) -> Any:
  """Reads the nested dict of arrays that `save` wrote.

  Args:
    path: of the file.
    like: a tree of arrays, or of their shapes, that the file has to fit.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is damaged, or does not fit.
  """
  try:
    tensors = load_file(path)
  except SafetensorError as error:
    raise ValueError(
      f'{path} is no whole safetensors file: {error}.'
    ) from error
  if like is not None:
    _check(tensors, flatten_dict(like, sep='/'), path)
  return unflatten_dict(tensors, sep='/')


def _check(tensors: dict[str, Any], like: dict[str, Any], path: str) -> None:
  found, wanted = (
    {name: (x.shape, x.dtype.name) for name, x in tree.items()}
    for tree in (tensors, like)
  )
  wrong = [
    f'  {name}: {found.get(name, "absent")}, not {wanted.get(name, "wanted")}'
    for name in sorted(found.keys() | wanted.keys())
    if found.get(name) != wanted.get(name)
  ]
  if wrong:
    lines = '\n'.join(wrong)
    raise ValueError(f'{path} is of another network. It has\n{lines}')
