"""Checks of the fields and of the carry of a cell."""

import functools
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp

from hyper.cells.dropout import check_rate

DTYPES = ('float32', 'bfloat16', 'float16')  # of products; sums are float32

FLAX_FIELDS = {
  'features': 'give `units`',
  'carry_init': 'a carry starts at zero, or is given where the cell runs '
  '(`initial_carry`)',
  'param_dtype': 'parameters are float32; `dtype` is that of the products',
  'kernel_init': "initial values are the paper's",
  'recurrent_kernel_init': "initial values are the paper's",
  'bias_init': "initial values are the paper's",
  'gate_fn': 'gates are sigmoids',
  'activation_fn': 'the activation is tanh',
}


def check_names(cell: str, names: Any, own: Any) -> None:
  """Raises a ValueError if a field is one of Flax's cells, but not of ours.

  Args:
    cell: the name of the class, for the message.
    names: the fields that are given.
    own: the fields of the class.

  >>> check_names('LSTMCell', ['features'], ['units'])
  Traceback (most recent call last):
  ValueError: LSTMCell has no field 'features', as cells of Flax have: ...
  """
  for name in names:
    if name in FLAX_FIELDS and name not in own:
      raise ValueError(
        f'{cell} has no field {name!r}, as cells of Flax have: '
        f'{FLAX_FIELDS[name]}.'
      )


def check_fields(cell: Any) -> None:
  """Raises a ValueError unless the sizes, rates and dtype of `cell` are valid.

  >>> from types import SimpleNamespace
  >>> check_fields(SimpleNamespace(units=0, dtype='float32'))
  Traceback (most recent call last):
  ValueError: units is 0; it must be a positive integer.
  """
  sizes = ['units', 'hyper_units', 'embedding_size']
  if getattr(cell, 'input_size', None) is not None:  # None takes any input
    sizes.append('input_size')
  for name in filter(functools.partial(hasattr, cell), sizes):
    size = getattr(cell, name)
    if not _is_whole(size) or size < 1:
      raise ValueError(f'{name} is {size!r}; it must be a positive integer.')
  for name in ('dropout_rate', 'hyper_dropout_rate'):
    check_rate(name, getattr(cell, name, 0.0))
  try:
    dtype = jnp.dtype(cell.dtype).name
  except TypeError:
    dtype = ''
  if dtype not in DTYPES:
    raise ValueError(f'dtype is {cell.dtype!r}; allowed: {", ".join(DTYPES)}.')


def check_is_no_class(caller: str, cell: Any) -> None:
  """Raises a ValueError if `cell` is a class, where an instance is wanted.

  Args:
    caller: the name of what was given the cell, for the message.
    cell: what it was given.

  >>> check_is_no_class('Recurrence', int)
  Traceback (most recent call last):
  ValueError: Recurrence got the class int; give an instance, such as ...
  """
  if isinstance(cell, type):
    raise ValueError(
      f'{caller} got the class {cell.__name__}; give an instance, such as '
      'LSTMCell(units=128).'
    )


def check_count(name: str, value: Any) -> None:
  """Raises a ValueError unless `value` is an integer and at least 0.

  Args:
    name: of the field, for the message.
    value: of the field.

  >>> check_count('rank', 1.5)
  Traceback (most recent call last):
  ValueError: rank is 1.5; it must be an integer, and not below 0.
  """
  if not _is_whole(value) or value < 0:
    raise ValueError(
      f'{name} is {value!r}; it must be an integer, and not below 0.'
    )


def _is_whole(value: Any) -> bool:
  """Returns whether `value` is an integer of Python or NumPy."""
  return isinstance(value, Integral) and not isinstance(value, bool)


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
  """Raises a ValueError unless `value` is among `allowed`.

  Args:
    name: of the field, for the message.
    value: of the field.
    allowed: the values it may have.

  >>> check_choice('hyper_state', 'next', ('new', 'old'))
  Traceback (most recent call last):
  ValueError: hyper_state is 'next'; allowed: new, old.
  """
  if value not in allowed:
    raise ValueError(f'{name} is {value!r}; allowed: {", ".join(allowed)}.')


def check_carry(cell: Any, carry: Any, batch: tuple[Any, ...]) -> None:
  """Raises a ValueError unless `carry` has the structure and sizes of `cell`'s.

  Args:
    cell: a `Cell`.
    carry: a pytree of arrays.
    batch: the axes of each leaf before the last one.

  >>> from hyper.cells import LSTMCell
  >>> check_carry(LSTMCell(units=5), jnp.zeros((2, 5)), (2,))
  Traceback (most recent call last):
  ValueError: LSTMCell was given the carry float32[2,5]; its own is
  (float32[2,5], float32[2,5]), as `zeros` of the cell returns it.
  """
  wanted = jax.tree.map(
    lambda size: jax.ShapeDtypeStruct((*batch, size), jnp.float32),
    cell.carry_sizes,
  )
  if described(carry) != described(wanted):
    raise ValueError(
      f'{type(cell).__name__} was given the carry {described(carry)}; its own '
      f'is {described(wanted)}, as `zeros` of the cell returns it.'
    )


def described(tree: Any) -> str:
  """Returns the types and shapes of the arrays in `tree`, for messages.

  A leaf that is no array is described by its class.

  >>> described((jnp.zeros((2, 8)), jnp.zeros(3, int), 'x'))
  '(float32[2,8], int32[3], str)'
  """

  def one(leaf: Any) -> str:
    try:
      x = jax.eval_shape(lambda x: x, leaf)
    except TypeError:
      return type(leaf).__name__
    return f'{x.dtype}[{",".join(map(str, x.shape))}]'

  return str(jax.tree.map(one, tree)).replace("'", '')
