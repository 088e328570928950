"""The examples in docstrings run and print what they show.

They run in a folder with a small trained run, `runs/enwik8`, and its `data`.
"""

import doctest
import importlib
import pathlib
import shutil

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
  found = []
  for path in sorted([*ROOT.glob('hyper/**/*.py'), *ROOT.glob('configs/*.py')]):
    if '>>> ' in path.read_text(encoding='utf-8'):
      parts = path.relative_to(ROOT).with_suffix('').parts
      found.append('.'.join(p for p in parts if p != '__init__'))
  return found


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  place = tmp_path_factory.mktemp('place')
  made = ROOT / 'tests' / 'runs' / 'format_1'
  shutil.copytree(made / 'char_lm', place / 'runs' / 'enwik8')
  shutil.copytree(made / 'data', place / 'data')
  return place


@pytest.mark.parametrize('name', modules_with_examples())
def test_the_examples_of_a_module_run(name, place, monkeypatch):
  monkeypatch.chdir(place)
  module = importlib.import_module(name)
  result = doctest.testmod(module, optionflags=FLAGS)
  assert result.attempted, f'{name} has examples that doctest does not find'
  assert not result.failed
