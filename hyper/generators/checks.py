"""Checks of the fields and the conditions of a hypernetwork."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn


def check_main(main: Any) -> None:
  """Raises a ValueError unless `main` is a Linen module.

  >>> check_main(3)
  Traceback (most recent call last):
  ValueError: main is int, which is no flax.linen.Module...
  """
  check_instance('main', main)
  if not isinstance(main, nn.Module):
    raise ValueError(
      f'main is {type(main).__name__}, which is no flax.linen.Module. Wrap an '
      'NNX module with `nnx.bridge.to_linen(ItsClass, its, arguments)`.'
    )


def check_instance(name: str, module: Any) -> None:
  """Raises a ValueError if `module` is a class of Linen modules.

  Args:
    name: of the field, for the message.
    module: the value of the field.

  >>> check_instance('main', nn.Dense)
  Traceback (most recent call last):
  ValueError: main is the class Dense; give an instance, such as Dense(...).
  """
  if isinstance(module, type) and issubclass(module, nn.Module):
    kind = module.__name__
    raise ValueError(
      f'{name} is the class {kind}; give an instance, such as {kind}(...).'
    )


def check_generate(generate: Any, name: str, has_kernels: bool) -> None:
  """Raises a ValueError unless `generate` names parameters and generators.

  Args:
    generate: the field of a hypernetwork.
    name: of the hypernetwork's class, for the message.
    has_kernels: whether the hypernetwork is its own generator. Then `generate`
      is a sequence of patterns; otherwise it maps patterns to generators.

  >>> check_generate(('conv2/kernel',), 'HyperNetwork', has_kernels=True)
  >>> check_generate('conv2/kernel', 'HyperNetwork', has_kernels=True)
  Traceback (most recent call last):
  ValueError: generate is 'conv2/kernel'; it is a tuple of patterns ...
  """
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
    check_instance(f'the generator for {pattern!r}', group)
    if not hasattr(group, 'kernels'):
      raise ValueError(
        f'generate has a {type(group).__name__} for {pattern!r}; it must have '
        '`kernels(shapes, condition)`, as hyper.tiles.Tiles has, which takes '
        'any module as its `generator`.'
      )


def check_conditions(condition: Any, patterns: Sequence[str]) -> None:
  """Raises a ValueError unless `condition` maps some of `patterns` to values.

  >>> check_conditions({'conv2/kernel': 3}, ['conv2/kernel'])
  >>> check_conditions({'conv3/kernel': 3}, ['conv2/kernel'])
  Traceback (most recent call last):
  ValueError: condition is ['conv3/kernel']; with several generators ...
  """
  is_mapping = isinstance(condition, Mapping)
  if not is_mapping or condition.keys() - set(patterns):
    given = list(condition) if is_mapping else type(condition).__name__
    raise ValueError(
      f'condition is {given}; with several generators it is a mapping from '
      f'their patterns, {", ".join(patterns)}, to the condition of each.'
    )


def check_numbers(condition: Any) -> None:
  """Raises a ValueError unless `condition` is a tree of arrays and numbers.

  >>> check_numbers({'conv2/kernel': 3})
  >>> check_numbers('first task')
  Traceback (most recent call last):
  ValueError: condition has 'first task'; it is a tree of arrays and numbers.
  """
  for x in jax.tree.leaves(condition):
    if not isinstance(x, bool | int | float | complex) and not hasattr(
      x, 'dtype'
    ):
      raise ValueError(
        f'condition has {x!r}; it is a tree of arrays and numbers.'
      )
