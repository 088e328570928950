"""A step of a cell over time, with a gradient of our own.

A plain `lax.scan` lets autodiff build every weight's gradient inside the loop,
one small product a step. Here the backward scan emits only the cotangents of
the products. After it, each weight's gradient is one product over all steps;
for symbol inputs it is a scatter-add. Values are those of the plain scan, and
so are gradients where there is no `derivative_limit`. There are no forward-mode
derivatives.

Shapes: b batch, t time, n units, k and l the sizes of a matrix.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyper.cells.cell import Product, Weights, make_multiply

Step = Callable[..., tuple[Any, Array]]


def unroll(
  step: Step,
  matrices: Weights,
  small: Weights,
  carry: Any,
  inputs: tuple[Array, Array | None, Any],
  dtype: Any = jnp.float32,
  derivative_limit: float = 0.0,
) -> tuple[Any, Float[Array, 't b n']]:
  """Runs `step` over time; gradients of matrices are taken after the loop.

  Args:
    step: `step(product, small, carry, x, masks) -> (carry, output)`, see
      `hyper.cells.cell`.
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
  """Returns a product that notes its values, and the list of them."""
  values: list[Array] = []

  def product(name: str, left: Array) -> Array:
    values.append(multiply(name, left))
    return values[-1]

  return product, values


def replayed(
  matrices: Weights,
  values: list[Array],
  taps: list[Array],
  dtype: Any,
  derivative_limit: float,
) -> tuple[Product, list[str], list[Array]]:
  """Returns a product that looks up the values noted before.

  Its derivative clips the cotangent to the limit and sends it, times the weight
  transposed, to the left factor, and unchanged to the tap (a zero): so a vjp
  with respect to the taps gives the cotangents of all products. Returns also
  the lists in which it notes names and left factors.
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
  """Clips x to plus and minus `limit`; 0 leaves it."""
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
