"""The base class of recurrent cells, and what the author of a cell provides.

A cell is a Flax module: it has parameters, and pure functions of them. It is an
`nn.RNNCellBase`, so it runs under Flax's `nn.RNN`. Under
`hyper.recurrence.Recurrence` it gives the same values and gradients, mostly in
less time. The author of a cell provides

  carry_sizes          the sizes of the last axes of the carry, a pytree
  parameters(v)        {name: (initialiser, shape)} for inputs of size v
  pack(weights)        (matrices, small): the weights that are multiplied
                       through `product`, and all others
  masks                the masks of recurrent dropout, or None
  step(product, small, carry, x, masks) -> (carry, output)
                       the equations

and nothing else. Zeros, checks of a carry, dropout and gradients are derived.

`step` does not multiply by a large weight itself. It calls
`product(name, left)` with a name in `matrices`; its argument `x` is the input
already multiplied by `matrices['x']`. So the caller of `step` decides how
products are computed, saved and differentiated, and whether an input is a
vector or a symbol. These rules hold:

- Every step calls `product` in the same order: not under `lax.cond`, and not in
  a loop of its own, because its values are saved for the backward pass.
- `left` is [b, k], with no other axes.
- A name may be used twice. Its gradients add up.
- A matrix that `pack` leaves in `small` works, but is slower: its gradient is
  summed step by step instead of being one product over all steps.
- `small` may be any pytree of floating arrays.
- `masks` has a `Drawn` for each `Mask`, or None. A step does not read the rate
  from a field, since it may be traced.

Shapes: b batch, v input size, n units, m hyper units, e embedding size (N_z).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.cells.checks import check_carry, check_fields, check_names
from hyper.cells.dropout import draw_masks

LAYER_NORM_EPSILON = 1e-3  # inside the square root, as in the author's cell
# The weights that devices may share out, and the axis: that of gates and units.
LARGE = {'w_h': 1, 'w_x': 1}

Product = Callable[[str, Array], Array]
Weights = dict[str, Any]  # arrays, or one for each gate
Initialiser = Callable[..., Array]  # (key, shape, dtype) -> array
Table = dict[str, tuple[Initialiser, tuple[int, ...]]]


class Cell(nn.RNNCellBase):
  """The base class of all cells; `hyper.cells.cell` has the rules for authors.

  Rates of dropout may be arrays, also traced ones, so that one compiled program
  serves all values. Only Python numbers are checked.

  Attributes:
    units: n, the size of h and of the output.
    input_size: v, needed only if the inputs are symbols: integers, each of
      which stands for its one-hot vector. Flax's nn.RNN takes vectors only,
      `Recurrence` both.
    dtype: the precision of the large products: float32, bfloat16 or float16.
      Parameters, states and sums are float32.
    train: whether recurrent dropout is on when the module is called. Under
      nn.RNN it needs `split_rngs={'params': False, 'dropout': True}` there.

  Raises:
    ValueError: a size is not positive, a rate is not within [0, 1), a dtype or
      another choice is not among those allowed, or a field is one that only
      Flax's cells have.

  >>> class Average(Cell):  # h_t = 0.9 h_{t-1} + 0.1 W_x x_t
  ...   @property
  ...   def carry_sizes(self):
  ...     return self.units
  ...   def parameters(self, input_size):
  ...     return {'w_x': (nn.initializers.ones, (input_size, self.units))}
  ...   def pack(self, weights):
  ...     return {'x': weights['w_x']}, {}
  ...   def step(self, product, small, carry, x, masks):
  ...     h = 0.9 * carry + 0.1 * x
  ...     return h, h
  >>> cell, x = Average(units=2), jnp.ones((1, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((1,)), x)
  >>> h, y = cell.apply(variables, cell.zeros((1,)), x)
  >>> y.round(1)
  Array([[0.3, 0.3]], dtype=float32)
  """

  units: int
  input_size: int | None = None
  dtype: Any = jnp.float32
  train: bool = False

  def __new__(cls, *args: Any, **fields: Any) -> 'Cell':
    """Raises a ValueError that names our field for one of Flax's cells."""
    del args
    check_names(cls.__name__, fields, cls.__dataclass_fields__)
    return super().__new__(cls)

  def __post_init__(self) -> None:
    check_fields(self)
    super().__post_init__()

  @property
  def carry_sizes(self) -> Any:
    """Returns the sizes of the last axes of the carry, as a pytree like it."""
    raise NotImplementedError

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """Returns the parameters by name, each with its initialiser and shape.

    Args:
      input_size: v.
    """
    raise NotImplementedError

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Returns `(matrices, small)`.

    Args:
      weights: the parameters by name.

    Returns:
      The weights that are multiplied through `product`, 'x' among them, by the
      names that `step` uses; and all others.
    """
    raise NotImplementedError

  @property
  def masks(self) -> Any:
    """Returns the `Mask` of recurrent dropout, a tuple of several, or None."""
    return None

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """Returns the carry and the output [b, n] after one step.

    Args:
      product: `product(name, left)` is `left` [b, k] times `matrices[name]`.
      small: the second value of `pack`.
      carry: the carry before the step.
      x: the input times `matrices['x']`.
      masks: a `Drawn` or None for each of `masks`.
    """
    raise NotImplementedError

  @property
  def num_feature_axes(self) -> int:
    """Returns 1, since inputs are [..., v]."""
    return 1

  @nn.compact
  def weights(self, input_size: int) -> Weights:
    """Declares the parameters or reads them, float32, by name.

    Args:
      input_size: v.
    """
    return {
      name: jnp.asarray(self.param(name, init, shape, jnp.float32))
      for name, (init, shape) in self.parameters(input_size).items()
    }

  def __call__(
    self, carry: Any, inputs: Any, train: bool | None = None
  ) -> tuple[Any, Array]:
    """Runs one step.

    Args:
      carry: the carry before the step.
      inputs: vectors [..., v], or symbols [...], from 0 to v - 1.
      train: replaces the field if given.

    Returns:
      The carry after the step, and the output [..., n].

    Raises:
      ValueError: `carry` is not of this cell, or the inputs are symbols and
        `input_size` is None.
    """
    inputs = jnp.asarray(inputs)
    matrices, small = self.pack(self.weights(self.width(inputs)))
    multiply = make_multiply(matrices, self.dtype)
    x = multiply('x', inputs)
    batch = x.shape[:-1]
    check_carry(self, carry, batch)
    carry, x = jax.tree.map(
      lambda y: jnp.asarray(y).reshape(-1, y.shape[-1]), (carry, x)
    )
    train = self.train if train is None else train
    rng = (lambda: self.make_rng('dropout')) if train else None
    masks = draw_masks(self.masks, x.shape[:1], rng)
    after = self.step(multiply, small, carry, x, masks)
    return jax.tree.map(lambda y: y.reshape(*batch, y.shape[-1]), after)

  @nn.nowrap
  def width(self, inputs: Array) -> int:
    """Returns the input size: that of `inputs` or, for symbols, the field.

    Raises:
      ValueError: the inputs are symbols and `input_size` is None.
    """
    if not jnp.issubdtype(inputs.dtype, jnp.integer):
      return inputs.shape[-1]
    if self.input_size is None:
      raise ValueError(
        f'{type(self).__name__} got symbols ({inputs.dtype}): set input_size '
        'to the number of different symbols, or give vectors.'
      )
    return self.input_size

  @nn.nowrap
  def zeros(self, batch: tuple[Any, ...]) -> Any:
    """Returns the carry at the start of a sequence, leaves [*batch, size].

    The leaves do not share memory, so the carry may be donated.

    Args:
      batch: the axes before the last one.
    """
    return jax.tree.map(
      lambda size: jnp.zeros((*batch, size), jnp.float32), self.carry_sizes
    )

  @nn.nowrap
  def initialize_carry(self, rng: Any, input_shape: tuple[Any, ...]) -> Any:
    """Returns the zero carry, as `nn.RNN` asks for it.

    Args:
      rng: ignored.
      input_shape: [..., v].
    """
    del rng
    return self.zeros(input_shape[:-1])

  @nn.nowrap
  def hidden(self, weights: Weights, carry: Any) -> Float[Array, '... n']:
    """Returns h without its output gate, if it has one (figure 5).

    Args:
      weights: the parameters by name.
      carry: leaves [..., size].
    """
    del weights
    return jax.tree.leaves(carry)[0]

  @property
  def scaled_gates(self) -> tuple[str, ...]:
    """Returns the gates whose rows of W_h are scaled at each step, if any."""
    return ()

  @nn.nowrap
  def scalings(
    self, weights: Weights, before: Any, after: Any
  ) -> Float[Array, '*t gates n']:
    """Returns d_h of `scaled_gates` at each step, [*t, gates, n].

    Args:
      weights: the parameters by name.
      before: the carries before each step, leaves [*t, size].
      after: the carries after each step.
    """
    raise NotImplementedError


def make_multiply(matrices: Weights, dtype: Any) -> Product:
  """Returns the plain `product(name, left)`: `left` times `matrices[name]`.

  Args:
    matrices: weights [k, l] by name.
    dtype: the precision of the products; sums are float32.

  Returns:
    A function of a name and either vectors [..., k] or symbols [...], integers
    from 0 to k - 1 that pick rows of the matrix.

  >>> product = make_multiply({'x': jnp.eye(3)}, jnp.float32)
  >>> product('x', jnp.array([[0.0, 2.0, 0.0]]))
  Array([[0., 2., 0.]], dtype=float32)
  >>> product('x', jnp.array([1]))  # a symbol
  Array([[0., 1., 0.]], dtype=float32)
  """
  cast = {name: w.astype(dtype) for name, w in matrices.items()}

  def multiply(name: str, left: Array) -> Array:
    if jnp.issubdtype(left.dtype, jnp.integer):
      return cast[name][left].astype(jnp.float32)
    return jnp.matmul(
      left.astype(dtype), cast[name], preferred_element_type=jnp.float32
    )

  return multiply


def layer_norm(
  x: Float[Array, '... n'], gamma: Array, beta: Array
) -> Float[Array, '... n']:
  """Normalises the last axis of `x`, then scales and shifts it.

    LN(x) = gamma (x - mean) / sqrt(variance + 0.001) + beta

  This is the layer norm of Ba et al. (2016, arXiv 1607.06450); epsilon is that
  of the author's cells.

  Args:
    x: [..., n].
    gamma: the gain, [n] or of the shape of `x`.
    beta: the shift, like `gamma`.

  >>> x, gamma, beta = jnp.array([1.0, 3.0]), jnp.ones(2), jnp.zeros(2)
  >>> layer_norm(x, gamma, beta).round(3)
  Array([-1.,  1.], dtype=float32)
  """
  return layer_norms([x], [gamma], [beta])[0]


def layer_norms(
  xs: Sequence[Float[Array, '... n']],
  gammas: Sequence[Array],
  betas: Sequence[Array],
) -> list[Float[Array, '... n']]:
  """Returns the `layer_norm` of each array, with its own statistics.

  Means and variances of all are computed side by side, and a variance in the
  same pass as its mean, as E[x^2] - E[x]^2: on a TPU every operation on a few
  numbers has a fixed cost. The error of a scale, relative to it, is some 1e-7
  E[x]^2 / (variance + 0.001): 3e-4 where the mean is 30 deviations. In the
  trained network of results/ptb_hyperlstm no mean exceeds 0.4 deviations.

  Args:
    xs: arrays of one shape, such as the gates of a cell.
    gammas: the gain of each.
    betas: the shift of each.

  >>> x, one, zero = jnp.array([1.0, 3.0]), jnp.ones(2), jnp.zeros(2)
  >>> first, second = layer_norms([x, 2 * x], [one, one], [zero, zero])
  >>> first.round(3), second.round(3)
  (Array([-1.,  1.], dtype=float32), Array([-1.,  1.], dtype=float32))
  """
  share = 1 / xs[0].shape[-1]
  means = jnp.stack([x.sum(-1) for x in xs]) * share
  squares = jnp.stack([(x * x).sum(-1) for x in xs]) * share
  variances = jnp.maximum(squares - means * means, 0)
  scales = jax.lax.rsqrt(variances + LAYER_NORM_EPSILON)
  shifts = -means * scales
  each = zip(xs, scales, shifts, gammas, betas, strict=True)
  return [
    gamma * (x * scale[..., None] + shift[..., None]) + beta
    for x, scale, shift, gamma, beta in each
  ]


def rows(weights: Weights, *names: str) -> Weights:
  """Returns the vectors among `weights` of these `names`, with a batch axis.

  A vector [n] becomes [1, n]. Vectors [gates, n] become a tuple of [1, n], one
  for each gate, so that no step slices them and no gradient is padded.

  Args:
    weights: the parameters by name.
    *names: those to take; names that `weights` lack are skipped.

  >>> small = rows({'b': jnp.ones((4, 5))}, 'b', 'gamma')
  >>> len(small['b']), small['b'][0].shape
  (4, (1, 5))
  """
  found = {k: weights[k] for k in names if k in weights}
  return {
    k: w[None] if w.ndim == 1 else tuple(w[:, None]) for k, w in found.items()
  }
