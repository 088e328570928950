"""Recurrent cells: LSTM and HyperLSTM, with and without layer norm.

A cell is a pure function in the paper's letters and a thin Flax module that
owns its parameters. The module is an `nn.RNNCellBase`: it runs under flax's
`nn.RNN`, and faster under `hyper.recurrence.Recurrence`.

Every cell offers the same four pieces to whoever runs it over time:

  weights(input_size)    declares (or reads) the parameters
  pack(weights)          -> (matrices, small): what products use, what is left
  step(product, small, carry, x, masks) -> (carry, output)
  draw_masks(key, shape) the recurrent dropout masks, None where there is none

`step` never multiplies by a large weight itself. It calls `product(name, left)`
with a name in `matrices`, and is handed `x`, the product of its input with
`matrices['x']`. Who runs the cell thereby decides how products are computed,
saved and differentiated, and whether the input is a vector or a symbol.

Shapes: b batch, v input size, n units, m hyper units, e embedding size.
Gates are in the order i, g, f, o, side by side in the last axis.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn import sigmoid
from jaxtyping import Array, Bool, Float

LAYER_NORM_EPSILON = 1e-3  # inside the square root, as in the author's cell

Product = Callable[[str, Array], Array]
Weights = dict[str, Array]


def layer_norm(x: Array, gamma: Array, beta: Array) -> Array:
  """Normalises the last axis to mean 0 and variance 1, then scales it."""
  mean = x.mean(-1, keepdims=True)
  centred = x - mean
  variance = (centred * centred).mean(-1, keepdims=True)
  return gamma * (centred * jax.lax.rsqrt(variance + LAYER_NORM_EPSILON)) + beta


def drop(x: Array, mask: Array | None, rate: float) -> Array:
  """Zeroes what the mask leaves out and scales the rest by 1 / (1 - rate)."""
  if mask is None:
    return x
  return jnp.where(mask, x / (1 - rate), jnp.zeros_like(x))


def lstm_state(
  gates: list[Float[Array, 'b n']],
  c: Float[Array, 'b n'],
  small: Weights,
  mask: Bool[Array, 'b n'] | None,
  dropout_rate: float,
  forget_bias: float,
) -> tuple[Float[Array, 'b n'], Float[Array, 'b n']]:
  """The new c and h from the pre-activations of the gates (eqs 9 and 13).

  With layer norm (`small` holds its gains) each gate is normalised by its own
  statistics, and c only on its way into h: the carried c is not.

  Deviation: the paper's equations have no forget bias; the author's cells add
  it inside the sigmoid, after layer norm.
  """
  if 'gamma' in small:
    gates = [
      layer_norm(y, small['gamma'][k], small['beta'][k])
      for k, y in enumerate(gates)
    ]
  i, g, f, o = gates
  g = drop(jnp.tanh(g), mask, dropout_rate)
  c = sigmoid(f + forget_bias) * c + sigmoid(i) * g
  visible = c
  if 'gamma_c' in small:
    visible = layer_norm(c, small['gamma_c'], small['beta_c'])
  return c, sigmoid(o) * jnp.tanh(visible)


def lstm(
  product: Product,
  small: Weights,
  carry: Any,
  x: Float[Array, 'b 4*n'],
  masks: Array | None,
  dropout_rate: float,
  forget_bias: float,
) -> tuple[Any, Float[Array, 'b n']]:
  """One step of the LSTM (eq. 9); under layer norm it has no gate bias."""
  c, h = carry
  y = product('h', h) + x
  if 'b' in small:
    y = y + small['b']
  c, h = lstm_state(
    jnp.split(y, 4, -1), c, small, masks, dropout_rate, forget_bias
  )
  return (c, h), h


def hyperlstm(
  product: Product,
  small: Weights,
  carry: Any,
  x: Float[Array, 'b 4*n+4*m'],
  masks: tuple[Array | None, Array | None],
  dropout_rates: tuple[float, float],
  forget_bias: float,
  hyper_state: str,
) -> tuple[Any, Float[Array, 'b n']]:
  """One step of the HyperLSTM (eqs 10 to 13, appendix A.2.2).

  The matrix 'h' holds W_h and the hyper cell's weights on h side by side, 'x'
  likewise, so that each of the two is one product a step.

  Deviation: eq. 11 makes the embeddings from the hyper state of the step
  before; the author's cell, and with it the default `hyper_state='new'`, from
  the one just computed. `'old'` is the printed equation.
  """
  (c, h), (c_hyper, h_hyper) = carry
  n = c.shape[-1]
  from_h, hyper_from_h = jnp.split(product('h', h), [4 * n], -1)
  from_x, hyper_from_x = jnp.split(x, [4 * n], -1)

  hyper = {k[6:]: w for k, w in small.items() if k.startswith('hyper_')}
  y_hyper = product('hyper_h', h_hyper) + hyper_from_h + hyper_from_x
  if 'b' in hyper:
    y_hyper = y_hyper + hyper['b']
  h_hyper_old = h_hyper
  c_hyper, h_hyper = lstm_state(
    jnp.split(y_hyper, 4, -1),
    c_hyper,
    hyper,
    masks[1],
    dropout_rates[1],
    forget_bias,
  )

  source = h_hyper if hyper_state == 'new' else h_hyper_old
  z = jnp.split(product('z', source) + small['b_z'], 12, -1)
  gates = [
    (z[k] @ small['w_hz'][k]) * w_h_h
    + (z[4 + k] @ small['w_xz'][k]) * w_x_x
    + (z[8 + k] @ small['w_bz'][k] + small['b'][k])
    for k, (w_h_h, w_x_x) in enumerate(
      zip(jnp.split(from_h, 4, -1), jnp.split(from_x, 4, -1), strict=True)
    )
  ]
  c, h = lstm_state(gates, c, small, masks[0], dropout_rates[0], forget_bias)
  return ((c, h), (c_hyper, h_hyper)), h


def orthogonal(per_gate: bool) -> Callable[..., Array]:
  """Orthogonal initialiser of an [inputs, 4n] matrix, whole or gate by gate.

  Deviation: the paper says only "orthogonal". One matrix over the four gates
  is the author's first release, of the time of the paper's runs; one for each
  gate, with entries about twice as large, came later.
  """
  whole = nn.initializers.orthogonal()

  def by_gate(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32):
    gate = (shape[0], shape[1] // 4)
    keys = jax.random.split(key, 4)
    return jnp.concatenate([whole(k, gate, dtype) for k in keys], -1)

  return by_gate if per_gate else whole


def rows(weights: Weights, *names: str) -> Weights:
  """The named vectors that exist, with an axis of 1 before the last."""
  return {k: weights[k][..., None, :] for k in names if k in weights}


class Cell(nn.RNNCellBase):
  """What all cells share; see the module's docstring for the four pieces.

  Attributes:
    units: n, the size of h and of the output.
    input_size: v, needed only where the inputs are symbols (integers), each
      standing for its one-hot vector.
    dtype: the precision of the large products; states and sums are float32.
    train: whether recurrent dropout is on when the module is called.
  """

  units: int
  input_size: int | None = None
  dtype: Any = jnp.float32
  train: bool = False

  @property
  def num_feature_axes(self) -> int:
    """One: inputs are [..., v]."""
    return 1

  def __call__(self, carry: Any, inputs: Array) -> tuple[Any, Array]:
    """One step: carry and inputs [b, v] or symbols [b] -> carry, [b, n]."""
    matrices, small = self.pack(self.weights(self.width(inputs)))
    multiply = make_multiply(matrices, self.dtype)
    masks = self.no_masks
    if self.train and self.has_dropout:
      key = self.make_rng('dropout')
      masks = self.draw_masks(key, inputs.shape[:1])
    return self.step(multiply, small, carry, multiply('x', inputs), masks)

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
  def zeros(self, batch: tuple[int, ...]) -> Any:
    """The carry at a stream's start."""
    raise NotImplementedError

  @nn.nowrap
  def initialize_carry(self, rng: Any, input_shape: tuple[int, ...]) -> Any:
    """The zero carry for inputs of shape [..., v] (flax's signature)."""
    del rng
    return self.zeros(input_shape[:-1])


def make_multiply(matrices: Weights, dtype: Any) -> Product:
  """The plain product: symbols gather rows, vectors are multiplied."""
  cast = {name: w.astype(dtype) for name, w in matrices.items()}

  def multiply(name: str, left: Array) -> Array:
    if jnp.issubdtype(left.dtype, jnp.integer):
      return cast[name][left].astype(jnp.float32)
    return jnp.matmul(
      left.astype(dtype), cast[name], preferred_element_type=jnp.float32
    )

  return multiply


class LSTMCell(Cell):
  """LSTM (eq. 9), optionally with layer norm and recurrent dropout.

  The carry is (c, h), each [b, n]. Parameters: w_h [n, 4n], w_x [v, 4n], and
  b [4n] or, with layer norm, gamma and beta [4, n], gamma_c and beta_c [n].

  Attributes:
    layer_norm: normalise each gate and the c that enters h; the gate bias is
      dropped then, as the paper's parameter counts require.
    dropout_rate: recurrent dropout on tanh(g) (Semeniuta et al. 2016).
    forget_bias: added to f after layer norm.
    orthogonal: 'whole' or 'gate', see `orthogonal`.
  """

  layer_norm: bool = False
  dropout_rate: float = 0.0
  forget_bias: float = 1.0
  orthogonal: str = 'whole'

  no_masks = None

  def __post_init__(self) -> None:
    check_choice('orthogonal', self.orthogonal, ('whole', 'gate'))
    super().__post_init__()

  @property
  def has_dropout(self) -> bool:
    """Whether training draws masks."""
    return self.dropout_rate > 0

  @nn.compact
  def weights(self, input_size: int) -> Weights:
    """The parameters, float32."""
    return lstm_weights(self, '', self.units, (self.units, input_size))

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Matrices 'h' [n, 4n] and 'x' [v, 4n]; biases and gains."""
    names = ('b', 'gamma', 'beta', 'gamma_c', 'beta_c')
    return {'h': weights['w_h'], 'x': weights['w_x']}, rows(weights, *names)

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """One step, see `lstm`."""
    return lstm(
      product, small, carry, x, masks, self.dropout_rate, self.forget_bias
    )

  @nn.nowrap
  def draw_masks(self, key: Array, shape: tuple[int, ...]) -> Array | None:
    """A boolean mask of [*shape, n], or None without dropout."""
    return draw_mask(key, self.dropout_rate, (*shape, self.units))

  @nn.nowrap
  def zeros(self, batch: tuple[int, ...]) -> Any:
    """c and h at a stream's start."""
    return (jnp.zeros((*batch, self.units)),) * 2


class HyperLSTMCell(Cell):
  """HyperLSTM (eqs 10 to 13): a small LSTM rescales the main LSTM's weights.

  The carry is ((c, h), (c_hyper, h_hyper)). Parameters: those of the main
  LSTM, whose b is [4, n] and kept under layer norm; those of the hyper LSTM
  with the prefix `hyper_`, its input being [h; x]; w_hh, w_hx, w_hb [m, 4e]
  with biases b_hh, b_hx [4e], which make the embeddings; w_hz, w_xz, w_bz
  [4, e, n], which turn them into scalings and a bias. Initialised as in
  appendix A.2.3: all scalings start at exactly 0.1.

  Attributes:
    hyper_units: m.
    embedding_size: e, the paper's N_z.
    layer_norm: in the main cell.
    hyper_layer_norm: in the hyper cell (the author's cell ties it to
      `layer_norm`).
    dropout_rate: recurrent dropout in the main cell.
    hyper_dropout_rate: recurrent dropout in the hyper cell.
    forget_bias: of both cells, added to f after layer norm.
    hyper_state: 'new' or 'old', which hyper state makes the embeddings.
    orthogonal: 'whole' or 'gate', see `orthogonal`.
  """

  hyper_units: int = 128
  embedding_size: int = 4
  layer_norm: bool = True
  hyper_layer_norm: bool = True
  dropout_rate: float = 0.0
  hyper_dropout_rate: float = 0.0
  forget_bias: float = 1.0
  hyper_state: str = 'new'
  orthogonal: str = 'whole'

  no_masks = (None, None)

  def __post_init__(self) -> None:
    check_choice('orthogonal', self.orthogonal, ('whole', 'gate'))
    check_choice('hyper_state', self.hyper_state, ('new', 'old'))
    super().__post_init__()

  @property
  def has_dropout(self) -> bool:
    """Whether training draws masks."""
    return self.dropout_rate > 0 or self.hyper_dropout_rate > 0

  @nn.compact
  def weights(self, input_size: int) -> Weights:
    """The parameters, float32."""
    n, m, e = self.units, self.hyper_units, self.embedding_size
    zeros, ones = nn.initializers.zeros, nn.initializers.ones
    normal = nn.initializers.normal(0.01)
    scale = nn.initializers.constant(0.1 / e)
    result = lstm_weights(self, '', n, (n, input_size))
    result |= lstm_weights(self, 'hyper_', m, (m, n + input_size))
    for name, init, shape in (
      ('w_hh', zeros, (m, 4 * e)),
      ('w_hx', zeros, (m, 4 * e)),
      ('w_hb', normal, (m, 4 * e)),
      ('b_hh', ones, (4 * e,)),
      ('b_hx', ones, (4 * e,)),
      ('w_hz', scale, (4, e, n)),
      ('w_xz', scale, (4, e, n)),
      ('w_bz', zeros, (4, e, n)),
      ('b', zeros, (4, n)),
    ):
      result[name] = self.param(name, init, shape)
    return result

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Matrices 'h', 'x', 'hyper_h' and 'z'; everything else is small."""
    n = self.units
    hyper_from_h, hyper_from_x = jnp.split(weights['hyper_w_x'], [n])
    matrices = {
      'h': jnp.concatenate([weights['w_h'], hyper_from_h], -1),
      'x': jnp.concatenate([weights['w_x'], hyper_from_x], -1),
      'hyper_h': weights['hyper_w_h'],
      'z': jnp.concatenate([weights[k] for k in ('w_hh', 'w_hx', 'w_hb')], -1),
    }
    b_hb = jnp.zeros_like(weights['b_hh'])
    b_z = jnp.concatenate([weights['b_hh'], weights['b_hx'], b_hb])
    small = rows(weights, 'b', 'gamma', 'beta', 'gamma_c', 'beta_c')
    names = ('b', 'gamma', 'beta', 'gamma_c', 'beta_c')
    small |= rows(weights, *(f'hyper_{k}' for k in names))
    small |= {k: weights[k] for k in ('w_hz', 'w_xz', 'w_bz')}
    return matrices, small | {'b_z': b_z[None]}

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """One step, see `hyperlstm`."""
    rates = (self.dropout_rate, self.hyper_dropout_rate)
    return hyperlstm(
      product,
      small,
      carry,
      x,
      masks,
      rates,
      self.forget_bias,
      self.hyper_state,
    )

  @nn.nowrap
  def draw_masks(self, key: Array, shape: tuple[int, ...]) -> Any:
    """Masks of [*shape, n] and [*shape, m], None where nothing is dropped."""
    main, hyper = jax.random.split(key)
    return (
      draw_mask(main, self.dropout_rate, (*shape, self.units)),
      draw_mask(hyper, self.hyper_dropout_rate, (*shape, self.hyper_units)),
    )

  @nn.nowrap
  def zeros(self, batch: tuple[int, ...]) -> Any:
    """The states of both cells at a stream's start."""
    main, hyper = (*batch, self.units), (*batch, self.hyper_units)
    return ((jnp.zeros(main),) * 2, (jnp.zeros(hyper),) * 2)


def lstm_weights(
  cell: Any, prefix: str, n: int, inputs: tuple[int, int]
) -> Weights:
  """Declares an LSTM's w_h and w_x and its gate bias or layer norm.

  The main LSTM of a HyperLSTM declares its own bias: it keeps it either way.
  """
  zeros, ones = nn.initializers.zeros, nn.initializers.ones
  kernel = orthogonal(cell.orthogonal == 'gate')
  result = {
    prefix + 'w_h': cell.param(prefix + 'w_h', kernel, (inputs[0], 4 * n)),
    prefix + 'w_x': cell.param(prefix + 'w_x', kernel, (inputs[1], 4 * n)),
  }
  if getattr(cell, prefix + 'layer_norm'):
    for name, init, shape in (
      ('gamma', ones, (4, n)),
      ('beta', zeros, (4, n)),
      ('gamma_c', ones, (n,)),
      ('beta_c', zeros, (n,)),
    ):
      result[prefix + name] = cell.param(prefix + name, init, shape)
  elif prefix or isinstance(cell, LSTMCell):
    result[prefix + 'b'] = cell.param(prefix + 'b', zeros, (4 * n,))
  return result


def draw_mask(
  key: Array, rate: float, shape: tuple[int, ...]
) -> Bool[Array, '...'] | None:
  """True with probability 1 - rate (to 1/65536); None where the rate is 0.

  Two entries share each random word, which is most of the cost on a CPU.
  """
  if not rate:
    return None
  *front, last = shape
  words = jax.random.bits(key, (*front, -(-last // 2)))
  halves = jax.lax.bitcast_convert_type(words, jnp.uint16)
  keep = min(round((1 - rate) * 65536), 65535)
  return halves.reshape(*front, -1)[..., :last] < jnp.uint16(keep)


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
  """Raises a ValueError where the value is not one of those allowed."""
  if value not in allowed:
    raise ValueError(f'{name} is {value!r}; allowed: {", ".join(allowed)}.')


CELLS = {'lstm': LSTMCell, 'hyperlstm': HyperLSTMCell}
