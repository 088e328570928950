"""What the README says is so: its Python runs, its files and flags exist."""

import pathlib
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def run_python(heading: str) -> dict:
  """The names that the Python under a heading leaves."""
  section = README.split(f'## {heading}\n')[1].split('\n## ')[0]
  blocks = re.findall(r'^```python\n(.*?)^```$', section, re.M | re.S)
  names: dict = {}
  exec(compile('\n'.join(blocks), 'README.md', 'exec'), names)
  return names


def test_the_cell_runs_and_both_ways_agree():
  names = run_python('A cell in your own model')
  assert names['y'].shape == (8, 20, 64)
  np.testing.assert_allclose(names['y'], names['y_fast'], atol=1e-5)
  expected = jax.eval_shape(lambda: names['cell'].zeros((8,)))
  shapes = jax.tree.map(lambda x: x.shape, names['carry'])
  assert shapes == jax.tree.map(lambda x: x.shape, expected)


def test_the_hypernetwork_runs_and_its_baked_form_agrees():
  names = run_python('A hypernetwork around your own network')
  y = names['y']
  np.testing.assert_allclose(names['y_plain'], y, rtol=1e-4, atol=1e-5)
  assert names['tiles'] == 2 + 8
  assert names['y_each'].shape == y.shape
  assert abs(names['y_each'] - y).max() > 0.1


def test_configs_and_variants_named_exist():
  named = re.findall(r'--config=configs/(\w+)\.py(?::(\w+))?', README)
  assert len(named) > 2
  for module, variant in named:
    config = __import__(f'configs.{module}', fromlist=['x'])
    config.get_config(variant)


def test_fields_named_exist_and_take_the_value():
  from configs import cifar10_hyper_wrn, iam_lstm, nmt_lstm, ptb_hyperlstm

  known: dict = {}
  for module in (cifar10_hyper_wrn, iam_lstm, nmt_lstm, ptb_hyperlstm):
    known |= flatten_dict(module.get_config().to_dict(), sep='.')
  fields = re.findall(r'--config\.([\w.]+?)(?:=([\w.]+)|`)', README)
  assert len(fields) > 4
  for path, text in fields:
    kind = type(known[path])
    if kind is bool:
      assert text in ('True', 'False'), path
    elif text and kind is not str:
      kind(text)


def test_every_linked_file_exists():
  links = re.findall(r'\]\((?!https?:)([^)#]+)\)', README)
  assert links
  for link in links:
    assert (ROOT / link).exists(), link


@pytest.mark.parametrize('folder', ['configs', 'hyper'])
def test_every_module_has_a_line_in_the_file_tree(folder):
  tree = README.split('## Files')[1].split('##')[0]
  for path in (ROOT / folder).glob('*.py'):
    if path.name != '__init__.py':
      assert re.search(rf'^ +{path.name}  +\w', tree, re.M), path


@pytest.mark.parametrize('entry', ['train', 'evaluate'])
def test_the_flags_named_are_defined(entry):
  # For example `python evaluate.py --workdir=...`, up to the empty line.
  command = README.split(f'python {entry}.py', 1)[1].split('\n\n')[0]
  names = {n for n in re.findall(r'--(\w+)', command) if n != 'config'}
  text = (ROOT / f'{entry}.py').read_text(encoding='utf-8')
  assert names
  for name in names:
    assert re.search(rf"DEFINE_\w+\(\s*'{name}'", text), name
