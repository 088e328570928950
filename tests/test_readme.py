"""What the README says is so: its Python runs, its files and flags exist."""

import pathlib
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def python_block() -> str:
  blocks = re.findall(r'^```python\n(.*?)^```$', README, re.M | re.S)
  assert len(blocks) == 1
  return blocks[0]


def test_the_python_block_runs_and_both_ways_agree():
  names: dict = {}
  exec(compile(python_block(), 'README.md', 'exec'), names)
  assert names['y'].shape == (8, 20, 64)
  np.testing.assert_allclose(names['y'], names['y_fast'], atol=1e-5)
  expected = jax.eval_shape(lambda: names['cell'].zeros((8,)))
  shapes = jax.tree.map(lambda x: x.shape, names['carry'])
  assert shapes == jax.tree.map(lambda x: x.shape, expected)


def test_configs_and_variants_named_exist():
  named = re.findall(r'--config=configs/(\w+)\.py(?::(\w+))?', README)
  assert len(named) > 2
  for module, variant in named:
    config = __import__(f'configs.{module}', fromlist=['x'])
    config.get_config(variant)


def test_fields_named_exist_and_take_the_value():
  from configs import cifar10_hyper_wrn, ptb_hyperlstm

  known: dict = {}
  for module in (cifar10_hyper_wrn, ptb_hyperlstm):
    known |= flatten_dict(module.get_config().to_dict(), sep='.')
  fields = re.findall(r'--config\.([\w.]+?)(?:=([\w.]+)|`)', README)
  assert len(fields) > 4
  for path, text in fields:
    kind = type(known[path])
    if kind is bool:
      assert text in ('True', 'False'), path
    elif text:
      assert kind(text) is not None


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
