"""The code runs in the pages on building blocks, NNX and Flax's cells."""

import pathlib
import re

import numpy as np
import pytest

DOCS = pathlib.Path(__file__).parent.parent / 'docs'


@pytest.fixture(scope='module')
def run():
  """Returns a function that runs the code of a page and returns its names."""

  def names(page):
    text = (DOCS / f'{page}.md').read_text(encoding='utf-8')
    blocks = re.findall(r'^```python\n(.*?)^```$', text, re.M | re.S)
    found = {'__name__': page}
    exec(compile('\n'.join(blocks), page, 'exec'), found)
    return found

  return names


def assert_close(found, wanted):
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_building_blocks(run):
  names = run('building_blocks')
  x, y, main = names['x'], names['y'], names['main']
  assert_close(names['y_each'][1:3], y[1:3])
  assert abs(names['y_each'] - y)[::3].max() > 0.01
  assert_close(main.apply(names['plain'], x), y)
  assert_close(main.apply({'params': names['params']}, x), y)
  assert set(names['written']) == {'layers_0', 'layers_2'}
  assert names['y_groups'].shape == y.shape
  assert_close(names['y_start'], main.apply(names['pretrained'], x))


def test_nnx(run):
  names = run('nnx')
  assert names['y'].shape == names['y_fast'].shape == (2, 7, 8)
  assert names['y_net'].shape == (2, 7, 2)
  with pytest.raises((ValueError, TypeError), match='Net'):
    names['StaticHyperNetwork'](
      names['Net'](8, rngs=names['nnx'].Rngs(0)), ('*',), (3, 4), 2
    )


@pytest.mark.slow
def test_drop_in(run):
  names = run('drop_in')
  assert names['logits'].shape == (2, 3, 5)
  source = names['source'].at[1, 4:].set(0)  # past the end of the second
  again = names['model'].apply(
    names['variables'], source, names['lengths'], names['target']
  )
  assert_close(again, names['logits'])
