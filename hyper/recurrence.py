"""A cell over time, called like Flax's `nn.RNN` and mostly faster in training.

Products with dense inputs are computed for all steps at once before the scan,
and gradients of weights after it (`hyper.cells.unroll`).

Shapes: b batch, t time, n units, v input size.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from hyper.cells.cell import Cell, make_multiply
from hyper.cells.checks import (
  check_carry,
  check_count,
  check_is_no_class,
  described,
)
from hyper.cells.dropout import draw_masks
from hyper.cells.unroll import Step, unroll

NEW_CALL = (
  'Recurrence is called like nn.RNN: recurrence(inputs, initial_carry=carry, '
  'return_carry=True) -> (carry, outputs); the carry used to come first.'
)


class Recurrence(nn.Module):
  """Runs a cell over a window of time, as Flax's `nn.RNN` does.

    carry_t, y_t = cell(carry_{t-1}, x_t)  for t = 1, 2, ...

  Fields and arguments have the same meaning as those of `nn.RNN`, with one
  difference: outputs after the end of a sequence (`seq_lengths`) are zeros.
  Parameters, values and gradients are those of `nn.RNN`. Second derivatives are
  those of `jax.grad` of `jax.grad`; forward-mode derivatives (`jax.jvp`,
  `jax.hessian`) are not defined.

  Attributes:
    cell: one of `hyper.cells`.
    time_major: inputs and outputs are [t, b, ...] instead of [b, t, ...].
    return_carry: return `(carry, outputs)` instead of the outputs.
    reverse: run from the last step to the first, each sequence within its
      length. Outputs come in the order of running.
    keep_order: with `reverse`, return the outputs in the order of the inputs.
    remat_steps: where the call or the cell has `train=True`, keep the carry
      every `remat_steps` steps only, and compute the steps between again for
      the gradient. This takes about a third more time and saves most of the
      memory of a long window. It must divide the window; 0 keeps the carry of
      every step.
    derivative_limit: if not 0, the derivative of the loss with respect to each
      large product is clipped to plus and minus this value at every step, as
      Graves (arXiv 1308.0850, section 2.1) clips the derivatives of an LSTM.
      The gradient through a thousand steps then stays finite even if the cell
      amplifies its input, as a cell with layer norm may.

  Raises:
    ValueError: `remat_steps` is no integer from 0 on, `derivative_limit` is
      negative or not finite, or `cell` is not one of `hyper.cells`.

  >>> import jax, jax.numpy as jnp
  >>> from hyper.cells import LSTMCell
  >>> x = jnp.ones((2, 7, 3))  # [batch, time, input]
  >>> recurrence = Recurrence(LSTMCell(units=5), return_carry=True)
  >>> variables = recurrence.init(jax.random.key(0), x)
  >>> (c, h), y = recurrence.apply(variables, x)
  >>> y.shape
  (2, 7, 5)
  """

  cell: nn.RNNCellBase
  time_major: bool = False
  return_carry: bool = False
  reverse: bool = False
  keep_order: bool = False
  remat_steps: int = 0
  derivative_limit: float = 0.0

  def __post_init__(self) -> None:
    check_count('remat_steps', self.remat_steps)
    if not 0 <= self.derivative_limit < math.inf:
      raise ValueError(
        f'derivative_limit is {self.derivative_limit}; it must be finite, and '
        'not below 0.'
      )
    check_is_no_class('Recurrence', self.cell)
    if not isinstance(self.cell, Cell):
      raise ValueError(
        f'Recurrence got a {type(self.cell).__name__}; it runs cells of '
        'hyper.cells (subclasses of its Cell). Others run under nn.RNN.'
      )
    super().__post_init__()

  def __call__(
    self,
    inputs: Any,
    *old: Any,
    initial_carry: Any = None,
    init_key: Array | None = None,
    seq_lengths: ArrayLike | None = None,
    return_carry: bool | None = None,
    time_major: bool | None = None,
    reverse: bool | None = None,
    keep_order: bool | None = None,
    train: bool | None = None,
    scale: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    carry: Any = None,
  ) -> Any:
    """Runs the cell over `inputs`.

    Args:
      inputs: vectors [b, t, v], or integers [b, t], each of which stands for
        its one-hot vector and is at least 0 and below the cell's `input_size`.
      *old: catches calls in the old order of arguments, to name the new one.
      initial_carry: the carry before the window; by default, zeros.
      init_key: ignored; `nn.RNN` has it, and our cells start from zeros.
      seq_lengths: int [b], the length of each sequence in steps. After it,
        outputs are zeros and the carry does not change. Inputs there must be
        finite. By default, every sequence fills the window.
      return_carry: replaces the field if given, as do the next three.
      time_major: see the field; it also holds for `scale` and `reset`.
      reverse: see the field.
      keep_order: see the field.
      train: whether recurrent dropout is on, with a new mask for every example
        and step from the random stream 'dropout', and whether `remat_steps`
        holds; by default, the cell's `train`. A rate of dropout that is an
        array gets no gradient.
      scale: float [b, t], a factor for the one-hot vector of each symbol (input
        dropout). It gets no gradient.
      reset: bool, true where a sequence starts again from the zero carry: [b]
        before the window, or [b, t] before each step. It has no effect after
        the end of a sequence.
      carry: catches calls with the old name of `initial_carry`, likewise.

    Returns:
      The outputs [b, t, n] or, with `return_carry`, `(carry, outputs)`.

    Raises:
      ValueError: `remat_steps` does not divide the window, `scale` is given for
        vectors, or an argument has a wrong shape, type or structure.
    """
    del init_key
    if old or carry is not None:
      raise ValueError(NEW_CALL)
    is_major = _given(time_major, self.time_major)
    is_backward = _given(reverse, self.reverse)
    _check_inputs(inputs, scale)
    _check_controls(inputs.shape[:2], is_major, seq_lengths, scale, reset)
    inputs, factors, starts, lengths = jax.tree.map(
      jnp.asarray, (inputs, scale, reset, seq_lengths)
    )
    factors = None if factors is None else factors.astype(jnp.float32)

    def turn(x: Array) -> Array:
      return flip(x, lengths, is_major) if is_backward else x

    def move(x: Array) -> Array:
      return x if is_major else jnp.swapaxes(x, 0, 1)

    begun = None  # where a stream starts again before the window
    if starts is not None and starts.ndim == 1:
      begun, starts = starts, None
    xs, factors, starts = jax.tree.map(
      lambda x: move(turn(x)), (inputs, factors, starts)
    )
    carry = self._start(initial_carry, begun, xs.shape[1:2])
    carry, outputs = self._run(carry, xs, factors, starts, lengths, train)
    outputs = move(outputs)
    if is_backward and _given(keep_order, self.keep_order):
      outputs = turn(outputs)
    is_pair = _given(return_carry, self.return_carry)
    return (carry, outputs) if is_pair else outputs

  def _start(
    self, carry: Any, begun: Bool[Array, ' b'] | None, batch: tuple[Any, ...]
  ) -> Any:
    """Returns the carry before the window: `carry`, or zeros where `begun`."""
    zeros = self.cell.zeros(batch)
    if carry is None:
      return zeros
    check_carry(self.cell, carry, batch)
    carry = jax.tree.map(jnp.asarray, carry)
    return carry if begun is None else _choose(begun, zeros, carry)

  def _run(
    self,
    carry: Any,
    xs: Shaped[Array, 't b *v'],
    scale: Float[Array, 't b'] | None,
    starts: Bool[Array, 't b'] | None,
    lengths: Int[Array, ' b'] | None,
    train: bool | None,
  ) -> tuple[Any, Float[Array, 't b n']]:
    """Returns the carry after the window, and the outputs."""
    cell, train = self.cell, _given(train, self.cell.train)
    matrices, small = cell.pack(cell.weights(cell.width(xs)))
    rng = (lambda: self.make_rng('dropout')) if train else None
    step, controls = cell.step, draw_masks(cell.masks, xs.shape[:2], rng)
    if lengths is not None or starts is not None:
      step, controls = _with_ends(cell, controls, xs.shape[:2], lengths, starts)
    if not _is_symbols(xs):
      xs = make_multiply(matrices, cell.dtype)('x', xs)
    run = functools.partial(
      unroll,
      *(step, matrices, small),
      dtype=cell.dtype,
      derivative_limit=self.derivative_limit,
    )
    segment_steps = self.remat_steps if train else 0
    return _in_segments(run, segment_steps, carry, (xs, scale, controls))


def _given(value: Any, default: Any) -> Any:
  """Returns `value`, or `default` if it is None."""
  return default if value is None else value


def _is_symbols(inputs: Any) -> bool:
  """Returns True if `inputs` are integers, which stand for one-hot vectors."""
  return jnp.issubdtype(inputs.dtype, jnp.integer)


def _check_inputs(inputs: Any, scale: ArrayLike | None) -> None:
  """Raises a ValueError unless `inputs` and `scale` are of one window."""
  if not hasattr(inputs, 'ndim'):
    raise ValueError(
      f'inputs are a {type(inputs).__name__}, not an array. {NEW_CALL}'
    )
  if inputs.ndim != (2 if _is_symbols(inputs) else 3):
    raise ValueError(
      f'inputs have the shape {inputs.shape}; it is [batch, time, size] of '
      'vectors, [batch, time] of symbols (with time_major, time comes first).'
    )
  if scale is not None and not _is_symbols(inputs):
    raise ValueError('scale is for symbols; multiply vectors by it yourself.')


def _check_controls(
  window: tuple[Any, ...],
  is_major: bool,
  seq_lengths: Any,
  scale: Any,
  reset: Any,
) -> None:
  """Raises a ValueError unless all fit a window [b, t] or [t, b]."""
  batch = window[1:] if is_major else window[:1]
  for name, x, kind, type_, shapes in (
    ('seq_lengths', seq_lengths, 'int', jnp.integer, (batch,)),
    ('scale', scale, 'float', jnp.floating, (window,)),
    ('reset', reset, 'bool', jnp.bool_, (batch, window)),
  ):
    is_array = hasattr(x, 'dtype') and jnp.issubdtype(x.dtype, type_)
    if x is None or (is_array and x.shape in shapes):
      continue
    found = described(x) if hasattr(x, 'dtype') else f'a {type(x).__name__}'
    wanted = ' or '.join(f'{kind}{[*shape]}' for shape in shapes)
    raise ValueError(
      f'{name} is {found}; with these inputs it must be an array {wanted}.'
    )


def flip(
  x: Shaped[Array, '...'], lengths: Int[Array, ' b'] | None, time_major: bool
) -> Shaped[Array, '...']:
  """Reverses `x` in time, each sequence within its length.

  Padding stays at the end.

  Args:
    x: [t, b, ...] if `time_major`, else [b, t, ...].
    lengths: int [b], in steps; None if all sequences fill the window.
    time_major: whether time is the first axis of `x`.

  Returns:
    An array of the shape of `x`.

  >>> flip(jnp.array([[1, 2, 3, 0]]), jnp.array([3]), time_major=False)
  Array([[3, 2, 1, 0]], dtype=int32)
  """
  axis = 0 if time_major else 1
  if lengths is None:
    return jnp.flip(x, axis)
  steps = jnp.expand_dims(jnp.arange(x.shape[axis]), 1 - axis)
  places = (jnp.expand_dims(lengths, axis) - 1 - steps) % x.shape[axis]
  places = places.reshape(*places.shape, *(1,) * (x.ndim - 2))
  return jnp.take_along_axis(x, places, axis)


def _with_ends(
  cell: Cell,
  masks: Any,
  shape: tuple[Any, ...],
  lengths: Int[Array, ' b'] | None,
  starts: Bool[Array, 't b'] | None,
) -> tuple[Step, Any]:
  """Returns a step and its controls with ends and starts of sequences.

  Args:
    cell: whose step is taken.
    masks: of recurrent dropout, with time as the first axis.
    shape: (t, b).
    lengths: of the sequences, in steps; None if all fill the window.
    starts: true before a step at which the carry is zero again.
  """
  is_live, is_start = jnp.ones(shape, bool), jnp.zeros(shape, bool)
  if lengths is not None:
    is_live = jnp.arange(shape[0])[:, None] < lengths[None]
  if starts is not None:
    is_start = starts & is_live

  def step(product, small, carry, x, controls):
    is_live, is_start, masks = controls
    carry = _choose(is_start, jax.tree.map(jnp.zeros_like, carry), carry)
    after, output = cell.step(product, small, carry, x, masks)
    output = _choose(is_live, output, jnp.zeros_like(output))
    return _choose(is_live, after, carry), output

  return step, (is_live, is_start, masks)


def _choose(is_first: Bool[Array, ' b'], first: Any, second: Any) -> Any:
  """Returns rows of `first` where `is_first`, else of `second`, in leaves."""
  return jax.tree.map(
    lambda x, y: jnp.where(is_first[:, None], x, y), first, second
  )


def _in_segments(
  run: Callable[..., Any], steps: int, carry: Any, inputs: Any
) -> tuple[Any, Float[Array, 't b n']]:
  """Runs over time at once or, to save memory, `steps` steps at a time.

  Only the carry before each segment is kept. The gradient computes the rest
  again.

  Raises:
    ValueError: `steps` does not divide the window.
  """
  if not steps:
    return run(carry, inputs)
  time = jax.tree.leaves(inputs)[0].shape[0]
  if time % steps:
    raise ValueError(
      f'remat_steps is {steps}, which does not divide the window of {time} '
      'steps; give a divisor of it, or 0 to keep the carry of every step.'
    )
  segments = jax.tree.map(
    lambda x: x.reshape(time // steps, steps, *x.shape[1:]), inputs
  )
  carry, outputs = jax.lax.scan(jax.checkpoint(run), carry, segments)
  return carry, outputs.reshape(time, *outputs.shape[2:])
