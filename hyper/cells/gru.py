"""The GRU, and the HyperGRU, the worked example of docs/adding_a_cell.md.

Shapes: b batch, v input size, n units, m hyper units, e embedding size (N_z).
Gates are in the order r, u, g, side by side in the last axis.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.nn import sigmoid
from jaxtyping import Array, Float

from hyper.cells import hyper
from hyper.cells.cell import Product, Table, Weights, layer_norms
from hyper.cells.dropout import Drawn, drop
from hyper.cells.gated import GatedCell, HyperGatedCell

GATES = ('r', 'u', 'g')
orthogonal, zeros = nn.initializers.orthogonal(), nn.initializers.zeros


def _gru_parameters(n: int, h_size: int, x_size: int, has_norm: bool) -> Table:
  """Returns the parameters of a GRU of n units, without the bias b."""
  table: Table = {
    'w_h': (orthogonal, (h_size, 3 * n)),
    'w_x': (orthogonal, (x_size, 3 * n)),
    'b_h': (zeros, (n,)),
  }
  if has_norm:
    table['gamma'] = (nn.initializers.ones, (3, n))
    table['beta'] = (zeros, (3, n))
  return table


def _bias(n: int) -> Table:
  """Returns b, which has a row for each gate; that of g is b_x."""
  return {'b': (zeros, (3, n))}


def _gru_state(
  h_terms: Sequence[Float[Array, 'b n']],
  x_terms: Sequence[Float[Array, 'b n']],
  h: Float[Array, 'b n'],
  small: Weights,
  mask: Drawn | None,
) -> Float[Array, 'b n']:
  """Returns h_t from the terms of each gate in h and in x.

    r, u = sigmoid(LN(h_term + x_term + b))
    g = tanh(LN(x_term + b_x + r (h_term + b_h)))
    h_t = u h_{t-1} + (1 - u) Dropout(g)

  Without the gains of layer norm in `small`, LN is the identity. b and b_x are
  either in `small` or part of `x_terms`.
  """

  def normalised(gates: slice, *ys: Float[Array, 'b n']) -> list[Array]:
    if 'b' in small:
      ys = tuple(y + b for y, b in zip(ys, small['b'][gates], strict=True))
    if 'gamma' in small:
      return layer_norms(ys, small['gamma'][gates], small['beta'][gates])
    return [*ys]

  r, u = normalised(slice(2), *(h_terms[k] + x_terms[k] for k in (0, 1)))
  r, u = sigmoid(r), sigmoid(u)
  (g,) = normalised(slice(2, 3), x_terms[2] + r * (h_terms[2] + small['b_h']))
  return u * h + (1 - u) * drop(jnp.tanh(g), mask)


class GRUCell(GatedCell):
  """GRU (Cho et al. 2014); like Flax's GRUCell, it resets after the product.

    r, u = sigmoid(LN(W_h h_{t-1} + W_x x_t + b))
    g = tanh(LN(W_x x_t + b_x + r (W_h h_{t-1} + b_h)))
    h_t = u h_{t-1} + (1 - u) Dropout(g)

  The carry is h [b, n]. Parameters: w_h [n, 3n], w_x [v, 3n], b_h [n] and
  b [3, n] (b_x is its last row) or, with layer norm, gamma and beta [3, n].

  Deviation: the paper has no GRU.

  Attributes:
    layer_norm: normalise each gate; b is dropped then, as in `LSTMCell`.
    dropout_rate: of recurrent dropout on g (Semeniuta et al. 2016).

  >>> import jax, jax.numpy as jnp
  >>> cell, x = GRUCell(units=5), jnp.ones((2, 3))
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
    """Returns w_h, w_x, b_h, and b or the gains and shifts of layer norm."""
    n = self.units
    table = _gru_parameters(n, n, input_size, self.layer_norm)
    return table if self.layer_norm else table | _bias(n)

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """Returns h_t twice, as the carry and the output."""
    h_terms = jnp.split(product('h', carry), 3, -1)
    x_terms = jnp.split(x, 3, -1)
    h = _gru_state(h_terms, x_terms, carry, small, masks)
    return h, h


class HyperGRUCell(HyperGatedCell):
  """HyperGRU: a small GRU scales the rows of the main GRU's weights.

    h^_t = GRU^(h^_{t-1}, [h_{t-1}; x_t])
    z_h = W_hh h^ + b_hh,  z_x = W_hx h^ + b_hx,  z_b = W_hb h^      (eq. 11)
    d_h = W_hz z_h,  d_x = W_xz z_x,  b = W_bz z_b + b_0             (eq. 12)
    r, u = sigmoid(LN(d_h (W_h h_{t-1}) + d_x (W_x x_t) + b))
    g = tanh(LN(d_x (W_x x_t) + b_x + r (d_h (W_h h_{t-1}) + b_h)))
    h_t = u h_{t-1} + (1 - u) Dropout(g)

  b_x is the b of the gate g. The carry is (h, h_hyper), [b, n] and [b, m].
  Parameters:

  - those of the main GRU; its b is [3, n], and layer norm does not replace it;
  - those of the hyper GRU, whose input is [h; x], with the prefix `hyper_`;
  - w_hh, w_hx, w_hb [m, 3e] and b_hh, b_hx [3e], which make the embeddings;
  - w_hz, w_xz, w_bz [3, e, n], which make scalings and a bias of them.

  Deviation: the paper has no HyperGRU. Its equations for the HyperLSTM (10 to
  12) are used with the gates of a GRU, in which r acts after the product, as in
  Flax's GRUCell, so that all products are computed together. b_h, which r
  scales, is not generated. Initial values are those of appendix A.2.3.

  Attributes:
    hyper_units: m.
    embedding_size: e, the paper's N_z.
    hyper_state: 'new' or 'old', see `HyperLSTMCell`.
    scaling_noise: see `hyper.cells.hyper.scalings`.
    layer_norm: in the main cell.
    hyper_layer_norm: in the hyper cell.
    dropout_rate: of recurrent dropout in the main cell, on g.
    hyper_dropout_rate: of recurrent dropout in the hyper cell.

  >>> import jax, jax.numpy as jnp
  >>> cell, x = HyperGRUCell(units=5, hyper_units=4), jnp.ones((2, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((2,)), x)
  >>> (h, h_hyper), y = cell.apply(variables, cell.zeros((2,)), x)
  >>> y.shape, h_hyper.shape
  ((2, 5), (2, 4))
  """

  @property
  def carry_sizes(self) -> tuple[int, int]:
    """Returns n and m."""
    return self.units, self.hyper_units

  @nn.nowrap
  def parameters(self, input_size: int) -> Table:
    """Returns those of both GRUs, of embeddings and of scalings."""
    n, m, e = self.units, self.hyper_units, self.embedding_size
    inner = _gru_parameters(m, m, n + input_size, self.hyper_layer_norm)
    inner |= {} if self.hyper_layer_norm else _bias(m)
    return {
      **_gru_parameters(n, n, input_size, self.layer_norm),
      **hyper.prefixed(inner),
      **hyper.embeddings(m, 3 * e),
      **hyper.scalings((3, e, n), self.scaling_noise),
      **_bias(n),
    }

  @nn.nowrap
  def step(
    self, product: Product, small: Weights, carry: Any, x: Array, masks: Any
  ) -> tuple[Any, Array]:
    """Returns (h_t, h^_t), and h_t as the output."""
    h, h_hyper_old = carry
    from_h, hyper_from_h = jnp.split(product('h', h), [3 * self.units], -1)
    from_x, hyper_from_x = jnp.split(x, [3 * self.units], -1)
    h_hyper = _gru_state(
      jnp.split(product('hyper_h', h_hyper_old), 3, -1),
      jnp.split(hyper_from_h + hyper_from_x, 3, -1),
      *(h_hyper_old, small['hyper'], masks[1]),
    )

    source = self.source(h_hyper, h_hyper_old)
    z = jnp.split(product('z', source) + small['b_z'], 9, -1)
    h_terms = [
      (z[k] @ small['w_hz'][k]) * y
      for k, y in enumerate(jnp.split(from_h, 3, -1))
    ]
    x_terms = [
      (z[3 + k] @ small['w_xz'][k]) * y + z[6 + k] @ small['w_bz'][k]
      for k, y in enumerate(jnp.split(from_x, 3, -1))
    ]
    h = _gru_state(h_terms, x_terms, h, small, masks[0])
    return (h, h_hyper), h

  @property
  def scaled_gates(self) -> tuple[str, ...]:
    """Returns r, u and g."""
    return GATES
