"""Rows and tables of the paper, and sentences that describe them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Measure:
  """A column of figures in a table.

  Attributes:
    split: the part of the data that is scored.
    metric: the name that evaluation gives to the score.
    unit: of a figure, as printed for people.
  """

  split: str
  metric: str
  unit: str


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table: a network, its figures and its size.

  Attributes:
    name: the network, as the table names it.
    printed: a figure for each measure of the table; '' if none is printed.
    count: the number of parameters as printed, such as '4.92M', or ''.
    config: file and variant of the config that trains it, such as
      'ptb_hyperlstm:large_embedding', or ''.
    parameters: the number of trainable parameters, by the equations.
    counted: how many of them belong in `count`; 0 means all.
    is_cited: True if the paper quotes the figures of others.
  """

  name: str
  printed: tuple[str, ...]
  count: str = ''
  config: str = ''
  parameters: int = 0
  counted: int = 0
  is_cited: bool = False

  @property
  def figures(self) -> tuple[float | None, ...]:
    """Returns the figures as numbers, None where nothing is printed."""
    return tuple(number(text) if text else None for text in self.printed)

  @property
  def computed_count(self) -> int:
    """Returns the count by the equations; 0 without a config."""
    return self.counted or self.parameters


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of the paper, in its order.

  Attributes:
    label: such as 'Table 3'.
    data: the data set, as in `config.data.source`.
    title: the data set, for people.
    measures: the columns of figures; the first one decides.
    rows: from top to bottom.
    counted: what the printed counts are of.
  """

  label: str
  data: str
  title: str
  measures: tuple[Measure, ...]
  rows: tuple[Row, ...]
  counted: str = 'parameters'


def number(printed: str) -> float:
  """Returns the value of a `printed` figure or count; M is a million.

  >>> number('-1,162'), number('4.92M')
  (-1162.0, 4920000.0)
  """
  plain = printed.replace(',', '')
  return float(plain.removesuffix('M')) * (1e6 if plain[-1] == 'M' else 1)


def agrees(row: Row) -> bool:
  """Returns True if the computed count rounds to the printed one.

  Two of the paper's counts do not agree, by one digit each: 5.06M, where the
  equations give 5.09M (Table 3), and 18.78M, where they give 18.73M (Table 4).
  """
  digits = len(row.count.rstrip('M').partition('.')[2])
  step = 10**-digits * (1e6 if row.count.endswith('M') else 1)
  return abs(row.computed_count - number(row.count)) <= step / 2


def describe(table: Table, row: Row) -> str:
  """Returns the name, table, figures and count of `row` on one line."""
  line = f'{row.name} ({table.label}): {in_units(table, row)}'
  if row.count:
    line += f', {row.count} {table.counted}'
  if row.count and row.config and not agrees(row):
    line += f' (computed: {row.computed_count / 1e6:.2f}M)'
  return line


def in_units(table: Table, row: Row) -> str:
  """Returns the figures of `row` with splits and units.

  >>> both = Measure('test', 'bpc', 'bpc'), Measure('validation', 'bpc', 'bpc')
  >>> row = Row('Recurrent Dropout LSTM', ('1.301', '1.338'))
  >>> in_units(Table('Table 3', 'ptb', 'Penn Treebank', both, (row,)), row)
  'test 1.301, validation 1.338 bpc'
  """
  found = [
    (measure, text)
    for measure, text in zip(table.measures, row.printed, strict=True)
    if text
  ]
  units = [measure.unit for measure, _ in found]
  parts = [
    f'{measure.split} {text}'
    + (f' {measure.unit}' if units[k + 1 :][:1] != [measure.unit] else '')
    for k, (measure, text) in enumerate(found)
  ]
  return ', '.join(parts)
