"""Running a cell over time, with a gradient of our own.

A plain `lax.scan` lets autodiff build every weight's gradient inside the loop,
one small product a step. Here the backward scan emits only the cotangents of
the products; the gradient of each matrix is one large product behind it, that
of a matrix on symbols a scatter. Products of dense inputs are likewise taken
for all steps at once, before the scan. Values are those of the plain scan, and
so are gradients where there is no `derivative_limit`. There are no forward-mode
derivatives.

Shapes: b batch, t time, n units, v input size.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Shaped

from hyper.cells import Product, make_multiply

Step = Callable[..., tuple[Any, Array]]


class Recurrence(nn.Module):
  """A cell over a window of time.

  Attributes:
    cell: one of `hyper.cells`.
    remat_steps: 0 keeps what the gradient needs of every step. Otherwise only
      the carry at every so many steps is kept, and what lies between is
      computed again, which costs a third more time: the memory of a long
      window is then that of so many steps. Divides the window. Only training
      does so.
    derivative_limit: 0, or the largest absolute value that the derivative of
      the loss with respect to a large product may have at each step on its way
      back, as Graves (arXiv 1308.0850, section 2.1) clips the derivatives of
      an LSTM. It keeps the gradient through a thousand steps finite where a
      cell amplifies what it is given, as one with layer norm may.

  Raises:
    ValueError: `remat_steps` or `derivative_limit` is negative.
  """

  cell: nn.RNNCellBase
  remat_steps: int = 0
  derivative_limit: float = 0.0

  def __post_init__(self) -> None:
    for name in ('remat_steps', 'derivative_limit'):
      if getattr(self, name) < 0:
        raise ValueError(f'{name} is {getattr(self, name)}; it cannot be < 0.')
    super().__post_init__()

  def __call__(
    self,
    carry: Any,
    inputs: Shaped[Array, 'b t *v'],
    scale: Float[Array, 'b t'] | None = None,
    train: bool = False,
    lengths: Int[Array, ' b'] | None = None,
    reset: Bool[Array, 'b t'] | None = None,
  ) -> tuple[Any, Float[Array, 'b t n']]:
    """Runs the window from a carry to the carry after it.

    Args:
      carry: the cell's carry, see its `zeros`.
      inputs: vectors [b, t, v], or symbols [b, t] standing for their one-hot
        vectors.
      scale: a factor for each symbol's one-hot vector (input dropout), which
        gets no gradient.
      train: whether the cell's recurrent dropout is on, with a new mask for
        every example and step from the 'dropout' random stream; so it is too
        where the cell itself says `train`.
      lengths: where each sequence ends; from there on its outputs are zeros,
        and its carry stays as it is. None means that all fill the window.
      reset: where a sequence starts anew, from the zero carry; behind its end
        it has none.

    Raises:
      ValueError: `remat_steps` does not divide the window, there is a `scale`
        for vectors, or inputs or carry are of another shape.
    """
    cell = self.cell
    train = train or cell.train
    is_symbols = jnp.issubdtype(inputs.dtype, jnp.integer)
    check_shapes(inputs.shape, 2 if is_symbols else 3, carry)
    if scale is not None and not is_symbols:
      raise ValueError('scale is for symbols; multiply vectors by it yourself.')
    matrices, small = cell.pack(cell.weights(cell.width(inputs)))
    masks = cell.no_masks
    if train and cell.has_dropout:
      key = self.make_rng('dropout')
      masks = cell.draw_masks(key, (inputs.shape[1], inputs.shape[0]))
    xs = jnp.swapaxes(inputs, 0, 1)
    scale = None if scale is None else jnp.swapaxes(scale, 0, 1)
    if not is_symbols:
      xs = make_multiply(matrices, cell.dtype)('x', xs)
    step = cell.step
    if lengths is not None or reset is not None:
      step, masks = with_ends(cell, masks, inputs.shape[:2], lengths, reset)
    run = functools.partial(
      unroll,
      *(step, matrices, small),
      dtype=cell.dtype,
      derivative_limit=self.derivative_limit,
    )
    segment_steps = self.remat_steps if train else 0
    carry, outputs = in_segments(run, segment_steps, carry, (xs, scale, masks))
    return carry, jnp.swapaxes(outputs, 0, 1)


def check_shapes(inputs: tuple[int, ...], axes: int, carry: Any) -> None:
  """Raises a ValueError where inputs or carry are not those of one window."""
  if len(inputs) != axes:
    raise ValueError(
      f'inputs have the shape {inputs}; it is [batch, time, size] of vectors, '
      '[batch, time] of symbols.'
    )
  for x in jax.tree.leaves(carry):
    if x.ndim != 2 or len(x) != inputs[0]:
      raise ValueError(
        f'the carry has an array of shape {x.shape}; it is [{inputs[0]}, '
        'units], see the zeros of the cell.'
      )


def with_ends(
  cell: Any,
  masks: Any,
  shape: tuple[int, ...],
  lengths: Int[Array, ' b'] | None,
  reset: Bool[Array, 'b t'] | None,
) -> tuple[Step, Any]:
  """A cell's step and masks, for sequences that end or start anew in [b, t]."""
  is_live, starts = jnp.ones(shape[::-1], bool), jnp.zeros(shape[::-1], bool)
  if lengths is not None:
    is_live = jnp.arange(shape[1])[:, None] < lengths[None]
  if reset is not None:
    starts = reset.T & is_live

  def step(product, small, carry, x, controls):
    is_live, starts, masks = controls
    carry = choose(starts, jax.tree.map(jnp.zeros_like, carry), carry)
    after, output = cell.step(product, small, carry, x, masks)
    output = choose(is_live, output, jnp.zeros_like(output))
    return choose(is_live, after, carry), output

  return step, (is_live, starts, masks)


def choose(is_first: Bool[Array, ' b'], first: Any, second: Any) -> Any:
  """Of two trees of [b, k], the rows of the first where it is said so."""
  return jax.tree.map(
    lambda x, y: jnp.where(is_first[:, None], x, y), first, second
  )


def in_segments(
  run: Callable[..., Any], steps: int, carry: Any, inputs: Any
) -> tuple[Any, Float[Array, 't b n']]:
  """Runs over time at once or, to save memory, in segments of so many steps.

  The gradient runs each segment again from the carry before it, which is all
  that is kept of it.
  """
  if not steps:
    return run(carry, inputs)
  time = len(jax.tree.leaves(inputs)[0])
  if time % steps:
    raise ValueError(
      f'remat_steps is {steps}, which does not divide the window of {time} '
      'steps; give a divisor of it, or 0 to keep everything.'
    )
  segments = jax.tree.map(
    lambda x: x.reshape(time // steps, steps, *x.shape[1:]), inputs
  )
  carry, outputs = jax.lax.scan(jax.checkpoint(run), carry, segments)
  return carry, outputs.reshape(time, *outputs.shape[2:])


def unroll(
  step: Step,
  matrices: dict[str, Array],
  small: dict[str, Array],
  carry: Any,
  inputs: tuple[Array, Array | None, Any],
  dtype: Any = jnp.float32,
  derivative_limit: float = 0.0,
) -> tuple[Any, Float[Array, 't b n']]:
  """Runs `step` over time, with the gradients of matrices behind the loop.

  Args:
    step: `step(product, small, carry, x, masks) -> (carry, output)`, the pure
      function of a cell.
    matrices: the weights by the names that `step` asks products for.
    small: the other weights; their gradients are summed in the backward scan.
    carry: the state before the first step.
    inputs: with time in front, the inputs (products with `matrices['x']`, or
      symbols), the symbols' factors or None, and the dropout masks. There is
      no gradient for factors and masks.
    dtype: the precision of the products.
    derivative_limit: see `Recurrence`.

  Returns:
    The carry after the last step, and the outputs of all steps.
  """
  is_symbols = jnp.issubdtype(inputs[0].dtype, jnp.integer)

  def input_product(matrices, x, scale):
    if not is_symbols:
      return x
    value = make_multiply(matrices, dtype)('x', x)
    return value if scale is None else value * scale[:, None]

  @jax.custom_vjp
  def run(matrices, small, carry, inputs):
    return forward(matrices, small, carry, inputs)[0]

  def forward(matrices, small, carry, inputs):
    multiply = make_multiply(matrices, dtype)

    def body(carry, now):
      x, scale, masks = now
      product, values = recorded(multiply)
      x = input_product(matrices, x, scale)
      after, output = step(product, small, carry, x, masks)
      return after, (output, (carry, values))

    last, (outputs, saved) = jax.lax.scan(body, carry, inputs)
    return (last, outputs), (matrices, small, inputs, saved)

  def backward(residuals, cotangents):
    matrices, small, inputs, saved = residuals
    d_last, d_outputs = cotangents
    names = []  # of the products, in the order in which the step asks

    def body(gradient, now):
      d_carry, d_small = gradient
      (x, scale, masks), (carry, values), d_output = now

      def replay(small, carry, x, taps):
        product, asked, lefts = replayed(
          matrices, values, taps, dtype, derivative_limit
        )
        result = step(product, small, carry, x, masks)
        names[:] = asked
        return result, lefts

      x = input_product(matrices, x, scale)
      taps = [jnp.zeros_like(value) for value in values]
      _, pull, lefts = jax.vjp(replay, small, carry, x, taps, has_aux=True)
      now_small, d_carry, d_x, d_values = pull((d_carry, d_output))
      d_x = limited(d_x, derivative_limit)
      d_small = jax.tree.map(jnp.add, d_small, now_small)
      return (d_carry, d_small), (d_x, lefts, d_values)

    start = (d_last, jax.tree.map(jnp.zeros_like, small))
    (d_carry, d_small), (d_x, lefts, d_values) = jax.lax.scan(
      body, start, (inputs, saved, d_outputs), reverse=True
    )
    d_matrices = {name: jnp.zeros_like(w) for name, w in matrices.items()}
    for name, left, d_value in zip(names, lefts, d_values, strict=True):
      d_w = over_all_steps(left, d_value, dtype)
      d_matrices[name] += d_w.astype(matrices[name].dtype)
    if is_symbols:
      x, scale, _ = inputs
      d_x = d_x if scale is None else d_x * scale[..., None]
      d_matrices['x'] = d_matrices['x'].at[x].add(d_x)
      return d_matrices, d_small, d_carry, None
    return d_matrices, d_small, d_carry, (d_x, None, None)

  run.defvjp(forward, backward)
  return run(matrices, small, carry, inputs)


def recorded(multiply: Product) -> tuple[Product, list[Array]]:
  """A product that notes its values, and the list it notes them in."""
  values: list[Array] = []

  def product(name: str, left: Array) -> Array:
    values.append(multiply(name, left))
    return values[-1]

  return product, values


def replayed(
  matrices: dict[str, Array],
  values: list[Array],
  taps: list[Array],
  dtype: Any,
  derivative_limit: float,
) -> tuple[Product, list[str], list[Array]]:
  """A product that returns the values noted before instead of multiplying.

  Its derivative clips the cotangent, if it is to, and sends it, times the
  weight transposed, to the left factor, and as it is to the tap (a zero): so a
  vjp with respect to the taps gives the cotangents of all products. Names and
  left factors are noted.
  """
  names: list[str] = []
  lefts: list[Array] = []

  @jax.custom_vjp
  def multiply(weight, left, value, tap):
    return value

  def pull(residuals, d_value):
    weight, left = residuals
    d_value = limited(d_value, derivative_limit)
    d_left = jax.lax.dot_general(
      d_value.astype(dtype),
      weight.astype(dtype),
      (((1,), (1,)), ((), ())),
      preferred_element_type=jnp.float32,
    )
    return None, d_left.astype(left.dtype), None, d_value

  multiply.defvjp(
    lambda weight, left, value, tap: (value, (weight, left)), pull
  )

  def product(name: str, left: Array) -> Array:
    k = len(names)
    names.append(name)
    lefts.append(left)
    return multiply(matrices[name], left, values[k], taps[k])

  return product, names, lefts


def limited(x: Array, limit: float) -> Array:
  """Clipped to plus and minus the limit, if there is one."""
  return jnp.clip(x, -limit, limit) if limit else x


def over_all_steps(
  lefts: Float[Array, 't b k'], d_values: Float[Array, 't b l'], dtype: Any
) -> Float[Array, 'k l']:
  """The gradient of a weight: one product over all steps and examples."""
  return jax.lax.dot_general(
    lefts.astype(dtype),
    d_values.astype(dtype),
    (((0, 1), (0, 1)), ((), ())),
    preferred_element_type=jnp.float32,
  )
