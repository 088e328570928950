"""The character language model of sections 4.3 and 4.4.

Shapes: b batch, t time, v vocabulary size, n units of the last cell.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from hyper.cells import Cell, Rate, check_rate
from hyper.models.dropout import Dropout
from hyper.recurrence import Recurrence


class CharacterModel(nn.Module):
  """Predicts the next symbol: a stack of recurrent cells and a softmax layer.

  Attributes:
    cells: from the bottom up; the first needs `input_size=vocabulary_size`.
    vocabulary_size: v. Symbols are one-hot vectors of this size.
    input_dropout_rate: of dropout on the input of every cell.
    output_dropout_rate: of dropout on the input of the softmax layer.
    remat_steps: saves memory in training, see `Recurrence`.

  Deviation: the paper does not say where a stack of two layers has its input
  dropout; here the output of the lower layer counts as the input of the upper
  one. The paper says of the baselines alone that the softmax layer starts
  orthogonal; here it does so with every cell.

  Raises:
    ValueError: a rate is not within [0, 1).
  """

  cells: Sequence[Cell]
  vocabulary_size: int
  input_dropout_rate: Rate = 0.0
  output_dropout_rate: Rate = 0.0
  remat_steps: int = 0

  def __post_init__(self) -> None:
    check_rate('input_dropout_rate', self.input_dropout_rate)
    check_rate('output_dropout_rate', self.output_dropout_rate)
    super().__post_init__()

  def setup(self) -> None:
    """Makes a recurrence for each cell, and the softmax layer."""
    self.layers = [
      Recurrence(cell, return_carry=True, remat_steps=self.remat_steps)
      for cell in self.cells
    ]
    self.input_dropout = Dropout(self.input_dropout_rate)
    self.output_dropout = Dropout(self.output_dropout_rate)
    self.softmax = nn.Dense(
      self.vocabulary_size, kernel_init=nn.initializers.orthogonal()
    )

  def __call__(
    self,
    carries: Any,
    symbols: Int[Array, 'b t'],
    train: bool = False,
    reset: Bool[Array, ' b'] | None = None,
  ) -> tuple[Any, Float[Array, 'b t v']]:
    """Reads a window of text.

    Args:
      carries: the carry of each cell before the window, see `zeros`.
      symbols: the window [b, t]; each symbol is in [0, v).
      train: turns dropout on, from the random stream 'dropout'.
      reset: bool [b], true for streams that start again from the zero carry.

    Returns:
      The carries after the window, and logits [b, t, v]. Those at time t are of
      the symbol after `symbols[:, t]`.
    """
    kept = jnp.ones(symbols.shape, jnp.float32)
    x: Array = symbols
    after: list[Any] = []
    for layer, carry in zip(self.layers, carries, strict=True):
      scale = None if after else self.input_dropout(kept, train)
      x = self.input_dropout(x, train) if after else x
      carry, x = layer(
        x, initial_carry=carry, train=train, scale=scale, reset=reset
      )
      after.append(carry)
    return tuple(after), self.softmax(self.output_dropout(x, train))

  @nn.nowrap
  def zeros(self, batch: Any) -> Any:
    """Returns the carries at the start of `batch` streams."""
    return tuple(cell.zeros((batch,)) for cell in self.cells)
