"""Variables of a network as a safetensors file, and back.

The name of a tensor is its path in the tree, such as 'params/conv1/kernel'. In
a name that has a slash itself, as those of flax's WeightNorm have, '~1' stands
for the slash and '~0' for a tilde (RFC 6901). Any language with a safetensors
library can read the file.
"""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.core import meta
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.flax import load_file
from safetensors.flax import save as serialise

from hyper import files


def save(
  variables: Any, path: str, text: Mapping[str, str] | None = None
) -> None:
  """Writes `variables` to the file `path`, whole or not at all.

  Partitioning metadata of Flax is not written.

  Args:
    variables: a nested dict of arrays, such as `init` of a Flax module returns.
    path: of the file; its folder is made if it does not exist.
    text: strings to write beside the arrays, by name.

  Raises:
    ValueError: a leaf is no array of numbers, or one of 64 bits while JAX has
      but 32, or a name is no string.

  >>> import os, tempfile
  >>> path = os.path.join(tempfile.mkdtemp(), 'network.safetensors')
  >>> save({'params': {'kernel': jnp.ones((2, 3))}}, path, {'note': 'ones'})
  >>> load(path)['params']['kernel'].shape, load_text(path)
  ((2, 3), {'note': 'ones'})
  """
  flat = flatten_dict(meta.unbox(variables))
  for place, x in flat.items():
    _check_leaf(place, x)
  tensors = {_to_name(k): jnp.asarray(x) for k, x in flat.items()}
  content = serialise(tensors, dict(text or {}))
  files.write(path, content)


def _check_leaf(place: tuple[Any, ...], x: Any) -> None:
  """Raises a ValueError unless a file can have `x`, unchanged, at `place`."""
  if not all(isinstance(name, str) for name in place):
    raise ValueError(f'{place} is no path of names.')
  is_array = isinstance(x, jax.Array | np.ndarray | np.generic)
  if not is_array or jnp.issubdtype(x.dtype, jax.dtypes.extended):
    raise ValueError(
      f'{place} is a {type(x).__name__}, not an array of numbers.'
    )
  dtype = jax.dtypes.canonicalize_dtype(x.dtype)
  if dtype != x.dtype:
    raise ValueError(
      f'{place} is {x.dtype}, which JAX would cut to {dtype}: convert it '
      'yourself, or set jax_enable_x64.'
    )


def load(path: str, like: Any = None) -> Any:
  """Reads the nested dict of arrays that `save` wrote to `path`.

  Args:
    path: of the file.
    like: None, or a tree of arrays or of shapes and types. The file must have
      the same tensors, and they get its partitioning metadata.

  Returns:
    A nested dict of arrays.

  Raises:
    FileNotFoundError: there is no such file.
    IsADirectoryError: `path` is a folder.
    ValueError: the file is damaged, or its tensors differ from `like`.

  >>> import os, tempfile
  >>> path = os.path.join(tempfile.mkdtemp(), 'network.safetensors')
  >>> save({'params': {'kernel': jnp.ones((2, 3))}}, path)
  >>> load(path, like={'params': {'kernel': jnp.zeros((3, 2))}})
  Traceback (most recent call last):
  ValueError: ... is of another network. It has
    params/kernel: ((2, 3), 'float32'), not ((3, 2), 'float32')
  """
  _check_is_no_folder(path)
  try:
    tensors = load_file(path)
  except SafetensorError as error:
    raise ValueError(
      f'{path} is no whole safetensors file: {error}.'
    ) from error
  if like is None:
    return unflatten_dict({_to_path(name): x for name, x in tensors.items()})
  wanted = {_to_name(k): x for k, x in flatten_dict(like).items()}
  _check(tensors, meta.unbox(wanted), path)
  return unflatten_dict(
    {_to_path(name): _boxed(tensors[name], x) for name, x in wanted.items()}
  )


def load_text(path: str) -> dict[str, str]:
  """Reads the text that `save` wrote to `path`, and none of the arrays.

  Args:
    path: of the file.

  Returns:
    The strings by name; empty if the file has none.

  Raises:
    FileNotFoundError: there is no such file.
    IsADirectoryError: `path` is a folder.
    ValueError: the file is damaged.

  >>> import os, tempfile
  >>> path = os.path.join(tempfile.mkdtemp(), 'network.safetensors')
  >>> save({'params': {'kernel': jnp.ones((2, 3))}}, path, {'note': 'ones'})
  >>> load_text(path)['note']
  'ones'
  """
  _check_is_no_folder(path)
  try:
    with safe_open(path, 'flax') as file:
      return dict(file.metadata() or {})
  except SafetensorError as error:
    raise ValueError(
      f'{path} is no whole safetensors file: {error}.'
    ) from error


def start_from(variables: Any, pretrained: Any) -> Any:
  """Returns `variables` with pretrained values for the main network.

  Every variable of the main network is replaced: free and frozen parameters,
  and other collections. Types of numbers stay those of `variables`. Variables
  of the generators stay as they are.

  >>> from flax import linen as nn
  >>> from hyper.static import StaticHyperNetwork
  >>> x, main = jnp.ones((1, 8)), nn.Dense(4)
  >>> pretrained = main.init(jax.random.key(0), x)
  >>> network = StaticHyperNetwork(
  ...   main, ('kernel',), (8, 4), 2, residual=True, frozen=('*',)
  ... )
  >>> variables = network.init(jax.random.key(1), x)
  >>> variables = start_from(variables, pretrained)
  >>> bool((network.apply(variables, x) == main.apply(pretrained, x)).all())
  True

  Args:
    variables: what `init` of a `HyperNetwork` returned.
    pretrained: the main network's variables, or its 'params' alone; the path of
      a safetensors file with these; or an NNX module.

  Raises:
    ValueError: a variable of the main network is absent from `pretrained`, or
      has another shape there.
  """
  given = {_to_name(k): x for k, x in flatten_dict(_tree(pretrained)).items()}
  own: dict[tuple[str, ...], Any] = {}
  wrong: list[str] = []
  for place, x in flatten_dict(variables).items():
    if place[1] != 'network':
      continue
    collection = 'params' if place[0] == 'frozen' else place[0]
    name = _to_name((collection, *place[2:]))
    wanted = jnp.shape(meta.unbox(x))
    found: Any = 'absent'
    if name in given:
      found = jnp.shape(meta.unbox(given[name]))
    if found != wanted:
      wrong.append(f'  {name}: {found}, not {wanted}')
    else:
      value = jnp.asarray(meta.unbox(given[name]), meta.unbox(x).dtype)
      own[place] = _boxed(value, x)
  if wrong:
    lines = '\n'.join(sorted(wrong))
    raise ValueError(f'pretrained is of another network. It has\n{lines}')
  return unflatten_dict(flatten_dict(variables) | own)


def _to_name(path: tuple[str, ...]) -> str:
  """Returns the name of the tensor at `path`; inverse of `_to_path`."""
  return '/'.join(x.replace('~', '~0').replace('/', '~1') for x in path)


def _to_path(name: str) -> tuple[str, ...]:
  """Returns the path of the tensor `name`; inverse of `_to_name`."""
  parts = name.split('/')
  return tuple(x.replace('~1', '/').replace('~0', '~') for x in parts)


def _tree(pretrained: Any) -> Mapping[str, Any]:
  """Returns the variables in `pretrained`, in whichever form it is given."""
  if isinstance(pretrained, nnx.Module):
    kinds = {'params': nnx.Param, 'batch_stats': nnx.BatchStat}
    return {
      name: nnx.to_pure_dict(nnx.state(pretrained, kind))
      for name, kind in kinds.items()
    }
  tree = load(pretrained) if isinstance(pretrained, str) else pretrained
  return tree if 'params' in tree else {'params': tree}


def _boxed(x: Any, like: Any) -> Any:
  """Returns `x` with the partitioning metadata of `like`, if any."""
  return jax.tree.map(lambda _: x, like)


def _check_is_no_folder(path: str) -> None:
  """Raises an IsADirectoryError if `path` is a folder, such as a run's."""
  if os.path.isdir(path):
    raise IsADirectoryError(
      f'{path} is a folder, no safetensors file. Load a run folder with '
      'hyper.trained.load, or write its network to a file with '
      f'python -m hyper.export --workdir={path}.'
    )


def _check(tensors: dict[str, Any], like: dict[str, Any], path: str) -> None:
  """Raises a ValueError unless `tensors` fit `like` in names and shapes."""
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
