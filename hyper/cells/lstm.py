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
  Initialiser,
  Product,
  Table,
  Weights,
  layer_norm,
  layer_norms,
  rows,
)
from hyper.cells.checks import check_choice
from hyper.cells.dropout import Drawn, drop
from hyper.cells.gated import GatedCell, HyperGatedCell
from hyper.cells.initialisers import orthogonal

GATES = ('i', 'g', 'f', 'o')
ones, zeros = nn.initializers.ones, nn.initializers.zeros


def _lstm_parameters(
  n: int, h_size: int, x_size: int, kernel: Initialiser, has_norm: bool
) -> Table:
  """Returns the parameters of an LSTM of n units, without the bias b.

  Layer norm has a gain and a shift for each gate, and for the c that enters h.
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


def _lstm_state(
  gates: list[Float[Array, 'b n']],
  c: Float[Array, 'b n'],
  small: Weights,
  mask: Drawn | None,
  forget_bias: float,
) -> tuple[Float[Array, 'b n'], Float[Array, 'b n']]:
  """Returns c_t and h_t from the pre-activations of the gates (eqs 9 and 13).

    c_t = sigmoid(f) c_{t-1} + sigmoid(i) Dropout(tanh(g))
    h_t = sigmoid(o) tanh(c_t)

  If `small` has the gains of layer norm, each gate is normalised with its own
  statistics. c is normalised where it enters h; the carried c is not.

  Deviation: the paper's equations have no forget bias; the author's cells add
  it inside the sigmoid, after layer norm.
  """
  if 'gamma' in small:
    gates = layer_norms(gates, small['gamma'], small['beta'])
  i, g, f, o = gates
  g = drop(jnp.tanh(g), mask)
  c = sigmoid(f + forget_bias) * c + sigmoid(i) * g
  return c, sigmoid(o) * _activated(c, small)


def _activated(c: Float[Array, '... n'], small: Weights) -> Array:
  """Returns tanh(c), or tanh(LN(c)) with layer norm: h before its gate."""
  if 'gamma_c' in small:
    c = layer_norm(c, small['gamma_c'], small['beta_c'])
  return jnp.tanh(c)


def _hidden(weights: Weights, carry: Any) -> Array:
  """Returns tanh(c), or tanh(LN(c)), of the main cell, for leaves [..., n]."""
  c = jax.tree.leaves(carry)[0]
  flat = c.reshape(-1, c.shape[-1])
  return _activated(flat, rows(weights, 'gamma_c', 'beta_c')).reshape(c.shape)


class LSTMCell(GatedCell):
  """LSTM, optionally with layer norm and recurrent dropout.

    y = W_h^y h_{t-1} + W_x^y x_t + b^y  for the gates y = i, g, f, o
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
    h_t = sigmoid(o) tanh(c_t)                                        (eq. 9)

  The carry is (c, h), each [b, n]. Parameters: w_h [n, 4n], w_x [v, 4n], and
  b [4n] or, with layer norm, gamma and beta [4, n], gamma_c and beta_c [n].

  Deviation: the paper's equations have no forget bias; the author's cells add
  it inside the sigmoid, after layer norm.

  Attributes:
    layer_norm: normalise each gate and the c that enters h. The bias of the
      gates is dropped then, as the paper's parameter counts require.
    dropout_rate: of recurrent dropout on tanh(g) (Semeniuta et al. 2016).
    forget_bias: added to f after layer norm.
    orthogonal: 'whole' or 'gate', see `hyper.cells.initialisers.orthogonal`.

  Raises:
    ValueError: `orthogonal` is not among those allowed, or as for `Cell`.

  >>> import jax, jax.numpy as jnp
  >>> cell, x = LSTMCell(units=5), jnp.ones((2, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((2,)), x)
  >>> (c, h), y = cell.apply(variables, cell.zeros((2,)), x)
  >>> y.shape
  (2, 5)
  """

  forget_bias: float = 1.0
  orthogonal: str = 'whole'

  def __post_init__(self) -> None:
    check_choice('orthogonal', self.orthogonal, ('whole', 'gate'))
    super().__post_init__()

  @property
  def carry_sizes(self) -> tuple[int, int]:
    """Returns n for c and n for h."""
    return self.units, self.units

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """Returns w_h, w_x, and a bias or the gains and shifts of layer norm."""
    kernel, n = orthogonal(self.orthogonal), self.units
    table = _lstm_parameters(n, n, input_size, kernel, self.layer_norm)
    return table if self.layer_norm else table | {'b': (zeros, (4 * n,))}

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """Returns (c_t, h_t), and h_t as the output (eq. 9)."""
    c, h = carry
    y = product('h', h) + x
    if 'b' in small:
      y = y + small['b']
    gates = jnp.split(y, 4, -1)
    c, h = _lstm_state(gates, c, small, masks, self.forget_bias)
    return (c, h), h

  @nn.nowrap
  def hidden(self, weights: Weights, carry: Any) -> Float[Array, '... n']:
    """Returns tanh(c), or tanh(LN(c)) with layer norm (figure 5)."""
    return _hidden(weights, carry)


class HyperLSTMCell(HyperGatedCell):
  """HyperLSTM: a small LSTM scales the rows of the main LSTM's weights.

    (c^_t, h^_t) = LSTM^((c^_{t-1}, h^_{t-1}), [h_{t-1}; x_t])       (eq. 10)
    z_h = W_hh h^ + b_hh,  z_x = W_hx h^ + b_hx,  z_b = W_hb h^      (eq. 11)
    y = LN(d_h * W_h h_{t-1} + d_x * W_x x_t + b)  for each gate y   (eq. 12)
    d_h = W_hz z_h,  d_x = W_xz z_x,  b = W_bz z_b + b_0             (eq. 12)
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) Dropout(tanh(g))           (eq. 13)
    h_t = sigmoid(o) tanh(LN(c_t))                                   (eq. 13)

  The carry is ((c, h), (c_hyper, h_hyper)), [b, n] and [b, m]. Parameters:

  - those of the main LSTM; its b is [4, n], and layer norm does not replace it;
  - those of the hyper LSTM, whose input is [h; x], with the prefix `hyper_`;
  - w_hh, w_hx, w_hb [m, 4e] and b_hh, b_hx [4e], which make the embeddings;
  - w_hz, w_xz, w_bz [4, e, n], which make scalings and a bias of them.

  They start as in appendix A.2.3: all scalings start at exactly 0.1.

  Deviation: eq. 11 makes the embeddings from the hyper state of the step
  before. The author's cell makes them from the one just computed, and so does
  the default `hyper_state='new'`; `'old'` is the printed equation. The forget
  bias is that of `LSTMCell`.

  Attributes:
    hyper_units: m.
    embedding_size: e, the paper's N_z.
    hyper_state: 'new' or 'old', the hyper state that makes the embeddings.
    scaling_noise: 0 is the paper's initialisation, with which all elements of
      an embedding z_h or z_x stay equal; see `hyper.cells.hyper.scalings`.
    layer_norm: in the main cell.
    hyper_layer_norm: in the hyper cell (the author's cell has one switch for
      both).
    dropout_rate: of recurrent dropout in the main cell, on tanh(g).
    hyper_dropout_rate: of recurrent dropout in the hyper cell.
    forget_bias: of both cells, added to f after layer norm.
    orthogonal: 'whole' or 'gate', see `hyper.cells.initialisers.orthogonal`.

  Raises:
    ValueError: `orthogonal` is not among those allowed, or as for `Cell`.

  >>> import jax, jax.numpy as jnp
  >>> cell, x = HyperLSTMCell(units=5, hyper_units=4), jnp.ones((2, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((2,)), x)
  >>> (main, inner), y = cell.apply(variables, cell.zeros((2,)), x)
  >>> y.shape, inner[1].shape
  ((2, 5), (2, 4))
  """

  forget_bias: float = 1.0
  orthogonal: str = 'whole'

  def __post_init__(self) -> None:
    check_choice('orthogonal', self.orthogonal, ('whole', 'gate'))
    super().__post_init__()

  @property
  def carry_sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns n for c and h of the main cell, m for those of the hyper cell."""
    return (self.units,) * 2, (self.hyper_units,) * 2

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """Returns those of both LSTMs, of embeddings and of scalings."""
    n, m, e = self.units, self.hyper_units, self.embedding_size
    kernel = orthogonal(self.orthogonal)
    inner = _lstm_parameters(
      m, m, n + input_size, kernel, self.hyper_layer_norm
    )
    inner |= {} if self.hyper_layer_norm else {'b': (zeros, (4 * m,))}
    return {
      **_lstm_parameters(n, n, input_size, kernel, self.layer_norm),
      **hyper.prefixed(inner),
      **hyper.embeddings(m, 4 * e),
      **hyper.scalings((4, e, n), self.scaling_noise),
      'b': (zeros, (4, n)),
    }

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """Returns the carry, and h_t as the output (eqs 10 to 13)."""
    (c, h), (c_hyper, h_hyper_old) = carry
    from_h, hyper_from_h = jnp.split(product('h', h), [4 * self.units], -1)
    from_x, hyper_from_x = jnp.split(x, [4 * self.units], -1)

    y_hyper = product('hyper_h', h_hyper_old) + hyper_from_h + hyper_from_x
    if 'b' in small['hyper']:
      y_hyper = y_hyper + small['hyper']['b']
    c_hyper, h_hyper = _lstm_state(
      *(jnp.split(y_hyper, 4, -1), c_hyper, small['hyper'], masks[1]),
      self.forget_bias,
    )

    source = self.source(h_hyper, h_hyper_old)
    z = jnp.split(product('z', source) + small['b_z'], 12, -1)
    h_terms, x_terms = jnp.split(from_h, 4, -1), jnp.split(from_x, 4, -1)
    gates = [
      (z[k] @ small['w_hz'][k]) * h_terms[k]
      + (z[4 + k] @ small['w_xz'][k]) * x_terms[k]
      + (z[8 + k] @ small['w_bz'][k] + small['b'][k])
      for k in range(4)
    ]
    c, h = _lstm_state(gates, c, small, masks[0], self.forget_bias)
    return ((c, h), (c_hyper, h_hyper)), h

  @property
  def scaled_gates(self) -> tuple[str, ...]:
    """Returns i, g, f and o."""
    return GATES

  @nn.nowrap
  def hidden(self, weights: Weights, carry: Any) -> Float[Array, '... n']:
    """Returns tanh(c), or tanh(LN(c)) with layer norm (figure 5)."""
    return _hidden(weights, carry)
