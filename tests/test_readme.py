"""The README is true: its examples run, its figures and folders exist.

Its links and commands are checked with those of the other pages.
"""

import pathlib
import re

import numpy as np

from hyper import paper

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def run_python(heading: str) -> dict:
  """Runs the Python under a heading, and returns its names."""
  section = README.split(f'## {heading}\n')[1].split('\n## ')[0]
  (block,) = re.findall(r'^```python\n(.*?)^```$', section, re.M | re.S)
  names: dict = {}
  exec(compile(block, 'README.md', 'exec'), names)
  return names


def test_the_hyperlstm_runs():
  names = run_python('A HyperLSTM in your model')
  assert names['y'].shape == (8, 20, 64)


def test_the_generated_weights_are_those_of_the_baked_network():
  names = run_python('Generated weights in your network')
  baked = names['main'].apply(names['plain'], names['images'])
  np.testing.assert_allclose(baked, names['y'], rtol=1e-4, atol=1e-5)


def test_figures_of_the_paper_are_those_of_its_tables():
  rows = re.findall(
    r'^\|.*\| `(\w+)\.py` \| ([-\d.,]+) ([^|]+) \|', README, re.M
  )
  assert len(rows) == 8
  for config, printed, unit in rows:
    table, row = paper.find(config)
    assert (printed, unit) == (row.printed[0], table.measures[0].unit)


def test_every_folder_has_its_line():
  tree = README.split('## Files')[1].split('##')[0]
  shown = re.findall(r'^ +(\w+)/ +\w', tree, re.M)
  folders = {
    path.parent.name
    for parent in (ROOT, ROOT / 'hyper')
    for path in parent.glob('*/*.py')
  }
  assert folders - {'_moved'} <= set(shown)
  for name in shown:
    assert (ROOT / name).is_dir() or (ROOT / 'hyper' / name).is_dir(), name


def test_it_stays_a_front_page():
  assert README.count('\n') <= 160
