"""Any Flax module, with some of its parameters generated.

`HyperNetwork` wraps a main network, which does not know of it:

  parameter = generator(condition)          or, with `residual`,
  parameter = base + gate * generator(condition)

for the parameters whose paths `generate` names. All others stay free. Three
arguments describe each use:

  generate   which parameters are generated, and by what: a mapping from
             patterns of paths to generators. A generator is a module with
             `kernels(shapes, condition)`. `StaticHyperNetwork` and
             `CoordinateHyperNetwork` are their own only generator, and take
             patterns alone.
  condition  the input of the generators in a call: embeddings, the index of a
             task or an image, the output of an encoder.
  in_axes    None for one network; otherwise every example has a network of its
             own, from its own condition.

The call, `generated`, `main_params` and `bake` take the same `condition`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.errors import ScopeParamShapeError
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

from hyper.generators.checks import (
  check_conditions,
  check_generate,
  check_main,
  check_numbers,
)
from hyper.generators.examples import EXAMPLES as EXAMPLES
from hyper.generators.examples import call_each, count_examples, first_example
from hyper.generators.storage import (
  Gate,
  Kernels,
  Params,
  Shapes,
  Storage,
  boxed,
  matches,
  select,
  unbound,
)


class HyperNetwork(nn.Module):
  """Wraps any Flax module and generates the parameters of some paths.

    parameter = generator(condition)          or, with `residual`,
    parameter = base + gate * generator(condition)

  The other parameters and collections of the main network stay free, and are
  found under `network`. The generators are called `groups_0`, `groups_1`, ...
  in the order of `generate`.

  Every example can have a network of its own. With `in_axes`, the condition and
  the arguments are split along their first axis, and each network is called
  with a batch of one. The first axis of the outputs is that of the examples: of
  a network's output, a first axis of 1 is dropped, and all else is kept, so a
  scalar becomes [b]. Other collections are common to all networks: batch norm
  can be trained if it has `axis_name=EXAMPLES`, by which it sees the whole
  batch.

  >>> import jax, jax.numpy as jnp
  >>> from flax import linen as nn
  >>> from hyper.tiles import Tiles
  >>> main = nn.Sequential([nn.Dense(64), nn.relu, nn.Dense(10)])
  >>> wide = Tiles((16, 16), embedding_size=4)
  >>> mlp = nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(8 * 10)])
  >>> task = Tiles((8, 10), 4, generator=mlp, embed=nn.Embed(3, 5))
  >>> network = HyperNetwork(
  ...   main, {'layers_0/kernel': wide, 'layers_2/kernel': task}
  ... )
  >>> x, condition = jnp.ones((2, 32)), {'layers_2/kernel': 1}
  >>> variables = network.init(jax.random.key(0), x, condition=condition)
  >>> sorted(variables['params'])
  ['groups_0', 'groups_1', 'network']
  >>> network.apply(variables, x, condition=condition).shape
  (2, 10)

  Attributes:
    main: the main network. It must not be used elsewhere in the module tree.
    generate: a mapping from shell patterns of parameter paths, such as
      'conv2/kernel', to generators. A star also matches slashes. A pattern that
      matches nothing is an error; if several match, the first one counts. A
      subclass with `kernels` of its own takes a sequence of patterns.
    residual: add a generated parameter to a free one instead of replacing it.
      It is multiplied by a `gate` of its own that starts at 0 (ReZero,
      Bachlechner et al. 2020), so the network starts as the main network alone.
    frozen: patterns of free parameters that are not trained. They are in the
      collection 'frozen' instead of 'params'.

  Raises:
    ValueError: `main` is no Linen module, `generate` is neither such a mapping
      nor, for a subclass, a sequence of patterns, `frozen` is a string, or a
      pattern matches nothing.
  """

  main: nn.Module
  generate: Mapping[str, nn.Module] | Sequence[Any]
  residual: bool = dataclasses.field(default=False, kw_only=True)
  frozen: Sequence[str] = dataclasses.field(default=(), kw_only=True)

  def __post_init__(self) -> None:
    check_main(self.main)
    has_kernels = type(self).kernels is not HyperNetwork.kernels
    check_generate(self.generate, type(self).__name__, has_kernels)
    if isinstance(self.frozen, str):
      raise ValueError(
        f"frozen is {self.frozen!r}; it is a tuple of patterns, such as ('*',)."
      )
    # Pairs: JAX sorts a mapping by its keys, but the first match counts.
    if isinstance(self.generate, Mapping):
      self.generate = tuple(self.generate.items())
    self.generate = tuple(self.generate)
    self.frozen = tuple(self.frozen)
    super().__post_init__()

  def setup(self) -> None:
    """Makes copies of the main network and of the generators."""
    self.network = unbound(self.main)
    if type(self).kernels is HyperNetwork.kernels:
      self.groups = [unbound(pair[1]) for pair in self.generate]
    if self.residual:
      self.gate = Gate()

  def __call__(
    self,
    *args: Any,
    condition: Any = None,
    in_axes: Any = None,
    main_method: str = '__call__',
    shapes: Shapes | None = None,
    **kwargs: Any,
  ) -> Any:
    """Calls the main network with generated parameters.

    Args:
      *args: arguments of the main network.
      condition: the input of the generators, a tree of arrays or None. If
        `generate` is a mapping, a mapping from its patterns to the condition of
        each.
      in_axes: None for one network. Otherwise every leaf of `condition` is
        split along its first axis. As in `jax.vmap`, `in_axes` tells which
        arguments are split too (0) and which are common to all networks
        (None): `(0, None)` for two arguments, 0 for all. Arrays among `kwargs`
        are split; values without a shape are common.
      main_method: the name of the method of the main network to call. Flax
        reserves the name `method` for `apply`.
      shapes: what the method `shapes` returned. It is needed if `main_method`
        alone does not use every generated parameter.
      **kwargs: keyword arguments of the main network.

    Returns:
      The output of the main network.

    Raises:
      ValueError: `condition`, or an argument that is split, does not fit.
    """
    if shapes is None:
      one = (args, kwargs)
      if in_axes is not None:
        one = first_example(in_axes, args, kwargs)
      shapes = self.shapes(*one[0], main_method=main_method, **one[1])

    def call(network: HyperNetwork, condition: Any, *given: Any) -> Any:
      deltas = network.deltas(shapes, condition)
      storage = Storage(deltas, self.residual, self.frozen)
      return storage.call(network.network, main_method, *given)

    if in_axes is None:
      return call(self, condition, args, kwargs)
    count = count_examples(condition)
    if self.is_initializing():  # parameters do not depend on the example
      self.deltas(shapes, jax.tree.map(lambda x: x[0], condition))
    return call_each(self, call, condition, count, in_axes, args, kwargs)

  def kernels(self, shapes: Shapes, condition: Any = None) -> Kernels:
    """Returns the parameters that the generators make of `condition`, by path.

    Args:
      shapes: shapes and types of the parameters to generate, by path.
      condition: see `__call__`.

    Raises:
      ValueError: `condition` does not fit, or earlier patterns of `generate`
        match all the paths of a later one.
    """
    condition = {} if condition is None else condition
    check_conditions(condition, self.patterns)
    found: Kernels = {}
    for pattern, group in zip(self.patterns, self.groups, strict=True):
      paths = [path for path in matches(shapes, pattern) if path not in found]
      if not paths:
        raise ValueError(
          f'generate has {pattern!r}, but the patterns before it take all that '
          'it matches; put the narrower pattern first.'
        )
      share = {path: shapes[path] for path in paths}
      found |= group.kernels(share, condition.get(pattern))
    return {path: found[path] for path in shapes}

  def deltas(self, shapes: Shapes, condition: Any = None) -> Kernels:
    """Returns the kernels, each times its gate if the network is `residual`.

    Args:
      shapes: what the method `shapes` returned.
      condition: see `__call__`.

    Raises:
      ValueError: the variables were made for other shapes, or `condition` does
        not fit.
    """
    check_numbers(condition)
    try:
      kernels = self.kernels(nn.meta.unbox(shapes), condition)
    except ScopeParamShapeError as error:
      names = ', '.join('/'.join(path) for path in shapes)
      raise ValueError(
        f'the variables generate other parameters than {names}. If main_method '
        'uses a part of them, give shapes=network.shapes(...), with the '
        'arguments that the network was initialised with.'
      ) from error
    return self.gate(kernels) if self.residual else kernels

  @nn.nowrap
  def shapes(
    self, *args: Any, main_method: str = '__call__', **kwargs: Any
  ) -> Shapes:
    """Returns the shapes and types of the generated parameters, by path.

    Args:
      *args: arguments of the main network; only their shapes matter.
      main_method: the method of the main network that takes the arguments.
      **kwargs: keyword arguments of the main network.

    Raises:
      ValueError: a pattern of `generate` matches no parameter.
    """

    def init(key: Array) -> Params:
      rngs = {'params': key, 'dropout': key}
      main = unbound(self.main)
      variables = main.init(rngs, *args, method=main_method, **kwargs)
      return variables.get('params', {})

    every = flatten_dict(jax.eval_shape(init, jax.random.key(0)))
    return select(every, self.patterns, 'generate', type(self.main).__name__)

  @property
  def patterns(self) -> list[str]:
    """Returns the patterns of `generate`, in order."""
    return [x if isinstance(x, str) else x[0] for x in self.generate]

  @nn.nowrap
  def generated(
    self,
    variables: Params,
    *args: Any,
    condition: Any = None,
    shapes: Shapes | None = None,
    **kwargs: Any,
  ) -> Params:
    """Returns the generated parameters alone, as a tree.

    For a residual parameter, this is the part that is added to the base. The
    function is pure and copies nothing, so a loss may use it, for a penalty on
    the generated parameters. For many networks, use `jax.vmap` over
    `condition`.

    Args:
      variables: what `init` returned.
      *args: arguments of the main network; only their shapes matter.
      condition: of one network, see `__call__`.
      shapes: what the method `shapes` returned, instead of `args` and `kwargs`.
      **kwargs: keyword arguments of the main network.

    Raises:
      ValueError: `variables` have no 'params', or `condition` does not fit.
    """
    if 'params' not in variables:
      raise ValueError(
        f"variables have {', '.join(variables)}, but no 'params'; give what "
        '`init` returned.'
      )
    if shapes is None:
      shapes = self.shapes(*args, **kwargs)
    made: Any = self.apply(dict(variables), shapes, condition, method='deltas')
    return unflatten_dict(
      {path: boxed(made[path], x) for path, x in shapes.items()}
    )

  @nn.nowrap
  def main_params(self, variables: Params, *args: Any, **given: Any) -> Params:
    """Returns all parameters of the main network, free and generated.

    `main.apply({'params': network.main_params(variables, x)}, x)` equals
    `network.apply(variables, x)`. The function is pure and copies nothing: a
    loss that uses it generates the parameters once and sees all of them.

    Args:
      variables: what `init` returned.
      *args: as for `generated`, and the errors are the same.
      **given: as for `generated`.
    """
    deltas = flatten_dict(self.generated(variables, *args, **given))
    own = {k: x['network'] for k, x in variables.items() if 'network' in x}
    return Storage(deltas, self.residual, self.frozen).put(own)['params']

  @nn.nowrap
  def bake(self, variables: Params, *args: Any, **given: Any) -> Params:
    """Returns the variables of the main network, a copy of each.

    `main.apply(network.bake(variables, x), x)` equals
    `network.apply(variables, x)` and no longer needs the hypernetwork. The
    parameters are copies of those of `main_params`, so they may be donated.

    Args:
      variables: what `init` returned.
      *args: as for `generated`, and the errors are the same.
      **given: as for `generated`.
    """
    params = self.main_params(variables, *args, **given)
    rest = {k: x['network'] for k, x in variables.items() if 'network' in x}
    rest.pop('frozen', None)
    return jax.tree.map(jnp.copy, rest | {'params': params})
