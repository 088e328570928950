"""A main network, called as if generated parameters were its own.

What `hyper.hypernetwork` needs to know of Flax: where parameters are stored,
how a bound module is called with others, and how many are called at once.
"""

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping, Sequence
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
Dimension = Any  # an int or, in an export, a symbol

# The name of the examples' axis in a call with a network for each of them.
EXAMPLES = 'examples'


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


def check_main(main: Any) -> None:
  """Raises a ValueError unless `main` is a Linen module."""
  if not isinstance(main, nn.Module):
    raise ValueError(
      f'main is {type(main).__name__}, which is no flax.linen.Module. Wrap an '
      'NNX module with `nnx.bridge.to_linen(ItsClass, its, arguments)`.'
    )


def check_generate(generate: Any, name: str, has_kernels: bool) -> None:
  """Raises a ValueError unless a hypernetwork can be told `generate`."""
  if has_kernels:
    patterns = isinstance(generate, list | tuple) and generate
    if not patterns or not all(isinstance(x, str) for x in patterns):
      raise ValueError(
        f'generate is {generate!r}; it is a tuple of patterns of parameter '
        "paths, such as ('conv2/kernel',)."
      )
    return
  pairs = generate.items() if isinstance(generate, Mapping) else generate
  if not generate or any(len(x) != 2 or isinstance(x, str) for x in pairs):
    raise ValueError(
      f'generate is {generate!r}; {name} has no generator of its own: give a '
      "mapping from patterns to generators, such as {'conv2/kernel': "
      'hyper.tiles.Tiles(...)}.'
    )
  for pattern, group in pairs:
    if not hasattr(group, 'kernels'):
      raise ValueError(
        f'generate has a {type(group).__name__} for {pattern!r}; it must have '
        '`kernels(shapes, condition)`, as hyper.tiles.Tiles has, which takes '
        'any module as its `generator`.'
      )


def check_conditions(condition: Any, patterns: Sequence[str]) -> None:
  """Raises a ValueError unless conditions go by the patterns."""
  is_mapping = isinstance(condition, Mapping)
  if not is_mapping or condition.keys() - set(patterns):
    given = list(condition) if is_mapping else type(condition).__name__
    raise ValueError(
      f'condition is {given}; with several generators it is a mapping from '
      f'their patterns, {", ".join(patterns)}, to the condition of each.'
    )


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


def call_each(
  network: nn.Module,
  call: Callable[..., Any],
  condition: Any,
  count: Dimension,
  in_axes: Any,
  args: tuple[Any, ...],
  kwargs: dict[str, Any],
) -> Any:
  """Calls one network for each example, with batches of one.

  Args:
    network: a bound hypernetwork.
    call: `call(network, condition, args, kwargs)` for one example.
    condition: a tree of arrays, all with the examples first.
    count: how many examples there are.
    in_axes: see `HyperNetwork.__call__`.
    args: of the main network.
    kwargs: of the main network.

  Raises:
    ValueError: sizes or axes do not fit, or a collection that the main network
      updates differs between the examples.
  """
  leaves, structure = jax.tree.flatten((args, kwargs))
  split = are_split(in_axes, args, kwargs)
  arrays = {k: x for k, x in enumerate(leaves) if split[k]}
  check_counts(arrays.values(), count)

  def call_one(network: nn.Module, condition: Any, arrays: Any) -> Any:
    one = [arrays[k][None] if k in arrays else x for k, x in enumerate(leaves)]
    y = call(network, condition, *jax.tree.unflatten(structure, one))
    return jax.tree.map(lambda y: y[0] if arrays and jnp.ndim(y) else y, y)

  try:
    return nn.vmap(
      call_one,
      variable_axes={'intermediates': 0, True: None},
      split_rngs={'params': False, True: True},
      axis_name=EXAMPLES,
    )(network, condition, arrays)
  except ValueError as error:
    if 'out_axes' not in str(error):
      raise
    raise ValueError(
      'with a network for each example, a collection that the main network '
      'updates must come out the same for all; batch norm does so with '
      f'axis_name={EXAMPLES!r}.'
    ) from error


def are_split(
  in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[bool]:
  """Says of each leaf of the arguments whether the examples split it."""
  if isinstance(in_axes, list | tuple) and len(in_axes) != len(args):
    raise ValueError(
      f'in_axes is {in_axes}, but there are {len(args)} positional arguments; '
      'give one entry for each.'
    )
  split: list[bool] = []

  def extend(axis: Any, part: Any) -> None:
    if axis not in (0, None):
      raise ValueError(
        f'in_axes has {axis}; an entry is 0 (split) or None (common).'
      )
    split.extend(
      axis == 0 and bool(getattr(x, 'shape', ())) for x in jax.tree.leaves(part)
    )

  prefix = tuple(in_axes) if isinstance(in_axes, list) else in_axes
  jax.tree.map(extend, prefix, args, is_leaf=lambda axis: axis is None)
  extend(0, kwargs)
  return split


def count_examples(condition: Any) -> Dimension:
  """Returns the size of the first axis of all arrays of `condition`.

  Raises:
    ValueError: there is none, or an array without axes or of another size.
  """
  shapes = [jnp.shape(x) for x in jax.tree.leaves(condition)]
  if not shapes or not all(shapes):
    raise ValueError(
      f'in_axes is given, but condition has arrays of shapes {shapes}; each '
      'needs the examples as its first axis.'
    )
  check_counts(jax.tree.leaves(condition), shapes[0][0])
  return shapes[0][0]


def check_counts(arrays: Any, count: Dimension) -> None:
  """Raises a ValueError unless the first axis of all arrays is `count`."""
  for x in arrays:
    if x.shape[0] != count:
      raise ValueError(
        f'there are conditions for {count} examples, but an array has the '
        f'shape {x.shape}; the first axis of all that is split must be that of '
        'the examples. Give None in in_axes for an argument common to all.'
      )
