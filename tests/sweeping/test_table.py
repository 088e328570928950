"""The tables of the paper as trials, at its sizes and smaller."""

import pytest
from sweep_cases import ROOT

from hyper import paper
from hyper.sweeping import space, table


@pytest.mark.parametrize('name', table.DATA)
def test_a_table_is_every_network_of_it_that_can_be_trained(name):
  points = table.points(name, ['log_every_steps=7'], 2, 1.0)
  rows = [
    row.config
    for found in paper.TABLES
    if found.data == table.DATA[name]
    for row in found.rows
    if row.config
  ]
  assert len(points) == 2 * len(rows)
  for k, point in enumerate(points):
    config = point.make()
    assert (config.paper, config.seed) == (rows[k // 2], k % 2)
    assert config.log_every_steps == 7


def test_a_scale_multiplies_widths_and_steps_and_rounds_up():
  small = table.shrink(space.load(f'{ROOT}/configs/ptb_hyperlstm.py'), 0.3)
  assert small == {
    **{'model.cell.units': 300, 'model.cell.hyper_units': 39},
    **{'train_steps': 12_000, 'eval_every_steps': 150},
    **{'save_every_steps': 150, 'log_every_steps': 15},
  }
  images = table.shrink(space.load(f'{ROOT}/configs/cifar10_wrn.py'), 0.25)
  assert images['schedule.until_steps'] == (
    7_000,
    14_000,
    21_000,
    28_000,
    35_000,
  )
  assert not [name for name in images if name.startswith('model')]
