"""The API reference of the site shows signatures and examples as they are."""

import importlib.util
import pathlib

import pytest

from hyper import cells, nnx
from hyper.static import StaticHyperNetwork

CONF = pathlib.Path(__file__).parent.parent / 'docs' / 'conf.py'


@pytest.fixture(scope='module')
def conf():
  spec = importlib.util.spec_from_file_location('conf', CONF)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def signature(conf):
  """Returns a function from a class or function to what the site shows."""

  def shown(kind, it):
    given = '(*args, **kwargs)'
    return conf.plain_signature(None, kind, '', it, {}, given, None)[0]

  return shown


def test_a_class_shows_its_fields(signature):
  assert signature('class', cells.RNNCell) == (
    '(units, input_size=None, dtype=jnp.float32, train=False)'
  )
  assert 'hyper_units=128, embedding_size=4' in signature(
    'class', cells.HyperLSTMCell
  )
  shown = signature('class', StaticHyperNetwork)
  assert '*, residual=False, frozen=(), generator=None' in shown
  assert 'name' not in shown and 'parent' not in shown
  assert signature('class', nnx.NNXCell) == '(cell, in_features, *, rngs)'


def test_other_signatures_stay(signature):
  assert signature('function', cells.drop) == '(*args, **kwargs)'
  assert signature('class', cells.Mask) == '(*args, **kwargs)'


def test_an_example_is_shown_as_written(conf):
  example = [">>> f('a*',", "...   'b*|')", "('a*', 'b*')"]
  lines = ['Returns a * b.', '', *example, '', 'Then c * d.']
  conf.as_written(None, '', '', None, {}, lines)
  assert lines == ['Returns a \\* b.', '', *example, '', 'Then c \\* d.']
