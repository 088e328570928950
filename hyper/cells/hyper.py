"""What makes the weights of a main cell from a hyper state (eqs 6, 8, 11, 12).

A cell of the hypernetwork kind joins these tables to its own. The parameters of
the hyper cell have the prefix `hyper_`.

Shapes: v input size, n units, m hyper units, e embedding size (N_z).
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.cells.cell import Table, Weights, rows
from hyper.cells.initialisers import scaling_of_a_tenth

PREFIX = 'hyper_'


def prefixed(table: Table) -> Table:
  """The parameters of a hyper cell, by the names they have in the whole."""
  return {PREFIX + name: entry for name, entry in table.items()}


def unprefixed(weights: Weights) -> Weights:
  """The weights of the hyper cell alone, by the names it has for them."""
  return {
    name.removeprefix(PREFIX): w
    for name, w in weights.items()
    if name.startswith(PREFIX)
  }


def embeddings(m: int, width: int) -> Table:
  """The parameters that make embeddings of a hyper state (eqs 6 and 11).

    z_h = W_hh h^ + b_hh,  z_x = W_hx h^ + b_hx,  z_b = W_hb h^

  They start as in appendix A.2.3: z_h and z_x at ones, z_b near zero. `width`
  is e for each gate.
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
  """The parameters that make scalings and a bias of embeddings (eqs 8, 12).

    d_h = W_hz z_h,  d_x = W_xz z_x,  b = W_bz z_b + b_0

  `shape` is [e, n], or [gates, e, n]. W_hz and W_xz start at 0.1/e, so that an
  embedding of ones scales by 0.1 (appendix A.2.3). With these values all e
  elements of an embedding get the same gradient, and as they start alike they
  stay alike: z_h and z_x have one degree of freedom, whatever e is. `noise`,
  relative to the values, lets them part.
  """
  tenth = scaling_of_a_tenth(noise)
  return {
    'w_hz': (tenth, shape),
    'w_xz': (tenth, shape),
    'w_bz': (nn.initializers.zeros, shape),
  }


def side_by_side(w: Float[Array, 'e k n']) -> Float[Array, 'k en']:
  """Lays the e matrices next to each other."""
  return jnp.swapaxes(w, 0, 1).reshape(w.shape[1], -1)


def matrices(weights: Weights, w_h: Array, w_x: Array) -> Weights:
  """The matrices of a main cell and its hyper cell, 'h', 'x', 'hyper_h', 'z'.

  Both cells read h and x, so their weights on each lie side by side, and each
  is one product a step. 'z' makes the three embeddings.
  """
  hyper_w_h, hyper_w_x = jnp.split(weights['hyper_w_x'], [w_h.shape[0]])
  return {
    'h': jnp.concatenate([w_h, hyper_w_h], -1),
    'x': jnp.concatenate([w_x, hyper_w_x], -1),
    'hyper_h': weights['hyper_w_h'],
    'z': jnp.concatenate([weights[k] for k in ('w_hh', 'w_hx', 'w_hb')], -1),
  }


def bias(weights: Weights) -> Weights:
  """The bias of the product with 'z', of which z_b has none."""
  b_hb = jnp.zeros_like(weights['b_hh'])
  b_z = jnp.concatenate([weights['b_hh'], weights['b_hx'], b_hb])
  return {'b_z': b_z[None]}


def pack(weights: Weights, vectors: Sequence[str]) -> tuple[Weights, Weights]:
  """`(matrices, small)` of a gated cell and its hyper cell.

  `vectors` are the names that biases and gains have in both. Those of the hyper
  cell stand under 'hyper'; w_hz, w_xz and w_bz are one array for each gate.
  """
  small = rows(weights, *vectors) | bias(weights)
  small |= {name: tuple(weights[name]) for name in ('w_hz', 'w_xz', 'w_bz')}
  small['hyper'] = rows(unprefixed(weights), *vectors)
  return matrices(weights, weights['w_h'], weights['w_x']), small


def scalings_of(
  weights: Weights, h_hyper: Float[Array, '*t m']
) -> Float[Array, '*t gates n']:
  """d_h of the gates: what a hyper state makes of the rows of W_h (eq. 12).

  W_h is held with one column for each unit, so d_h scales columns here.
  """
  *_, e, n = weights['w_hz'].shape
  w_hz = weights['w_hz'].reshape(-1, e, n)  # a HyperRNN has no axis of gates
  z = h_hyper @ weights['w_hh']
  z = z + weights['b_hh'].reshape(*(1,) * (z.ndim - 1), -1)
  z = z.reshape(*z.shape[:-1], -1, e)
  return jnp.einsum('...ke,ken->...kn', z, w_hz)
