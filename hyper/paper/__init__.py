"""Every row of the paper's tables, and the config that trains it.

Figures and counts are strings, as printed; `Row.figures` has the numbers. A row
with a config also has the number of parameters that the equations give.

  >>> table, row = find('ptb_hyperlstm:large_embedding')
  >>> row.name, row.figures, row.parameters
  ('LN HyperLSTM 1000, large embedding', (1.233, 1.263), 5085170)
  >>> describe(table, row).partition(': ')[2]
  'test 1.233, validation 1.263 bpc, 5.06M parameters (computed: 5.09M)'
"""

from hyper.paper.rows import (
  Measure,
  Row,
  Table,
  agrees,
  describe,
  in_units,
  number,
)
from hyper.paper.tables import TABLES

__all__ = [
  'TABLES',
  'Measure',
  'Row',
  'Table',
  'agrees',
  'describe',
  'find',
  'in_units',
  'number',
]


def find(config: str) -> tuple[Table, Row] | None:
  """Returns the table and the row that `config` trains, or None.

  Args:
    config: file and variant, such as 'ptb_hyperlstm:large_embedding'.

  >>> find('ptb_lstm')[1].name
  'LSTM 1000'
  >>> find('my_config') is None
  True
  """
  for table in TABLES:
    for row in table.rows:
      if config and row.config == config:
        return table, row
  return None
