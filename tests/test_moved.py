"""A module that moved says where it is now."""

import importlib
import pathlib
import re

import pytest

import hyper

MOVED = pathlib.Path(hyper.__file__).parent / '_moved'
NAMES = sorted(
  '.'.join(path.relative_to(MOVED).with_suffix('').parts)
  for path in MOVED.rglob('*.py')
)


@pytest.mark.parametrize('name', NAMES)
def test_an_old_name_raises_an_error_with_the_new_place(name):
  with pytest.raises(ImportError, match=f'hyper.{name} is now') as caught:
    importlib.import_module(f'hyper.{name}')
  (place,) = re.findall(r'is now (\S+)\.$', str(caught.value))
  importlib.import_module(place)


def test_old_names_are_known():
  assert {'sequence', 'figures.attention', 'data.run_files'} <= {*NAMES}
