"""The LSTM, and the HyperLSTM (sections 3.2 and 4.3, appendix A.2).

Shapes: b batch, v input size, n units, m hyper units, e embedding size (N_z).
Gates are in the order i, g, f, o, side by side in the last axis.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn import sigmoid
from jaxtyping import Array, Float

from hyper.cells import hyper
from hyper.cells.cell import (
  Cell,
  Initialiser,
  Product,
  Table,
  Weights,
  check_choice,
  layer_norm,
  rows,
)
from hyper.cells.dropout import Drawn, Mask, Rate, drop
from hyper.cells.initialisers import orthogonal

GATES = ('i', 'g', 'f', 'o')
VECTORS = ('b', 'gamma', 'beta', 'gamma_c', 'beta_c')
ones, zeros = nn.initializers.ones, nn.initializers.zeros


def lstm_parameters(
  n: int, h_size: int, x_size: int, kernel: Initialiser, has_norm: bool
) -> Table:
  """The parameters of an LSTM of n units but for b, which layer norm replaces.

  Layer norm is on each gate, and on the c that enters h.
  """
  table: Table = {
    'w_h': (kernel, (h_size, 4 * n)),
    'w_x': (kernel, (x_size, 4 * n)),
  }
  if has_norm:
    table |= {
      'gamma': (ones, (4, n)),
      'beta': (zeros, (4, n)),
      'gamma_c': (ones, (n,)),
      'beta_c': (zeros, (n,)),
    }
  return table


def lstm_state(
  gates: list[Float[Array, 'b n']],
  c: Float[Array, 'b n'],
  small: Weights,
  mask: Drawn | None,
  forget_bias: float,
) -> tuple[Float[Array, 'b n'], Float[Array, 'b n']]:
  """The new c and h from the pre-activations of the gates (eqs 9 and 13).

    c_t = sigmoid(f) c_{t-1} + sigmoid(i) Dropout(tanh(g))
    h_t = sigmoid(o) tanh(c_t)

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
  g = drop(jnp.tanh(g), mask)
  c = sigmoid(f + forget_bias) * c + sigmoid(i) * g
  return c, sigmoid(o) * activated(c, small)


def activated(c: Float[Array, '... n'], small: Weights) -> Array:
  """tanh(c), or tanh(LN(c)) with layer norm; the output gate makes h of it."""
  if 'gamma_c' in small:
    c = layer_norm(c, small['gamma_c'], small['beta_c'])
  return jnp.tanh(c)


@nn.nowrap
def hidden(cell: Cell, weights: Weights, carry: Any) -> Array:
  """`activated` of the main cell's c, of carries [..., n]."""
  del cell
  c = jax.tree.leaves(carry)[0]
  flat = c.reshape(-1, c.shape[-1])
  return activated(flat, rows(weights, *VECTORS)).reshape(c.shape)


class LSTMCell(Cell):
  """LSTM, optionally with layer norm and recurrent dropout.

    y = W_h^y h_{t-1} + W_x^y x_t + b^y  for the gates y = i, g, f, o
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
    h_t = sigmoid(o) tanh(c_t)                                        (eq. 9)

  The carry is (c, h), each [b, n]. Parameters: w_h [n, 4n], w_x [v, 4n], and
  b [4n] or, with layer norm, gamma and beta [4, n], gamma_c and beta_c [n].

  Attributes:
    layer_norm: normalise each gate and the c that enters h; the gate bias is
      dropped then, as the paper's parameter counts require.
    dropout_rate: recurrent dropout on tanh(g) (Semeniuta et al. 2016).
    forget_bias: added to f after layer norm.
    orthogonal: 'whole' or 'gate', see `initialisers.orthogonal`.

  >>> import jax, jax.numpy as jnp
  >>> cell, x = LSTMCell(units=5), jnp.ones((2, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((2,)), x)
  >>> (c, h), y = cell.apply(variables, cell.zeros((2,)), x)
  >>> y.shape
  (2, 5)
  """

  layer_norm: bool = False
  dropout_rate: Rate = 0.0
  forget_bias: float = 1.0
  orthogonal: str = 'whole'

  hidden = hidden

  def __post_init__(self) -> None:
    check_choice('orthogonal', self.orthogonal, ('whole', 'gate'))
    super().__post_init__()

  @property
  def carry_sizes(self) -> tuple[int, int]:
    """n, of c and of h."""
    return self.units, self.units

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """w_h and w_x, and a bias or the gains and shifts of layer norm."""
    kernel, n = orthogonal(self.orthogonal), self.units
    table = lstm_parameters(n, n, input_size, kernel, self.layer_norm)
    return table if self.layer_norm else table | {'b': (zeros, (4 * n,))}

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Matrices 'h' [n, 4n] and 'x' [v, 4n]; biases and gains."""
    matrices = {'h': weights['w_h'], 'x': weights['w_x']}
    return matrices, rows(weights, *VECTORS)

  @property
  def masks(self) -> Mask:
    """One mask, on tanh(g)."""
    return Mask(self.units, self.dropout_rate)

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """Equation 9."""
    c, h = carry
    y = product('h', h) + x
    if 'b' in small:
      y = y + small['b']
    gates = jnp.split(y, 4, -1)
    c, h = lstm_state(gates, c, small, masks, self.forget_bias)
    return (c, h), h


class HyperLSTMCell(Cell):
  """HyperLSTM: a small LSTM scales the rows of the main LSTM's weights.

    (c^_t, h^_t) = LSTM^((c^_{t-1}, h^_{t-1}), [h_{t-1}; x_t])       (eq. 10)
    z_h = W_hh h^ + b_hh,  z_x = W_hx h^ + b_hx,  z_b = W_hb h^      (eq. 11)
    y = LN(d_h * W_h h_{t-1} + d_x * W_x x_t + b)  for each gate y   (eq. 12)
    d_h = W_hz z_h,  d_x = W_xz z_x,  b = W_bz z_b + b_0             (eq. 12)
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) Dropout(tanh(g))           (eq. 13)
    h_t = sigmoid(o) tanh(LN(c_t))                                   (eq. 13)

  The carry is ((c, h), (c_hyper, h_hyper)). Parameters: those of the main
  LSTM, whose b is [4, n] and kept under layer norm; those of the hyper LSTM
  with the prefix `hyper_`, its input being [h; x]; w_hh, w_hx, w_hb [m, 4e]
  with biases b_hh, b_hx [4e], which make the embeddings; w_hz, w_xz, w_bz
  [4, e, n], which turn them into scalings and a bias. Initialised as in
  appendix A.2.3: all scalings start at exactly 0.1.

  Deviation: eq. 11 makes the embeddings from the hyper state of the step
  before; the author's cell, and with it the default `hyper_state='new'`, from
  the one just computed. `'old'` is the printed equation.

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
    orthogonal: 'whole' or 'gate', see `initialisers.orthogonal`.
    scaling_noise: 0 is the paper's initialisation, under which all elements
      of an embedding z_h or z_x stay alike; see `hyper.scalings`.

  >>> import jax, jax.numpy as jnp
  >>> cell, x = HyperLSTMCell(units=5, hyper_units=4), jnp.ones((2, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((2,)), x)
  >>> (main, inner), y = cell.apply(variables, cell.zeros((2,)), x)
  >>> y.shape, inner[1].shape
  ((2, 5), (2, 4))
  """

  hyper_units: int = 128
  embedding_size: int = 4
  layer_norm: bool = True
  hyper_layer_norm: bool = True
  dropout_rate: Rate = 0.0
  hyper_dropout_rate: Rate = 0.0
  forget_bias: float = 1.0
  hyper_state: str = 'new'
  orthogonal: str = 'whole'
  scaling_noise: float = 0.0

  hidden = hidden

  def __post_init__(self) -> None:
    check_choice('orthogonal', self.orthogonal, ('whole', 'gate'))
    check_choice('hyper_state', self.hyper_state, ('new', 'old'))
    super().__post_init__()

  @property
  def carry_sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
    """n of the main cell's c and h, m of the hyper cell's."""
    return (self.units,) * 2, (self.hyper_units,) * 2

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """Those of the main LSTM, the hyper LSTM, embeddings and scalings."""
    n, m, e = self.units, self.hyper_units, self.embedding_size
    kernel = orthogonal(self.orthogonal)
    inner = lstm_parameters(m, m, n + input_size, kernel, self.hyper_layer_norm)
    inner |= {} if self.hyper_layer_norm else {'b': (zeros, (4 * m,))}
    return {
      **lstm_parameters(n, n, input_size, kernel, self.layer_norm),
      **hyper.prefixed(inner),
      **hyper.embeddings(m, 4 * e),
      **hyper.scalings((4, e, n), self.scaling_noise),
      'b': (zeros, (4, n)),
    }

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Matrices 'h', 'x', 'hyper_h' and 'z'; everything else is small.

    'h' holds W_h and the hyper cell's weights on h side by side, 'x' likewise.
    """
    return hyper.pack(weights, VECTORS)

  @property
  def masks(self) -> tuple[Mask, Mask]:
    """One mask for each cell."""
    return (
      Mask(self.units, self.dropout_rate),
      Mask(self.hyper_units, self.hyper_dropout_rate),
    )

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """Equations 10 to 13."""
    (c, h), (c_hyper, h_hyper_old) = carry
    from_h, hyper_from_h = jnp.split(product('h', h), [4 * self.units], -1)
    from_x, hyper_from_x = jnp.split(x, [4 * self.units], -1)

    y_hyper = product('hyper_h', h_hyper_old) + hyper_from_h + hyper_from_x
    if 'b' in small['hyper']:
      y_hyper = y_hyper + small['hyper']['b']
    c_hyper, h_hyper = lstm_state(
      *(jnp.split(y_hyper, 4, -1), c_hyper, small['hyper'], masks[1]),
      self.forget_bias,
    )

    source = h_hyper if self.hyper_state == 'new' else h_hyper_old
    z = jnp.split(product('z', source) + small['b_z'], 12, -1)
    h_terms, x_terms = jnp.split(from_h, 4, -1), jnp.split(from_x, 4, -1)
    gates = [
      (z[k] @ small['w_hz'][k]) * h_terms[k]
      + (z[4 + k] @ small['w_xz'][k]) * x_terms[k]
      + (z[8 + k] @ small['w_bz'][k] + small['b'][k])
      for k in range(4)
    ]
    c, h = lstm_state(gates, c, small, masks[0], self.forget_bias)
    return ((c, h), (c_hyper, h_hyper)), h

  @property
  def scaled_gates(self) -> tuple[str, ...]:
    """i, g, f and o."""
    return GATES

  @nn.nowrap
  def scalings(self, weights: Weights, before: Any, after: Any) -> Array:
    """d_h of the gates at steps [t], [t, 4, n]; see `hyper.scalings_of`."""
    h_hyper = (after if self.hyper_state == 'new' else before)[1][1]
    return hyper.scalings_of(weights, h_hyper)
