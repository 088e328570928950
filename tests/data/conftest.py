"""Real data sets, for the tests that need them."""

import os
import pathlib

import pytest


@pytest.fixture
def real_data_dir(tmp_path):
  """Returns a folder with links to the raw files in $HYPER_DATA_DIR."""
  source = os.environ.get('HYPER_DATA_DIR')
  if not source:
    pytest.skip('HYPER_DATA_DIR is not set')
  for path in pathlib.Path(source).resolve().iterdir():
    if path.name != 'prepared':
      (tmp_path / path.name).symlink_to(path)
  return str(tmp_path)
