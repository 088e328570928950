"""Handwriting: a recurrent network that predicts the next move of the pen.

Shapes: b batch, t time, m mixture components, n units of the last cell.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hyper.cells import Cell, Rate, check_rate
from hyper.models.dropout import Dropout
from hyper.recurrence import Recurrence


class HandwritingModel(nn.Module):
  """Predicts a mixture of Gaussians with a stack of cells (section 4.5).

  As in Graves (arXiv 1308.0850), a linear layer gives 6 m + 1 numbers, which
  `losses.to_mixture` splits into m bivariate Gaussians and a pen bit. No
  connection skips a layer; otherwise the paper's parameter counts would not
  come out.

  Attributes:
    cells: from the bottom up.
    mixtures: m.
    output_dropout_rate: of dropout on the input of the linear layer.
    derivative_limit: of the unscaled loss, see `Recurrence`. It keeps the
      gradient of long lines finite.

  Deviation: the paper does not say whether output dropout is also between the
  layers of a stack; here it is after the last one only. The limit of
  derivatives is Graves's, not the paper's. The linear layer starts orthogonal
  with every cell; the paper says so of the baselines alone.

  Raises:
    ValueError: the rate is not within [0, 1).
  """

  cells: Sequence[Cell]
  mixtures: int
  output_dropout_rate: Rate = 0.0
  derivative_limit: float = 0.0

  def __post_init__(self) -> None:
    check_rate('output_dropout_rate', self.output_dropout_rate)
    super().__post_init__()

  def setup(self) -> None:
    """Makes a recurrence for each cell, and the linear layer."""
    self.layers = [
      Recurrence(
        cell, return_carry=True, derivative_limit=self.derivative_limit
      )
      for cell in self.cells
    ]
    self.output_dropout = Dropout(self.output_dropout_rate)
    self.mixture = nn.Dense(
      6 * self.mixtures + 1, kernel_init=nn.initializers.orthogonal()
    )

  def __call__(
    self, carries: Any, moves: Float[Array, 'b t 3'], train: bool = False
  ) -> tuple[Any, Float[Array, 'b t outputs']]:
    """Reads a window of moves of the pen.

    Args:
      carries: the carry of each cell before the window, see `zeros`.
      moves: the window [b, t, 3]: dx, dy, and 1 where a stroke ends.
      train: turns dropout on, from the random stream 'dropout'.

    Returns:
      The carries after the window, and outputs [b, t, 6 m + 1]. Those at time t
      are of the move after `moves[:, t]`.
    """
    x, after = moves, []
    for layer, carry in zip(self.layers, carries, strict=True):
      carry, x = layer(x, initial_carry=carry, train=train)
      after.append(carry)
    return tuple(after), self.mixture(self.output_dropout(x, train))

  @nn.nowrap
  def zeros(self, batch: Any) -> Any:
    """Returns the carries at the start of `batch` lines."""
    return tuple(cell.zeros((batch,)) for cell in self.cells)


def shifted(moves: Float[Array, 'b t 3']) -> Float[Array, 'b t 3']:
  """Returns the inputs that predict `moves`: for each, the move before it.

  The input for the first move is a null move.
  """
  return jnp.pad(moves[:, :-1], ((0, 0), (1, 0), (0, 0)))
