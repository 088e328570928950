"""Handwriting: a recurrent network that predicts the next step of a pen.

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
  """A stack of recurrent cells and a mixture of Gaussians (section 4.5).

  As in Graves (arXiv 1308.0850) a linear layer gives 6 m + 1 numbers, which
  `losses.to_mixture` reads as m bivariate Gaussians and a pen bit. There are no
  connections that skip a layer: only then do the paper's counts come out.

  Attributes:
    cells: from the bottom up.
    mixtures: m.
    output_dropout_rate: on the input of the linear layer.
    derivative_limit: of the loss as it is, see `Recurrence`; keeps the gradient
      of long lines finite.

  Deviation: the paper does not say whether output dropout is also between the
  layers of a stack; here it is after the last one only. The limit of
  derivatives is Graves's, not the paper's. The linear layer starts orthogonal
  under every cell; the paper says so for the baselines alone.

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
    """One recurrence per cell, then the linear layer."""
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
    self, carries: Any, steps: Float[Array, 'b t 3'], train: bool = False
  ) -> tuple[Any, Float[Array, 'b t outputs']]:
    """From the carries before the steps to those after them, and the outputs.

    Outputs at time t are of the step that follows `steps[:, t]`. While
    training, dropout draws from the random stream 'dropout'.
    """
    x, after = steps, []
    for layer, carry in zip(self.layers, carries, strict=True):
      carry, x = layer(x, initial_carry=carry, train=train)
      after.append(carry)
    return tuple(after), self.mixture(self.output_dropout(x, train))

  @nn.nowrap
  def zeros(self, batch: Any) -> Any:
    """The carries at the start of `batch` lines."""
    return tuple(cell.zeros((batch,)) for cell in self.cells)


def shifted(steps: Float[Array, 'b t 3']) -> Float[Array, 'b t 3']:
  """Returns what the model reads to predict each step: the step before it.

  The first step is predicted from a null step.
  """
  return jnp.pad(steps[:, :-1], ((0, 0), (1, 0), (0, 0)))
