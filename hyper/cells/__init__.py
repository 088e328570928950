"""Recurrent cells: RNN, LSTM and GRU, and each of them with a hypernetwork.

`hyper.cells.cell` has the base class, and the rules for the author of a cell.
"""

from hyper.cells.cell import Cell, Product, Weights, make_multiply
from hyper.cells.dropout import (
  Drawn,
  Mask,
  Rate,
  check_rate,
  draw_masks,
  drop,
  is_off,
)
from hyper.cells.gru import GRUCell, HyperGRUCell
from hyper.cells.lstm import HyperLSTMCell, LSTMCell
from hyper.cells.rnn import HyperRNNCell, RNNCell

__all__ = [
  'CELLS',
  'Cell',
  'Drawn',
  'GRUCell',
  'HyperGRUCell',
  'HyperLSTMCell',
  'HyperRNNCell',
  'LSTMCell',
  'Mask',
  'Product',
  'RNNCell',
  'Rate',
  'Weights',
  'check_rate',
  'draw_masks',
  'drop',
  'is_off',
  'make_multiply',
]

CELLS = {
  'rnn': RNNCell,
  'hyperrnn': HyperRNNCell,
  'lstm': LSTMCell,
  'hyperlstm': HyperLSTMCell,
  'gru': GRUCell,
  'hypergru': HyperGRUCell,
}
