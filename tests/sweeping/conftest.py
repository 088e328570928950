"""The embedded digits, rendered once."""

import pytest


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
  """Returns the folder where the embedded digits are rendered once."""
  return str(tmp_path_factory.mktemp('data'))
