"""Variables of a network as a safetensors file, and back.

A tensor's name is its path in the tree, such as 'params/conv1/kernel'. A slash
within a name, as in those of flax's WeightNorm, is written '~1' and a tilde
'~0' (RFC 6901). The file can be read in any language that has safetensors.
"""

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
  """Writes a nested dict of arrays, whole or not at all.

  Partitioning metadata of Flax is not written.

  >>> import os, tempfile
  >>> path = os.path.join(tempfile.mkdtemp(), 'network.safetensors')
  >>> save({'params': {'kernel': jnp.ones((2, 3))}}, path, {'note': 'ones'})
  >>> load(path)['params']['kernel'].shape, load_text(path)
  ((2, 3), {'note': 'ones'})

  Args:
    variables: what `init` of a Flax module returned, for example.
    path: of the file; its folder is made if there is none.
    text: what the file says beside the arrays, by name.

  Raises:
    ValueError: a leaf is no array, or a name no string.
  """
  flat = flatten_dict(meta.unbox(variables))
  for place, x in flat.items():
    if not isinstance(x, jax.Array | np.ndarray | np.generic):
      raise ValueError(f'{place} is a {type(x).__name__}, not an array.')
    if not all(isinstance(name, str) for name in place):
      raise ValueError(f'{place} is no path of names.')
  tensors = {to_name(k): jnp.asarray(x) for k, x in flat.items()}
  content = serialise(tensors, dict(text or {}))
  files.write(path, content)


def load(path: str, like: Any = None) -> Any:
  """Reads the nested dict of arrays that `save` wrote.

  Args:
    path: of the file.
    like: a tree of arrays, or of their shapes, that the file has to fit. The
      arrays get its partitioning metadata.

  Returns:
    A nested dict of arrays.

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
  if like is None:
    return unflatten_dict({to_path(name): x for name, x in tensors.items()})
  wanted = {to_name(k): x for k, x in flatten_dict(like).items()}
  _check(tensors, meta.unbox(wanted), path)
  return unflatten_dict(
    {to_path(name): _boxed(tensors[name], x) for name, x in wanted.items()}
  )


def load_text(path: str) -> dict[str, str]:
  """Reads the text that `save` wrote beside the arrays, without these.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is damaged.
  """
  try:
    with safe_open(path, 'flax') as file:
      return dict(file.metadata() or {})
  except SafetensorError as error:
    raise ValueError(
      f'{path} is no whole safetensors file: {error}.'
    ) from error


def start_from(variables: Any, pretrained: Any) -> Any:
  """Returns a hypernetwork's variables, its main network's own pretrained.

  What the main network owns, free or frozen, in 'params' or in another
  collection, is replaced; generators keep what they have.

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
    ValueError: something that the main network owns is absent from
      `pretrained`, or has another shape there.
  """
  given = {to_name(k): x for k, x in flatten_dict(_tree(pretrained)).items()}
  own: dict[tuple[str, ...], Any] = {}
  wrong: list[str] = []
  for place, x in flatten_dict(variables).items():
    if place[1] != 'network':
      continue
    collection = 'params' if place[0] == 'frozen' else place[0]
    name = to_name((collection, *place[2:]))
    wanted = jnp.shape(meta.unbox(x))
    found: Any = 'absent'
    if name in given:
      found = jnp.shape(meta.unbox(given[name]))
    if found != wanted:
      wrong.append(f'  {name}: {found}, not {wanted}')
    else:
      own[place] = _boxed(jnp.asarray(meta.unbox(given[name])), x)
  if wrong:
    lines = '\n'.join(sorted(wrong))
    raise ValueError(f'pretrained is of another network. It has\n{lines}')
  return unflatten_dict(flatten_dict(variables) | own)


def to_name(path: tuple[str, ...]) -> str:
  """Returns the name of a tensor from its path in the tree."""
  return '/'.join(x.replace('~', '~0').replace('/', '~1') for x in path)


def to_path(name: str) -> tuple[str, ...]:
  """Returns the path of a tensor from its name."""
  parts = name.split('/')
  return tuple(x.replace('~1', '/').replace('~0', '~') for x in parts)


def _tree(pretrained: Any) -> Mapping[str, Any]:
  """Returns the variables that `start_from` is given in one of its forms."""
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
