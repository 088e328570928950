"""The base of cells with a hypernetwork: from a hyper state to the weights.

A small hyper cell runs beside the main cell. Its state h^ makes embeddings, and
these make scalings and a bias of the main cell (eqs 6, 8, 11, 12). A cell with
a hypernetwork joins the tables of parameters here to its own. The parameters of
its hyper cell have the prefix `hyper_`.

Shapes: v input size, n units, m hyper units, e embedding size (N_z).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.cells.cell import Cell, Table, Weights
from hyper.cells.checks import check_choice
from hyper.cells.initialisers import scaling_of_a_tenth

PREFIX = 'hyper_'


class HyperCell(Cell):
  """The base class of cells with a hypernetwork.

  The last leaf of the carry is the hyper state.

  Attributes:
    hyper_units: m.
    embedding_size: e, the paper's N_z.
    hyper_state: 'new' or 'old', the hyper state that makes the embeddings: the
      one after the step of the hyper cell, or the one before it.
    scaling_noise: see `hyper.cells.hyper.scalings`.

  Raises:
    ValueError: `hyper_state` is not among those allowed, or as for `Cell`.

  >>> from hyper.cells import HyperLSTMCell
  >>> cell = HyperLSTMCell(units=5, hyper_units=4, hyper_state='old')
  >>> cell.source('after', 'before')
  'before'
  """

  hyper_units: int = 128
  embedding_size: int = 4
  hyper_state: str = 'new'
  scaling_noise: float = 0.0

  def __post_init__(self) -> None:
    check_choice('hyper_state', self.hyper_state, ('new', 'old'))
    super().__post_init__()

  @nn.nowrap
  def source(self, new: Any, old: Any) -> Any:
    """Returns `new` or `old`, the hyper state that makes the embeddings."""
    return new if self.hyper_state == 'new' else old

  @nn.nowrap
  def scalings(
    self, weights: Weights, before: Any, after: Any
  ) -> Float[Array, '*t gates n']:
    """Returns d_h = W_hz z_h of `scaled_gates` at each step (eqs 8 and 12).

    W_h has one column for each unit, so d_h scales its columns.

    Raises:
      ValueError: the cell scales no gates.
    """
    if not self.scaled_gates:
      raise ValueError(f'{self} scales no weights.')
    h_hyper = jax.tree.leaves(self.source(after, before))[-1]
    *_, e, n = weights['w_hz'].shape
    w_hz = weights['w_hz'].reshape(-1, e, n)  # a HyperRNN has no axis of gates
    z = h_hyper @ weights['w_hh']
    z = z + weights['b_hh'].reshape(*(1,) * (z.ndim - 1), -1)
    z = z.reshape(*z.shape[:-1], -1, e)
    return jnp.einsum('...ke,ken->...kn', z, w_hz)


def prefixed(table: Table) -> Table:
  """Returns the `table` of a hyper cell with the prefix before each name.

  >>> list(prefixed({'b': (nn.initializers.zeros, (4,))}))
  ['hyper_b']
  """
  return {PREFIX + name: entry for name, entry in table.items()}


def unprefixed(weights: Weights) -> Weights:
  """Returns those of `weights` that have the prefix, without it.

  >>> unprefixed({'b': 1, 'hyper_b': 2})
  {'b': 2}
  """
  return {
    name.removeprefix(PREFIX): w
    for name, w in weights.items()
    if name.startswith(PREFIX)
  }


def embeddings(m: int, width: int) -> Table:
  """Returns the parameters from a hyper state to embeddings (eqs 6 and 11).

    z_h = W_hh h^ + b_hh,  z_x = W_hx h^ + b_hx,  z_b = W_hb h^

  Initial values are those of appendix A.2.3: z_h and z_x start at ones, z_b
  near zero.

  Args:
    m: hyper units.
    width: e for each gate.

  >>> embeddings(128, width=16)['w_hh'][1]
  (128, 16)
  """
  zeros, ones = nn.initializers.zeros, nn.initializers.ones
  return {
    'w_hh': (zeros, (m, width)),
    'w_hx': (zeros, (m, width)),
    'w_hb': (nn.initializers.normal(0.01), (m, width)),
    'b_hh': (ones, (width,)),
    'b_hx': (ones, (width,)),
  }


def scalings(shape: tuple[int, ...], noise: float = 0.0) -> Table:
  """Returns the parameters from embeddings to scalings and a bias (eqs 8, 12).

    d_h = W_hz z_h,  d_x = W_xz z_x,  b = W_bz z_b + b_0

  W_hz and W_xz start at 0.1/e, so that an embedding of ones scales by 0.1
  (appendix A.2.3). From these values, all e elements of an embedding get the
  same gradient. Since they start equal, they stay equal: z_h and z_x have one
  degree of freedom for every e. Noise lets them differ.

  Args:
    shape: [e, n], or [gates, e, n].
    noise: the standard deviation of the initial values of W_hz and W_xz,
      relative to 0.1/e.

  >>> sorted(scalings((4, 2, 5)))
  ['w_bz', 'w_hz', 'w_xz']
  """
  tenth = scaling_of_a_tenth(noise)
  return {
    'w_hz': (tenth, shape),
    'w_xz': (tenth, shape),
    'w_bz': (nn.initializers.zeros, shape),
  }


def side_by_side(w: Float[Array, 'e k n']) -> Float[Array, 'k en']:
  """Lays the e matrices of `w` next to each other.

  >>> side_by_side(jnp.ones((4, 3, 2))).shape
  (3, 8)
  """
  return jnp.swapaxes(w, 0, 1).reshape(w.shape[1], -1)


def matrices(weights: Weights, w_h: Array, w_x: Array) -> Weights:
  """Returns the matrices of a main cell and its hyper cell.

  Both cells read h and x. Their weights on each lie side by side, so that each
  is multiplied once per step.

  Args:
    weights: the parameters by name.
    w_h: of the main cell, [n, k], k being n for each gate.
    w_x: of the main cell, [v, k].

  Returns:
    'h' and 'x' of both cells, 'hyper_h' of the hyper cell alone, and 'z', which
    makes the three embeddings.

  >>> from hyper.cells import HyperRNNCell
  >>> cell, x = HyperRNNCell(units=5, hyper_units=4), jnp.ones((2, 3))
  >>> variables = cell.init(jax.random.key(0), cell.zeros((2,)), x)
  >>> w = variables['params']
  >>> {k: x.shape for k, x in matrices(w, w['w_h'], w['w_x']).items()}
  {'h': (5, 9), 'x': (3, 9), 'hyper_h': (4, 4), 'z': (4, 12)}
  """
  hyper_w_h, hyper_w_x = jnp.split(weights['hyper_w_x'], [w_h.shape[0]])
  return {
    'h': jnp.concatenate([w_h, hyper_w_h], -1),
    'x': jnp.concatenate([w_x, hyper_w_x], -1),
    'hyper_h': weights['hyper_w_h'],
    'z': jnp.concatenate([weights[k] for k in ('w_hh', 'w_hx', 'w_hb')], -1),
  }


def bias(weights: Weights) -> Weights:
  """Returns the bias of the product with 'z', which is zero for z_b.

  Args:
    weights: the parameters by name.

  >>> bias({'b_hh': jnp.ones(2), 'b_hx': jnp.ones(2)})['b_z']
  Array([[1., 1., 1., 1., 0., 0.]], dtype=float32)
  """
  b_hb = jnp.zeros_like(weights['b_hh'])
  b_z = jnp.concatenate([weights['b_hh'], weights['b_hx'], b_hb])
  return {'b_z': b_z[None]}
