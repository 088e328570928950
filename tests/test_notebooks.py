"""The notebooks run, and hold their outputs without paths or warnings."""

import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).parent.parent / 'notebooks'
PATHS = sorted(FOLDER.glob('*.ipynb'))
LARGEST = 1_000_000  # bytes of a notebook


def outputs(notebook):
  """The outputs of each cell with code."""
  return [x.outputs for x in notebook.cells if x.cell_type == 'code']


def texts(notebook):
  """All that the cells have printed."""
  return [
    x.text if x.output_type == 'stream' else str(x.get('data', x))
    for found in outputs(notebook)
    for x in found
  ]


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_outputs(path):
  notebook = nbformat.read(path, 4)
  assert path.stat().st_size < LARGEST
  kinds = [x.output_type for found in outputs(notebook) for x in found]
  assert 'display_data' in kinds and 'error' not in kinds
  counts = [x.execution_count for x in notebook.cells if x.cell_type == 'code']
  assert counts == list(range(1, len(counts) + 1))  # run once, in order
  for text in texts(notebook):
    assert not re.search(r'/tmp/|/home/|/work/|[Ww]arning', text), text[:500]
  assert not any(
    x.get('name') == 'stderr' for found in outputs(notebook) for x in found
  )


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  kept = nbformat.read(path, 4)
  notebook = nbformat.read(path, 4)
  place = {'metadata': {'path': str(FOLDER)}}
  NotebookClient(notebook, timeout=600, resources=place).execute()
  for now, before in zip(outputs(notebook), outputs(kept), strict=True):
    assert [x.output_type for x in now] == [x.output_type for x in before]


def test_there_are_notebooks():
  assert len(PATHS) == 3
