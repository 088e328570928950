"""Variables of a network as a safetensors file, and back.

The name of a tensor is its path in the tree, such as 'params/conv1/kernel'. In
a name that has a slash itself, as those of flax's WeightNorm have, '~1' stands
for the slash and '~0' for a tilde (RFC 6901). Any language with a safetensors
library can read the file.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.core import FrozenDict, meta
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.flax import save as serialise

from hyper import files

# The types of numbers that both JAX and safetensors have, by their names there.
TYPES = {
  **{'BOOL': 'bool', 'I8': 'int8', 'I16': 'int16', 'I32': 'int32'},
  **{'I64': 'int64', 'U8': 'uint8', 'U16': 'uint16', 'U32': 'uint32'},
  **{'U64': 'uint64', 'F16': 'float16', 'BF16': 'bfloat16', 'F32': 'float32'},
  **{'F64': 'float64', 'C64': 'complex64'},
}
KINDS = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)


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
    ValueError: there is no array; a leaf is no array of numbers of a type in
      TYPES, or one of 64 bits while JAX has but 32; or a name, or an entry of
      `text`, is no string that UTF-8 can write. It is named.

  >>> import os, tempfile
  >>> path = os.path.join(tempfile.mkdtemp(), 'network.safetensors')
  >>> save({'params': {'kernel': jnp.ones((2, 3))}}, path, {'note': 'ones'})
  >>> load(path)['params']['kernel'].shape, load_text(path)
  ((2, 3), {'note': 'ones'})
  """
  if not isinstance(variables, dict | FrozenDict):
    kind = type(variables).__name__
    raise ValueError(f'variables are of type {kind}; give a nested dict.')
  flat = flatten_dict(meta.unbox(variables))
  if not flat:
    raise ValueError(f'there are no arrays to write to {path}.')
  for entry in (text or {}).items():
    _check_strings(entry)
  for place, x in flat.items():
    _check_leaf(place, x)
  tensors = {_to_name(k): jnp.asarray(x) for k, x in flat.items()}
  content = serialise(tensors, dict(text or {}))
  files.write(path, content)


def _check_leaf(place: tuple[Any, ...], x: Any) -> None:
  """Raises a ValueError unless a file can have `x`, unchanged, at `place`."""
  _check_strings(place)
  if place == ('__metadata__',):
    raise ValueError(f'{place} is the name of the text in a file; rename it.')
  if not isinstance(x, jax.Array | np.ndarray | np.generic):
    raise ValueError(
      f'{place} is a {type(x).__name__}, not an array of numbers.'
    )
  is_known = x.dtype.name in TYPES.values() and np.dtype(x.dtype).isnative
  if not is_known:
    raise ValueError(
      f'{place} is an array of {x.dtype}; convert it to one of '
      f'{", ".join(TYPES.values())}.'
    )
  _check_bits(str(place), x.dtype.name)


def _check_strings(names: tuple[Any, ...]) -> None:
  """Raises a ValueError unless `names` are strings that UTF-8 can write."""
  for name in names:
    try:
      str.encode(name)
    except (TypeError, UnicodeEncodeError) as error:
      raise ValueError(f'{names}: {name!r} is no string of UTF-8.') from error


def _check_bits(name: str, dtype: str) -> None:
  """Raises a ValueError if JAX would cut the numbers of the array `name`."""
  kept = jax.dtypes.canonicalize_dtype(dtype).name
  if kept != dtype:
    raise ValueError(
      f'{name} is {dtype}, which JAX would cut to {kept}: convert it yourself, '
      'or set jax_enable_x64.'
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
    ValueError: the file is damaged, a tensor is of a type that is not in
      TYPES, or of 64 bits while JAX has but 32, or the tensors differ from
      `like`.

  >>> import os, tempfile
  >>> path = os.path.join(tempfile.mkdtemp(), 'network.safetensors')
  >>> save({'params': {'kernel': jnp.ones((2, 3))}}, path)
  >>> load(path, like={'params': {'kernel': jnp.zeros((3, 2))}})
  Traceback (most recent call last):
  ValueError: ... is of another network. It has
    params/kernel: ((2, 3), 'float32'), not ((3, 2), 'float32')
  """
  with _opened(path) as file:
    names = file.keys()
    for name in names:
      _check_type(f'{path}: {name}', file.get_slice(name).get_dtype())
    tensors = {name: file.get_tensor(name) for name in names}
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
  with _opened(path) as file:
    return dict(file.metadata() or {})


def start_from(variables: Any, pretrained: Any) -> Any:
  """Returns `variables` with pretrained values for the main network.

  Every variable of the main network is replaced: free and frozen parameters,
  and other collections. Types of numbers stay those of `variables`; precision
  may be lost, but no complex number becomes a real one, and no fraction an
  integer. Variables of the generators stay as they are.

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
      has another shape there, or a type that does not fit.
  """
  given = {_to_name(k): x for k, x in flatten_dict(_tree(pretrained)).items()}
  own: dict[tuple[str, ...], Any] = {}
  wrong: list[str] = []
  for place, x in flatten_dict(variables).items():
    if place[1] != 'network':
      continue
    collection = 'params' if place[0] == 'frozen' else place[0]
    name = _to_name((collection, *place[2:]))
    wanted, found = meta.unbox(x), meta.unbox(given.get(name))
    if fault := _fault(found, wanted):
      wrong.append(f'  {name}: {fault}')
    else:
      own[place] = _boxed(jnp.asarray(found, wanted.dtype), x)
  if wrong:
    lines = '\n'.join(sorted(wrong))
    raise ValueError(f'pretrained is of another network. It has\n{lines}')
  return unflatten_dict(flatten_dict(variables) | own)


def _fault(found: Any, wanted: Any) -> str:
  """Returns why `found` cannot take the place of `wanted`, or ''."""
  if found is None:
    return f'absent, not {jnp.shape(wanted)}'
  if jnp.shape(found) != jnp.shape(wanted):
    return f'{jnp.shape(found)}, not {jnp.shape(wanted)}'
  given = getattr(found, 'dtype', np.asarray(found).dtype)
  if not _keeps(given, wanted.dtype):
    return f'{given}, which {wanted.dtype} cannot hold'
  return ''


def _keeps(given: Any, own: Any) -> bool:
  """Returns whether numbers of type `given` lose at most precision as `own`."""
  kinds = _kind(given), _kind(own)
  if kinds == (jnp.integer, jnp.integer):
    return np.can_cast(given, own)
  if None in kinds:
    return given == own
  return KINDS.index(kinds[0]) <= KINDS.index(kinds[1])


def _kind(dtype: Any) -> Any:
  """Returns which of KINDS a type of numbers is, or None."""
  return next((x for x in KINDS if jnp.issubdtype(dtype, x)), None)


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


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
  """Opens the safetensors file `path`; see `load` for the errors."""
  if os.path.isdir(path):
    raise IsADirectoryError(
      f'{path} is a folder, no safetensors file. Load a run folder with '
      'hyper.trained.load, or write its network to a file with '
      f'python -m hyper.export --workdir={path}.'
    )
  try:
    with safe_open(path, 'flax') as file:
      yield file
  except SafetensorError as error:
    raise ValueError(
      f'{path} is no whole safetensors file: {error}.'
    ) from error


def _check_type(name: str, code: str) -> None:
  """Raises a ValueError unless JAX has the type of the tensor `name`."""
  if code not in TYPES:
    raise ValueError(
      f'{name} is {code}; types that are read: {", ".join(TYPES)}.'
    )
  _check_bits(name, TYPES[code])


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
