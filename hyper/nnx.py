"""Cells of `hyper.cells` in models of Flax's NNX.

Flax's bridge does the rest, in both directions. `nnx.bridge.ToNNX` turns a
`Recurrence` or a `HyperNetwork` into an NNX module. `nnx.bridge.to_linen` lets
an NNX class be the main network of a `HyperNetwork`. docs/nnx.md shows both.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hyper.cells import Cell
from hyper.cells.checks import check_is_no_class


class NNXCell(nnx.RNNCellBase):
  """Runs a cell under `nnx.RNN`, with the same values as under `nn.RNN`.

  `nnx.bridge.ToNNX(Recurrence(cell), rngs=rngs)` is an alternative with the
  faster gradient of `Recurrence`. `eval()` of a model sets `deterministic`,
  which turns recurrent dropout off, and `train()` resets it.

  >>> import jax.numpy as jnp
  >>> from flax import nnx
  >>> from hyper.cells import HyperLSTMCell
  >>> cell = HyperLSTMCell(units=8, hyper_units=4, embedding_size=2)
  >>> rnn = nnx.RNN(NNXCell(cell, 3, rngs=nnx.Rngs(0)))
  >>> rnn(jnp.ones((2, 5, 3))).shape  # [batch, time, input] -> [..., units]
  (2, 5, 8)

  Args:
    cell: one of `hyper.cells`.
    in_features: the size of an input vector.
    rngs: of the initial parameters and, where the cell has `train`, of its
      recurrent dropout.

  Raises:
    ValueError: `cell` is a class.
  """

  def __init__(self, cell: Cell, in_features: int, *, rngs: nnx.Rngs):
    check_is_no_class('NNXCell', cell)
    self.linen_cell = cell
    self.deterministic = False
    self.cell = nnx.bridge.ToNNX(cell, rngs=rngs)
    self.cell.lazy_init(cell.zeros((1,)), jnp.zeros((1, in_features)))

  def __call__(
    self, carry: Any, inputs: Float[Array, '*b v']
  ) -> tuple[Any, Float[Array, '*b n']]:
    """Returns the carry and the output [..., n] after one step.

    Args:
      carry: the carry before the step.
      inputs: [..., v].
    """
    train = self.linen_cell.train and not self.deterministic
    return self.cell(carry, inputs, train=train)

  def initialize_carry(
    self, input_shape: tuple[int, ...], rngs: Any = None
  ) -> Any:
    """Returns the zero carry.

    Args:
      input_shape: that of the inputs, [..., v].
      rngs: ignored; `nnx.RNN` passes it.
    """
    del rngs
    return self.linen_cell.zeros(input_shape[:-1])

  @property
  def num_feature_axes(self) -> int:
    """Returns 1, since inputs are [..., v]."""
    return 1
