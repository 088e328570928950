"""A step of a cell over time, with a gradient of our own.

Under a plain `lax.scan`, autodiff sums the gradient of every weight inside the
loop, with one small product at each step. Here the backward scan emits only the
cotangents of the products. After it, the gradient of each weight is one product
over all steps; for symbol inputs on a CPU it is a scatter-add. Values are those
of the plain scan, and so are gradients if `derivative_limit` is 0. Forward-mode
derivatives are not defined.

Shapes: b batch, t time, n units, k and l the sizes of a matrix.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

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
  """Runs `step` over time and takes gradients of `matrices` after the loop.

  Args:
    step: `step(product, small, carry, x, masks) -> (carry, output)`, see
      `hyper.cells.cell`.
    matrices: the weights that `step` multiplies by through `product`, by name.
    small: the other weights. Their gradients are summed in the backward scan.
    carry: the carry before the first step.
    inputs: `(x, scale, masks)`, each with time as the first axis: products with
      `matrices['x']` [t, b, l] or symbols [t, b]; the symbols' factors [t, b]
      or None; the masks of dropout. Factors and masks get no gradient.
    dtype: the precision of the products.
    derivative_limit: 0, or a bound of the cotangents, see `Recurrence`.

  Returns:
    The carry after the last step, and the outputs [t, b, n] of all steps.

  >>> def step(product, small, h, x, masks):
  ...   h = jnp.tanh(product('h', h) + x + small['b'])
  ...   return h, h
  >>> matrices, small = {'h': jnp.eye(3)}, {'b': jnp.zeros((1, 3))}
  >>> inputs = jnp.ones((5, 2, 3)), None, None
  >>> h, outputs = unroll(step, matrices, small, jnp.zeros((2, 3)), inputs)
  >>> outputs.shape
  (5, 2, 3)
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
      product, values = _recorded(multiply)
      x = input_product(matrices, x, scale)
      after, output = step(product, small, carry, x, masks)
      return after, (output, (carry, values))

    last, (outputs, saved) = jax.lax.scan(body, carry, inputs)
    return (last, outputs), (matrices, small, inputs, saved)

  def backward(residuals, cotangents):
    matrices, small, inputs, saved = residuals
    d_last, d_outputs = cotangents
    names = []  # of the products, in the order of the calls in the step

    def body(gradient, now):
      d_carry, d_small = gradient
      (x, scale, masks), (carry, values), d_output = now

      def replay(small, carry, x, taps):
        product, asked, lefts = _replayed(
          matrices, values, taps, dtype, derivative_limit
        )
        result = step(product, small, carry, x, masks)
        names[:] = asked
        return result, lefts

      x = input_product(matrices, x, scale)
      taps = [jnp.zeros_like(value) for value in values]
      _, pull, lefts = jax.vjp(replay, small, carry, x, taps, has_aux=True)
      now_small, d_carry, d_x, d_values = pull((d_carry, d_output))
      d_x = _limited(d_x, derivative_limit)
      d_small = jax.tree.map(jnp.add, d_small, _together(now_small))
      return (d_carry, d_small), (d_x, lefts, d_values)

    start = (d_last, jax.tree.map(jnp.zeros_like, _together(small)))
    (d_carry, d_small), (d_x, lefts, d_values) = jax.lax.scan(
      body, start, (inputs, saved, d_outputs), reverse=True
    )
    d_small = _apart(d_small, small)
    d_matrices = {name: jnp.zeros_like(w) for name, w in matrices.items()}
    for name, left, d_value in zip(names, lefts, d_values, strict=True):
      d_w = _over_all_steps(left, d_value, dtype)
      d_matrices[name] += d_w.astype(matrices[name].dtype)
    if is_symbols:
      x, scale, _ = inputs
      d_x = d_x if scale is None else d_x * scale[..., None]
      d_matrices['x'] = _add_rows(d_matrices['x'], x, d_x, dtype)
      return d_matrices, d_small, d_carry, None
    return d_matrices, d_small, d_carry, (d_x, None, None)

  run.defvjp(forward, backward)
  return run(matrices, small, carry, inputs)


def _together(small: Weights) -> tuple[dict[int, Array], list[Array]]:
  """Lays vectors [1, n] of a length below each other, to be summed as one.

  Returns:
    The vectors [k, n] by n, and the other weights in their order.
  """
  vectors: dict[int, list[Array]] = {}
  others = []
  for w in jax.tree.leaves(small):
    if _is_vector(w):
      vectors.setdefault(w.shape[1], []).append(w)
    else:
      others.append(w)
  return {n: jnp.concatenate(each) for n, each in vectors.items()}, others


def _apart(
  joined: tuple[dict[int, Array], list[Array]], small: Weights
) -> Weights:
  """Returns what `_together` has joined, in the structure of `small`."""
  vectors = {n: iter(each[:, None]) for n, each in joined[0].items()}
  others = iter(joined[1])
  leaves, structure = jax.tree.flatten(small)
  each = [
    next(vectors[w.shape[1]] if _is_vector(w) else others) for w in leaves
  ]
  return jax.tree.unflatten(structure, each)


def _is_vector(w: Array) -> bool:
  return w.ndim == 2 and w.shape[0] == 1


def _recorded(multiply: Product) -> tuple[Product, list[Array]]:
  """Returns `multiply` as a product that notes its values, and their list."""
  values: list[Array] = []

  def product(name: str, left: Array) -> Array:
    values.append(multiply(name, left))
    return values[-1]

  return product, values


def _replayed(
  matrices: Weights,
  values: list[Array],
  taps: list[Array],
  dtype: Any,
  derivative_limit: float,
) -> tuple[Product, list[str], list[Array]]:
  """Returns a product that looks up `values`, and what it notes.

  Its derivative clips the cotangent to `derivative_limit`. It passes the
  cotangent times the transposed weight to the left factor, and the cotangent
  itself to the tap, a zero. So a vjp with respect to the taps gives the
  cotangents of all products.

  Returns:
    The product, and two lists in which it notes names and left factors.
  """
  names: list[str] = []
  lefts: list[Array] = []

  @jax.custom_vjp
  def multiply(weight, left, value, tap):
    return value

  def pull(residuals, d_value):
    weight, left = residuals
    d_value = _limited(d_value, derivative_limit)
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


def _limited(x: Array, limit: float) -> Array:
  """Clips `x` to plus and minus `limit`; a limit of 0 changes nothing."""
  return jnp.clip(x, -limit, limit) if limit else x


def _over_all_steps(
  lefts: Float[Array, 't b k'], d_values: Float[Array, 't b l'], dtype: Any
) -> Float[Array, 'k l']:
  """Returns the gradient of a weight: one product over steps and examples."""
  return jax.lax.dot_general(
    lefts.astype(dtype),
    d_values.astype(dtype),
    (((0, 1), (0, 1)), ((), ())),
    preferred_element_type=jnp.float32,
  )


def _add_rows(
  rows: Float[Array, 'k l'],
  symbols: Int[Array, 't b'],
  d_values: Float[Array, 't b l'],
  dtype: Any,
) -> Float[Array, 'k l']:
  """Adds each of `d_values` to the row that its symbol names.

  A CPU scatters. On other devices, many additions to few rows wait for each
  other, and a product is faster.
  """
  return jax.lax.platform_dependent(
    *(rows, symbols, d_values),
    cpu=_scatter_rows,
    default=functools.partial(_multiply_rows, dtype=dtype),
  )


def _scatter_rows(rows: Array, symbols: Array, d_values: Array) -> Array:
  """Returns the sum, with values added one after another."""
  return rows.at[symbols].add(d_values)


def _multiply_rows(
  rows: Array, symbols: Array, d_values: Array, dtype: Any
) -> Array:
  """Returns the sum by a product of one-hot symbols and `d_values`."""
  lefts = jax.nn.one_hot(symbols, len(rows), dtype=dtype)
  return rows + _over_all_steps(lefts, d_values, dtype).astype(rows.dtype)
