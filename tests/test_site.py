"""The API reference shows signatures and examples as they are; links answer."""

import importlib.util
import pathlib
import subprocess
import sys
import urllib.request

import pytest

from hyper import cells, nnx
from hyper.static import StaticHyperNetwork

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope='module')
def conf():
  spec = importlib.util.spec_from_file_location('conf', ROOT / 'docs/conf.py')
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


@pytest.mark.slow
def test_links_to_the_web_answer(tmp_path):
  pytest.importorskip('sphinx')
  try:
    urllib.request.urlopen('https://arxiv.org', timeout=10).close()
  except OSError as error:
    pytest.skip(f'links to the web need a network: {error}')
  command = [sys.executable, '-m', 'sphinx', '-q', '-b', 'linkcheck']
  command += ['-c', 'docs', '.', str(tmp_path)]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr
