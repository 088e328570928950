"""The bases of cells with gates, alone and with a hypernetwork.

Shapes: b batch, n units, m hyper units, v input size, e embedding size (N_z).
"""

from flax import linen as nn

from hyper.cells import hyper
from hyper.cells.cell import Cell, Weights, rows
from hyper.cells.dropout import Mask, Rate

# Biases, and the gains and shifts of layer norm. No cell has all of them.
VECTORS = ('b', 'b_h', 'gamma', 'beta', 'gamma_c', 'beta_c')


class GatedCell(Cell):
  """The base class of the LSTM and the GRU.

  Its large weights are `w_h` and `w_x`, with the gates side by side.

  Attributes:
    layer_norm: normalise each gate.
    dropout_rate: of recurrent dropout.

  >>> from hyper.cells import LSTMCell
  >>> LSTMCell(units=5, dropout_rate=0.1).masks
  Mask(size=5, rate=0.1)
  """

  layer_norm: bool = False
  dropout_rate: Rate = 0.0

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Returns the matrices 'h' and 'x', and biases and gains."""
    matrices = {'h': weights['w_h'], 'x': weights['w_x']}
    return matrices, rows(weights, *VECTORS)

  @property
  def masks(self) -> Mask:
    """Returns one mask, on the new values."""
    return Mask(self.units, self.dropout_rate)


class HyperGatedCell(hyper.HyperCell):
  """The base class of the HyperLSTM and the HyperGRU.

  Attributes:
    layer_norm: normalise each gate of the main cell.
    hyper_layer_norm: normalise each gate of the hyper cell.
    dropout_rate: of recurrent dropout in the main cell.
    hyper_dropout_rate: of recurrent dropout in the hyper cell.

  >>> from hyper.cells import HyperLSTMCell
  >>> HyperLSTMCell(units=5, hyper_units=4, dropout_rate=0.1).masks
  (Mask(size=5, rate=0.1), Mask(size=4, rate=0.0))
  """

  layer_norm: bool = True
  hyper_layer_norm: bool = True
  dropout_rate: Rate = 0.0
  hyper_dropout_rate: Rate = 0.0

  @nn.nowrap
  def pack(self, weights: Weights) -> tuple[Weights, Weights]:
    """Returns the matrices 'h', 'x', 'hyper_h' and 'z', and all else.

    'h' holds W_h and the weights of the hyper cell on h side by side, and so
    does 'x' for x. Biases and gains of the hyper cell are under 'hyper'; w_hz,
    w_xz and w_bz are one array for each gate.
    """
    small = rows(weights, *VECTORS) | hyper.bias(weights)
    small |= {name: tuple(weights[name]) for name in ('w_hz', 'w_xz', 'w_bz')}
    small['hyper'] = rows(hyper.unprefixed(weights), *VECTORS)
    return hyper.matrices(weights, weights['w_h'], weights['w_x']), small

  @property
  def masks(self) -> tuple[Mask, Mask]:
    """Returns one mask for each cell."""
    return (
      Mask(self.units, self.dropout_rate),
      Mask(self.hyper_units, self.hyper_dropout_rate),
    )
