"""What a recurrent cell is: its mathematics, declared once as tables.

A cell is a Flax module that owns parameters, and pure functions of them. It is
an `nn.RNNCellBase`, so it runs under Flax's `nn.RNN`; under
`hyper.recurrence.Recurrence` the same cell gives the same values and gradients,
mostly in less time. The author of a cell provides

  carry_sizes          the state, a pytree of the sizes of its last axes
  parameters(v)        {name: (initialiser, shape)} for inputs of size v
  pack(weights)        (matrices, small): the weights that are multiplied
                       through `product`, and all others
  masks                the masks of recurrent dropout, or None
  step(product, small, carry, x, masks) -> (carry, output)
                       the equations

and nothing else; zeros, checks of a carry, dropout and gradients follow.

`step` never multiplies by a large weight itself. It calls `product(name, left)`
with a name in `matrices`, and gets x multiplied by `matrices['x']` as its
argument `x`. The runner of the cell thereby decides how products are computed,
saved and differentiated, and whether an input is a vector or a symbol.

- `product` is called at each step, in the same order: not under `lax.cond`, nor
  in a loop of its own, since what it returns is noted for the backward pass.
- `left` is [b, k], with no other axes.
- A name may be asked for twice, and its gradients add up.
- A matrix that `pack` leaves in `small` works and is only slower: its gradient
  is summed step by step instead of being one product over all steps.
- `small` may be any pytree of arrays.
- `masks` holds a `Drawn` for each `Mask`, or None. A step reads no rate of its
  own, which may be traced.

Shapes: b batch, v input size, n units, m hyper units, e embedding size (N_z).
"""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.cells.dropout import check_rate, draw_masks

LAYER_NORM_EPSILON = 1e-3  # inside the square root, as in the author's cell
DTYPES = ('float32', 'bfloat16', 'float16')  # of products; sums are float32

Product = Callable[[str, Array], Array]
Weights = dict[str, Any]  # arrays, or one for each gate
Initialiser = Callable[..., Array]  # (key, shape, dtype) -> array
Table = dict[str, tuple[Initialiser, tuple[int, ...]]]


class Cell(nn.RNNCellBase):
  """What all cells share; the module's docstring says what each provides.

  Attributes:
    units: n, the size of h and of the output.
    input_size: v, needed only where the inputs are symbols (integers), each
      standing for its one-hot vector. Flax's nn.RNN takes vectors only,
      `Recurrence` both.
    dtype: the precision of the large products, float32, bfloat16 or float16;
      parameters, states and sums are float32.
    train: whether recurrent dropout is on when the module is called. Under
      nn.RNN it needs `split_rngs={'params': False, 'dropout': True}` there.

  Rates of dropout may be arrays, also traced ones, so that one compiled
  program serves all values; only a Python number is checked.

  Raises:
    ValueError: a size is not positive, a rate not within [0, 1), a dtype or
      another choice not among those allowed, or a field is one of Flax's cells.
  """

  units: int
  input_size: int | None = None
  dtype: Any = jnp.float32
  train: bool = False

  def __new__(cls, *args: Any, **fields: Any) -> 'Cell':
    """Refuses the fields of Flax's own cells by the names used here."""
    del args
    for name in fields:
      if name in FLAX_FIELDS and name not in cls.__dataclass_fields__:
        raise ValueError(
          f'{cls.__name__} has no field {name!r}, as cells of Flax have: '
          f'{FLAX_FIELDS[name]}.'
        )
    return super().__new__(cls)

  def __post_init__(self) -> None:
    check_fields(self)
    super().__post_init__()

  @property
  def carry_sizes(self) -> Any:
    """The sizes of the last axes of the carry, as a pytree like the carry."""
    raise NotImplementedError

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """The parameters by name, each with its initialiser and shape."""
    raise NotImplementedError

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """`(matrices, small)`: weights multiplied through `product`, all others."""
    raise NotImplementedError

  @property
  def masks(self) -> Any:
    """The masks of recurrent dropout: a `Mask`, a tuple of them, or None."""
    return None

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """The carry and the output [b, n] after one step."""
    raise NotImplementedError

  @property
  def num_feature_axes(self) -> int:
    """One: inputs are [..., v]."""
    return 1

  @nn.compact
  def weights(self, input_size: int) -> Weights:
    """Declares the parameters or reads them, float32."""
    return {
      name: jnp.asarray(self.param(name, init, shape, jnp.float32))
      for name, (init, shape) in self.parameters(input_size).items()
    }

  def __call__(self, carry: Any, inputs: Any) -> tuple[Any, Array]:
    """One step: carry, inputs [..., v] or symbols [...] -> carry, [..., n].

    Raises:
      ValueError: the carry is not that of this cell, or there are symbols and
        no `input_size`.
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
    rng = (lambda: self.make_rng('dropout')) if self.train else None
    masks = draw_masks(self.masks, x.shape[:1], rng)
    after = self.step(multiply, small, carry, x, masks)
    return jax.tree.map(lambda y: y.reshape(*batch, y.shape[-1]), after)

  @nn.nowrap
  def width(self, inputs: Array) -> int:
    """The input size, from the inputs or, for symbols, from the field."""
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
    """The carry at the start of a sequence, leaves [*batch, size].

    Every leaf is an array of its own, so that a carry may be donated.
    """
    return jax.tree.map(
      lambda size: jnp.zeros((*batch, size), jnp.float32), self.carry_sizes
    )

  @nn.nowrap
  def initialize_carry(self, rng: Any, input_shape: tuple[Any, ...]) -> Any:
    """The zero carry for inputs of shape [..., v] (Flax's signature)."""
    del rng
    return self.zeros(input_shape[:-1])

  @nn.nowrap
  def hidden(self, weights: Weights, carry: Any) -> Float[Array, '... n']:
    """h before an output gate, if there is one: what figure 5 counts."""
    del weights
    return jax.tree.leaves(carry)[0]

  @property
  def scaled_gates(self) -> tuple[str, ...]:
    """The gates whose rows of W_h are scaled at each step; none here."""
    return ()

  @nn.nowrap
  def scalings(
    self, weights: Weights, before: Any, after: Any
  ) -> Float[Array, '*t gates n']:
    """d_h of `scaled_gates`, from the carries before and after each step."""
    raise NotImplementedError


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


def make_multiply(matrices: Weights, dtype: Any) -> Product:
  """Returns the plain product: symbols gather rows, vectors are multiplied."""
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
  """Normalises the last axis to mean 0 and variance 1, then scales it."""
  mean = x.mean(-1, keepdims=True)
  centred = x - mean
  variance = (centred * centred).mean(-1, keepdims=True)
  return gamma * (centred * jax.lax.rsqrt(variance + LAYER_NORM_EPSILON)) + beta


def rows(weights: Weights, *names: str) -> Weights:
  """Returns those of the named vectors that exist, with a batch axis of 1.

  A [4, n] becomes an array for each gate, which needs no slicing at each step,
  and its gradient no padding.
  """
  found = {k: weights[k] for k in names if k in weights}
  return {
    k: w[None] if w.ndim == 1 else tuple(w[:, None]) for k, w in found.items()
  }


def check_carry(cell: Cell, carry: Any, batch: tuple[Any, ...]) -> None:
  """Raises a ValueError unless `carry` is one of `cell`, float32."""
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
  """The types and shapes of a pytree, such as (float32[2,8], float32[2,8])."""

  def one(x: Any) -> str:
    return f'{x.dtype}[{",".join(map(str, x.shape))}]'

  types = jax.eval_shape(lambda x: x, tree)
  return str(jax.tree.map(one, types)).replace("'", '')


def check_fields(cell: Any) -> None:
  """Raises a ValueError where a size, rate or dtype cannot be."""
  for name in ('units', 'hyper_units', 'embedding_size'):
    size = getattr(cell, name, 1)
    is_whole = isinstance(size, Integral) and not isinstance(size, bool)
    if not is_whole or size < 1:
      raise ValueError(f'{name} is {size!r}; it must be a positive integer.')
  for name in ('dropout_rate', 'hyper_dropout_rate'):
    check_rate(name, getattr(cell, name, 0.0))
  try:
    dtype = jnp.dtype(cell.dtype).name
  except TypeError:
    dtype = ''
  if dtype not in DTYPES:
    raise ValueError(f'dtype is {cell.dtype!r}; allowed: {", ".join(DTYPES)}.')


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
  """Raises a ValueError unless `value` is among those allowed."""
  if value not in allowed:
    raise ValueError(f'{name} is {value!r}; allowed: {", ".join(allowed)}.')
