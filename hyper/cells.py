"""Recurrent cells: RNN, LSTM, and each of them with a hypernetwork.

A cell is a pure function in the paper's letters and a thin Flax module that
owns its parameters. The module is an `nn.RNNCellBase`: it runs under flax's
`nn.RNN`, and mostly faster under `hyper.recurrence.Recurrence`.

Besides its fields, every cell offers four pieces to whoever runs it over time:

  weights(input_size)    declares (or reads) the parameters
  pack(weights)          -> (matrices, small): what products use, what is left
  step(product, small, carry, x, masks) -> (carry, output)
  draw_masks(key, shape) the recurrent dropout masks, None where there is none

`step` never multiplies by a large weight itself. It calls `product(name, left)`
with a name in `matrices`, and is handed `x`, the product of its input with
`matrices['x']`. Who runs the cell thereby decides how products are computed,
saved and differentiated, and whether the input is a vector or a symbol.

Shapes: b batch, v input size, n units, m hyper units, e embedding size (N_z).
Gates are in the order i, g, f, o, side by side in the last axis.
"""

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn import sigmoid
from jaxtyping import Array, Bool, Float

LAYER_NORM_EPSILON = 1e-3  # inside the square root, as in the author's cell
DTYPES = ('float32', 'bfloat16', 'float16')  # of products; sums are float32

Product = Callable[[str, Array], Array]
Weights = dict[str, Any]  # arrays, or one for each gate


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


def rnn(
  product: Product,
  small: Weights,
  h: Float[Array, 'b n'],
  x: Float[Array, 'b n'],
) -> tuple[Float[Array, 'b n'], Float[Array, 'b n']]:
  """One step of the basic RNN (eq. 4)."""
  h = jnp.tanh(product('h', h) + x + small['b'])
  return h, h


def hyperrnn(
  product: Product,
  small: Weights,
  carry: Any,
  x: Float[Array, 'b k+m'],
  form: str,
  hyper_state: str,
) -> tuple[Any, Float[Array, 'b n']]:
  """One step of the HyperRNN (eqs 5 to 8).

  In the scaled form k is n: the products W_h h and W_x x are scaled element by
  element. In the full form k is e*n: each matrix is a sum of e basic ones,
  weighted by the embedding, so that its product is the same sum of e products.

  Deviation: eq. 6 makes the embeddings from the hyper state of the step
  before; see `hyperlstm`.
  """
  h, h_hyper_old = carry
  k = x.shape[-1] - h_hyper_old.shape[-1]
  from_h, hyper_from_h = jnp.split(product('h', h), [k], -1)
  from_x, hyper_from_x = jnp.split(x, [k], -1)
  y_hyper = product('hyper_h', h_hyper_old) + hyper_from_h + hyper_from_x
  h_hyper = jnp.tanh(y_hyper + small['hyper_b'])

  source = h_hyper if hyper_state == 'new' else h_hyper_old
  z_h, z_x, z_b = jnp.split(product('z', source) + small['b_z'], 3, -1)
  if form == 'scaled':
    h_term = (z_h @ small['w_hz']) * from_h
    x_term = (z_x @ small['w_xz']) * from_x
  else:
    h_term = weighted_sum(z_h, from_h)
    x_term = weighted_sum(z_x, from_x)
  h = jnp.tanh(h_term + x_term + z_b @ small['w_bz'] + small['b'])
  return (h, h_hyper), h


def weighted_sum(
  z: Float[Array, 'b e'], products: Float[Array, 'b e*n']
) -> Float[Array, 'b n']:
  """The e products that lie side by side, weighted and added up."""
  batch, e = z.shape
  return (z[..., None] * products.reshape(batch, e, -1)).sum(1)


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
      layer_norm(*gate)
      for gate in zip(gates, small['gamma'], small['beta'], strict=True)
    ]
  i, g, f, o = gates
  g = drop(jnp.tanh(g), mask, dropout_rate)
  c = sigmoid(f + forget_bias) * c + sigmoid(i) * g
  return c, sigmoid(o) * hidden(c, small)


def hidden(c: Float[Array, '... n'], weights: Weights) -> Array:
  """phi(c), which the output gate makes h of; under layer norm phi(LN(c))."""
  if 'gamma_c' in weights:
    c = layer_norm(c, weights['gamma_c'], weights['beta_c'])
  return jnp.tanh(c)


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
  gates = jnp.split(y, 4, -1)
  c, h = lstm_state(gates, c, small, masks, dropout_rate, forget_bias)
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
    *(jnp.split(y_hyper, 4, -1), c_hyper, hyper, masks[1]),
    *(dropout_rates[1], forget_bias),
  )

  source = h_hyper if hyper_state == 'new' else h_hyper_old
  z = jnp.split(product('z', source) + small['b_z'], 12, -1)
  h_terms, x_terms = jnp.split(from_h, 4, -1), jnp.split(from_x, 4, -1)
  gates = [
    (z[k] @ small['w_hz'][k]) * h_terms[k]
    + (z[4 + k] @ small['w_xz'][k]) * x_terms[k]
    + (z[8 + k] @ small['w_bz'][k] + small['b'][k])
    for k in range(4)
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


def rows(weights: Weights, *names: str) -> dict[str, Any]:
  """The named vectors that exist, with an axis of 1 for the batch.

  Of [4, n] each gate is an array of its own, which needs no slicing at each
  step, and its gradient no padding.
  """
  found = {k: weights[k] for k in names if k in weights}
  return {
    k: w[None] if w.ndim == 1 else tuple(w[:, None]) for k, w in found.items()
  }


class Cell(nn.RNNCellBase):
  """What all cells share; see the module's docstring for the four pieces.

  Attributes:
    units: n, the size of h and of the output.
    input_size: v, needed only where the inputs are symbols (integers), each
      standing for its one-hot vector. Flax's nn.RNN takes vectors only,
      `Recurrence` both.
    dtype: the precision of the large products, float32, bfloat16 or float16;
      states and sums are float32.
    train: whether recurrent dropout is on when the module is called. Under
      nn.RNN it needs `split_rngs={'params': False, 'dropout': True}` there.

  Raises:
    ValueError: a size is not positive, a rate not within [0, 1), or a dtype or
      another choice not among those allowed.
  """

  units: int
  input_size: int | None = None
  dtype: Any = jnp.float32
  train: bool = False

  no_masks: ClassVar[Any] = None  # what `step` is given without dropout

  def __post_init__(self) -> None:
    check_fields(self)
    super().__post_init__()

  @property
  def num_feature_axes(self) -> int:
    """One: inputs are [..., v]."""
    return 1

  @property
  def has_dropout(self) -> bool:
    """Whether training draws masks."""
    return False

  def __call__(self, carry: Any, inputs: Array) -> tuple[Any, Array]:
    """One step: carry, inputs [..., v] or symbols [...] -> carry, [..., n]."""
    matrices, small = self.pack(self.weights(self.width(inputs)))
    multiply = make_multiply(matrices, self.dtype)
    x = multiply('x', inputs)
    batch = x.shape[:-1]
    carry, x = jax.tree.map(lambda y: y.reshape(-1, y.shape[-1]), (carry, x))
    masks = self.no_masks
    if self.train and self.has_dropout:
      masks = self.draw_masks(self.make_rng('dropout'), x.shape[:1])
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
  def draw_masks(self, key: Array, shape: tuple[int, ...]) -> Any:
    """The masks of recurrent dropout, of which there is none here."""
    del key, shape
    return self.no_masks

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


class RNNCell(Cell):
  """The basic RNN (eq. 4).

  The carry is h [b, n]. Parameters: w_h [n, n] and w_x [v, n], orthogonal, and
  b [n], zero.
  """

  @nn.compact
  def weights(self, input_size: int) -> Weights:
    """The parameters, float32."""
    return rnn_weights(self, '', self.units, (self.units, input_size))

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Matrices 'h' [n, n] and 'x' [v, n]; the bias."""
    return {'h': weights['w_h'], 'x': weights['w_x']}, rows(weights, 'b')

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: None
  ) -> tuple[Any, Array]:
    """One step, see `rnn`."""
    del masks
    return rnn(product, small, carry, x)

  @nn.nowrap
  def zeros(self, batch: tuple[int, ...]) -> Any:
    """h at a stream's start."""
    return zero_state(batch, self.units)


class HyperRNNCell(Cell):
  """HyperRNN (eqs 5 to 8): a small RNN makes the weights of the main RNN.

  The carry is (h, h_hyper), [b, n] and [b, m]. Parameters: the hyper RNN's with
  the prefix `hyper_`, its input being [h; x]; w_hh, w_hx, w_hb [m, e] with
  biases b_hh, b_hx [e], which make the embeddings; w_bz [e, n] and b [n]. The
  scaled form has w_h [n, n] and w_x [v, n] and their scalings w_hz, w_xz
  [e, n]; the full form has instead the e basic matrices w_hz [e, n, n] and
  w_xz [e, v, n].

  Deviation: the paper gives initial values for the HyperLSTM only (A.2.3).
  They are used here too; in the full form, where nothing is scaled, the basic
  matrices are independent orthogonal ones over the square root of e, so that
  their initial sum has the scale of one orthogonal matrix.

  Attributes:
    hyper_units: m.
    embedding_size: e, the paper's N_z.
    form: 'scaled' (eqs 7 and 8) or 'full' (eq. 5), of e times the memory.
    hyper_state: 'new' or 'old', which hyper state makes the embeddings.
    scaling_noise: of the scaled form, see `scalings_of_a_tenth`.
  """

  hyper_units: int = 128
  embedding_size: int = 4
  form: str = 'scaled'
  hyper_state: str = 'new'
  scaling_noise: float = 0.0

  def __post_init__(self) -> None:
    check_choice('form', self.form, ('scaled', 'full'))
    check_choice('hyper_state', self.hyper_state, ('new', 'old'))
    super().__post_init__()

  @nn.compact
  def weights(self, input_size: int) -> Weights:
    """The parameters, float32."""
    n, m, e = self.units, self.hyper_units, self.embedding_size
    result = rnn_weights(self, 'hyper_', m, (m, n + input_size))
    result |= embedding_weights(self, m, e)
    if self.form == 'scaled':
      result |= rnn_weights(self, '', n, (n, input_size))
      result |= scaling_weights(self, (e, n))
      return result
    zeros = nn.initializers.zeros
    result['w_hz'] = declare(self, 'w_hz', basic_matrices, (e, n, n))
    result['w_xz'] = declare(self, 'w_xz', basic_matrices, (e, input_size, n))
    result['w_bz'] = declare(self, 'w_bz', zeros, (e, n))
    result['b'] = declare(self, 'b', zeros, (n,))
    return result

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Matrices 'h', 'x', 'hyper_h' and 'z'; everything else is small."""
    if self.form == 'scaled':
      w_h, w_x = weights['w_h'], weights['w_x']
    else:
      w_h, w_x = (side_by_side(weights[k]) for k in ('w_hz', 'w_xz'))
    matrices, small = pack_hyper(weights, w_h, w_x, self.units)
    small |= rows(weights, 'b', 'hyper_b')
    names = ('w_hz', 'w_xz', 'w_bz') if self.form == 'scaled' else ('w_bz',)
    return matrices, small | {k: weights[k] for k in names}

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: None
  ) -> tuple[Any, Array]:
    """One step, see `hyperrnn`."""
    del masks
    return hyperrnn(product, small, carry, x, self.form, self.hyper_state)

  @nn.nowrap
  def zeros(self, batch: tuple[int, ...]) -> Any:
    """The states of both cells at a stream's start."""
    return zero_state(batch, self.units), zero_state(batch, self.hyper_units)


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
    matrices = {'h': weights['w_h'], 'x': weights['w_x']}
    return matrices, rows(weights, 'b', 'gamma', 'beta', 'gamma_c', 'beta_c')

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
    return zero_state(batch, self.units), zero_state(batch, self.units)


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
    scaling_noise: 0 is the paper's initialisation, under which all elements
      of an embedding z_h or z_x stay alike; see `scalings_of_a_tenth`.
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
  scaling_noise: float = 0.0

  no_masks: ClassVar[Any] = (None, None)

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
    zeros = nn.initializers.zeros
    result = lstm_weights(self, '', n, (n, input_size))
    result |= lstm_weights(self, 'hyper_', m, (m, n + input_size))
    result |= embedding_weights(self, m, 4 * e)
    result |= scaling_weights(self, (4, e, n))
    result['b'] = declare(self, 'b', zeros, (4, n))
    return result

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Matrices 'h', 'x', 'hyper_h' and 'z'; everything else is small."""
    main = weights['w_h'], weights['w_x']
    matrices, small = pack_hyper(weights, *main, self.units)
    names = ('b', 'gamma', 'beta', 'gamma_c', 'beta_c')
    small |= rows(weights, *names, *(f'hyper_{k}' for k in names))
    for name in ('w_hz', 'w_xz', 'w_bz'):
      small[name] = tuple(weights[name])  # by gate, as in `rows`
    return matrices, small

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
  def scalings(
    self, weights: Weights, h_hyper: Float[Array, '*t m']
  ) -> Float[Array, '*t 4 n']:
    """d_h of the gates: what a hyper state makes of the rows of W_h (eq. 12).

    W_h is held with one column for each unit, so d_h scales columns here.
    """
    z = h_hyper @ weights['w_hh']
    z = z + weights['b_hh'].reshape(*(1,) * (z.ndim - 1), -1)
    z = z.reshape(*z.shape[:-1], 4, self.embedding_size)
    return jnp.einsum('...ke,ken->...kn', z, weights['w_hz'])

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
    n, m = self.units, self.hyper_units
    return (
      (zero_state(batch, n), zero_state(batch, n)),
      (zero_state(batch, m), zero_state(batch, m)),
    )


def zero_state(batch: tuple[int, ...], n: int) -> Array:
  """Zeros [*batch, n], an array of their own, which may so be donated."""
  return jnp.zeros((*batch, n), jnp.float32)


def declare(
  cell: Any, name: str, init: Callable[..., Array], shape: tuple[int, ...]
) -> Array:
  """Declares a parameter, float32 also where JAX's default is float64."""
  return cell.param(name, lambda key: init(key, shape).astype(jnp.float32))


def rnn_weights(
  cell: Any, prefix: str, n: int, inputs: tuple[int, int]
) -> Weights:
  """Declares an RNN's w_h, w_x and b."""
  kernel = nn.initializers.orthogonal()
  zeros = nn.initializers.zeros
  return {
    prefix + 'w_h': declare(cell, prefix + 'w_h', kernel, (inputs[0], n)),
    prefix + 'w_x': declare(cell, prefix + 'w_x', kernel, (inputs[1], n)),
    prefix + 'b': declare(cell, prefix + 'b', zeros, (n,)),
  }


def embedding_weights(cell: Any, m: int, width: int) -> Weights:
  """Declares what makes the embeddings of a hyper state (eqs 6 and 11)."""
  zeros, ones = nn.initializers.zeros, nn.initializers.ones
  normal = nn.initializers.normal(0.01)
  return {
    'w_hh': declare(cell, 'w_hh', zeros, (m, width)),
    'w_hx': declare(cell, 'w_hx', zeros, (m, width)),
    'w_hb': declare(cell, 'w_hb', normal, (m, width)),
    'b_hh': declare(cell, 'b_hh', ones, (width,)),
    'b_hx': declare(cell, 'b_hx', ones, (width,)),
  }


def scaling_weights(cell: Any, shape: tuple[int, ...]) -> Weights:
  """Declares what turns embeddings into scalings and a bias (eqs 8, 12)."""
  scale = scalings_of_a_tenth(cell.scaling_noise)
  return {
    'w_hz': declare(cell, 'w_hz', scale, shape),
    'w_xz': declare(cell, 'w_xz', scale, shape),
    'w_bz': declare(cell, 'w_bz', nn.initializers.zeros, shape),
  }


def scalings_of_a_tenth(noise: float) -> Callable[..., Array]:
  """0.1/e, so that an embedding of ones scales by 0.1 (appendix A.2.3).

  With these values all e elements of an embedding get the same gradient, and
  as they start alike they stay alike: z_h and z_x have one degree of freedom,
  whatever e is. Noise relative to the values lets them part.
  """

  def init(key: Array, shape: tuple[int, ...]) -> Array:
    values = jnp.full(shape, 0.1 / shape[-2])
    if noise:
      values = values * (1 + noise * jax.random.normal(key, shape))
    return values

  return init


def basic_matrices(key: Array, shape: tuple[int, int, int]) -> Array:
  """Independent orthogonal matrices whose sum has the scale of one."""
  kernel = nn.initializers.orthogonal(shape[0] ** -0.5)
  keys = jax.random.split(key, shape[0])
  return jnp.stack([kernel(k, shape[1:]) for k in keys])


def side_by_side(w: Float[Array, 'e k n']) -> Float[Array, 'k e*n']:
  """The e matrices next to each other."""
  return jnp.swapaxes(w, 0, 1).reshape(w.shape[1], -1)


def pack_hyper(
  weights: Weights, w_h: Array, w_x: Array, n: int
) -> tuple[Weights, Weights]:
  """The matrices of a main and its hyper cell, and the embeddings' bias.

  Both cells read h and x, so their weights on each lie side by side.
  """
  hyper_w_h, hyper_w_x = jnp.split(weights['hyper_w_x'], [n])
  matrices = {
    'h': jnp.concatenate([w_h, hyper_w_h], -1),
    'x': jnp.concatenate([w_x, hyper_w_x], -1),
    'hyper_h': weights['hyper_w_h'],
    'z': jnp.concatenate([weights[k] for k in ('w_hh', 'w_hx', 'w_hb')], -1),
  }
  b_hb = jnp.zeros_like(weights['b_hh'])
  b_z = jnp.concatenate([weights['b_hh'], weights['b_hx'], b_hb])
  return matrices, {'b_z': b_z[None]}


def lstm_weights(
  cell: Any, prefix: str, n: int, inputs: tuple[int, int]
) -> Weights:
  """Declares an LSTM's w_h and w_x and its gate bias or layer norm.

  The main LSTM of a HyperLSTM declares its own bias: it keeps it either way.
  """
  zeros, ones = nn.initializers.zeros, nn.initializers.ones
  kernel = orthogonal(cell.orthogonal == 'gate')
  result = {
    prefix + 'w_h': declare(cell, prefix + 'w_h', kernel, (inputs[0], 4 * n)),
    prefix + 'w_x': declare(cell, prefix + 'w_x', kernel, (inputs[1], 4 * n)),
  }
  if getattr(cell, prefix + 'layer_norm'):
    for name, init, shape in (
      ('gamma', ones, (4, n)),
      ('beta', zeros, (4, n)),
      ('gamma_c', ones, (n,)),
      ('beta_c', zeros, (n,)),
    ):
      result[prefix + name] = declare(cell, prefix + name, init, shape)
  elif prefix or isinstance(cell, LSTMCell):
    result[prefix + 'b'] = declare(cell, prefix + 'b', zeros, (4 * n,))
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


def check_fields(cell: nn.Module) -> None:
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


def check_rate(name: str, rate: float) -> None:
  """Raises a ValueError unless a rate is within [0, 1)."""
  if not 0 <= rate < 1:
    raise ValueError(f'{name} is {rate}; it must be at least 0 and below 1.')


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
  """Raises a ValueError where the value is not one of those allowed."""
  if value not in allowed:
    raise ValueError(f'{name} is {value!r}; allowed: {", ".join(allowed)}.')


CELLS = {
  'rnn': RNNCell,
  'hyperrnn': HyperRNNCell,
  'lstm': LSTMCell,
  'hyperlstm': HyperLSTMCell,
}
