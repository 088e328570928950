"""The basic RNN, and the HyperRNN (section 3.2 and appendix A.2.1).

Shapes: b batch, v input size, n units, m hyper units, e embedding size (N_z).
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.cells import hyper
from hyper.cells.cell import Cell, Product, Table, Weights, rows
from hyper.cells.checks import check_choice
from hyper.cells.initialisers import basic_matrices

orthogonal, zeros = nn.initializers.orthogonal(), nn.initializers.zeros


def _rnn_parameters(n: int, h_size: int, x_size: int) -> Table:
  """Returns the parameters of an RNN of n units."""
  return {
    'w_h': (orthogonal, (h_size, n)),
    'w_x': (orthogonal, (x_size, n)),
    'b': (zeros, (n,)),
  }


class RNNCell(Cell):
  """The basic RNN.

    h_t = tanh(W_h h_{t-1} + W_x x_t + b)                             (eq. 4)

  The carry is h [b, n]. Parameters: w_h [n, n] and w_x [v, n], orthogonal, and
  b [n], zero.

  >>> import jax, jax.numpy as jnp
  >>> cell, x = RNNCell(units=5), jnp.ones((2, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((2,)), x)
  >>> h, y = cell.apply(variables, cell.zeros((2,)), x)
  >>> y.shape
  (2, 5)
  """

  @property
  def carry_sizes(self) -> int:
    """Returns n."""
    return self.units

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """Returns w_h, w_x and b."""
    return _rnn_parameters(self.units, self.units, input_size)

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Returns the matrices 'h' [n, n] and 'x' [v, n], and the bias."""
    return {'h': weights['w_h'], 'x': weights['w_x']}, rows(weights, 'b')

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: None
  ) -> tuple[Any, Array]:
    """Returns h_t twice, as the carry and the output (eq. 4)."""
    h = jnp.tanh(product('h', carry) + x + small['b'])
    return h, h


class HyperRNNCell(hyper.HyperCell):
  """HyperRNN: a small RNN generates the weights of the main RNN at each step.

    h^_t = tanh(W_h^ h^_{t-1} + W_x^ [h_{t-1}; x_t] + b^)             (eq. 6)
    z_h = W_hh h^ + b_hh,  z_x = W_hx h^ + b_hx,  z_b = W_hb h^       (eq. 6)
    h_t = tanh(d_h(z_h) * W_h h_{t-1} + d_x(z_x) * W_x x_t + b(z_b))  (eq. 7)
    d_h = W_hz z_h,  d_x = W_xz z_x,  b = W_bz z_b + b_0              (eq. 8)

  In the full form, W_h(z_h) and W_x(z_x) are sums of e basic matrices, weighted
  by the elements of the embeddings (eq. 5). A product with such a sum is the
  same sum of e products.

  The carry is (h, h_hyper), [b, n] and [b, m]. Parameters:

  - `hyper_w_h`, `hyper_w_x` and `hyper_b` of the hyper RNN, whose input is
    [h; x];
  - w_hh, w_hx, w_hb [m, e] and b_hh, b_hx [e], which make the embeddings;
  - w_bz [e, n] and b [n], which make the bias;
  - in the scaled form, w_h [n, n] and w_x [v, n], and w_hz, w_xz [e, n], which
    make their scalings;
  - in the full form, the e basic matrices w_hz [e, n, n] and w_xz [e, v, n].

  Deviation: eq. 6 makes the embeddings from the hyper state of the step before;
  see `HyperLSTMCell`. The paper gives initial values for the HyperLSTM only
  (A.2.3). They are used here too. In the full form, where nothing is scaled,
  the basic matrices are independent orthogonal ones over the square root of e,
  so that their initial sum has the scale of one orthogonal matrix.

  Attributes:
    hyper_units: m.
    embedding_size: e, the paper's N_z.
    form: 'scaled' (eqs 7 and 8), or 'full' (eq. 5), which needs e times the
      memory.
    hyper_state: 'new' or 'old', the hyper state that makes the embeddings.
    scaling_noise: in the scaled form, see `hyper.cells.hyper.scalings`.

  Raises:
    ValueError: `form` is not among those allowed, or as for `Cell`.

  >>> import jax, jax.numpy as jnp
  >>> cell, x = HyperRNNCell(units=5, hyper_units=4), jnp.ones((2, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((2,)), x)
  >>> (h, h_hyper), y = cell.apply(variables, cell.zeros((2,)), x)
  >>> h.shape, h_hyper.shape, y.shape
  ((2, 5), (2, 4), (2, 5))
  """

  form: str = 'scaled'

  def __post_init__(self) -> None:
    check_choice('form', self.form, ('scaled', 'full'))
    super().__post_init__()

  @property
  def carry_sizes(self) -> tuple[int, int]:
    """Returns n and m."""
    return self.units, self.hyper_units

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """Returns those of the hyper RNN, the embeddings and the main RNN."""
    n, m, e = self.units, self.hyper_units, self.embedding_size
    table = hyper.prefixed(_rnn_parameters(m, m, n + input_size))
    table |= hyper.embeddings(m, e)
    if self.form == 'scaled':
      table |= _rnn_parameters(n, n, input_size)
      return table | hyper.scalings((e, n), self.scaling_noise)
    return table | {
      'w_hz': (basic_matrices, (e, n, n)),
      'w_xz': (basic_matrices, (e, input_size, n)),
      'w_bz': (zeros, (e, n)),
      'b': (zeros, (n,)),
    }

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Returns the matrices 'h', 'x', 'hyper_h' and 'z', and all else."""
    small = rows(weights, 'b', 'hyper_b') | hyper.bias(weights)
    small['w_bz'] = weights['w_bz']
    if self.form == 'full':
      w_h, w_x = (hyper.side_by_side(weights[k]) for k in ('w_hz', 'w_xz'))
      return hyper.matrices(weights, w_h, w_x), small
    small |= {k: weights[k] for k in ('w_hz', 'w_xz')}
    return hyper.matrices(weights, weights['w_h'], weights['w_x']), small

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: None
  ) -> tuple[Any, Array]:
    """Returns (h_t, h^_t), and h_t as the output (eqs 5 to 8)."""
    h, h_hyper_old = carry
    k = x.shape[-1] - self.hyper_units
    from_h, hyper_from_h = jnp.split(product('h', h), [k], -1)
    from_x, hyper_from_x = jnp.split(x, [k], -1)
    y_hyper = product('hyper_h', h_hyper_old) + hyper_from_h + hyper_from_x
    h_hyper = jnp.tanh(y_hyper + small['hyper_b'])

    source = self.source(h_hyper, h_hyper_old)
    z_h, z_x, z_b = jnp.split(product('z', source) + small['b_z'], 3, -1)
    if self.form == 'scaled':
      y = (z_h @ small['w_hz']) * from_h + (z_x @ small['w_xz']) * from_x
    else:
      y = _weighted_sum(z_h, from_h) + _weighted_sum(z_x, from_x)
    h = jnp.tanh(y + z_b @ small['w_bz'] + small['b'])
    return (h, h_hyper), h

  @property
  def scaled_gates(self) -> tuple[str, ...]:
    """Returns one name in the scaled form, and none in the full form."""
    return ('h',) if self.form == 'scaled' else ()


def _weighted_sum(
  z: Float[Array, 'b e'], products: Float[Array, 'b en']
) -> Float[Array, 'b n']:
  """Sums the e `products` [b, n] that lie side by side, weighted by `z`."""
  batch, e = z.shape
  parts = products.reshape(batch, e, products.shape[-1] // e)
  return (z[..., None] * parts).sum(1)
