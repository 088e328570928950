"""The notebooks run, and hold their outputs without paths or warnings."""

import itertools
import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).parent.parent / 'notebooks'
PATHS = sorted(FOLDER.glob('*.ipynb'))
LARGEST = 1_000_000  # bytes of a notebook


def outputs(notebook):
  """Returns the outputs of each cell with code."""
  return [x.outputs for x in notebook.cells if x.cell_type == 'code']


def kinds(outputs):
  """The types of a cell's outputs, with a stream in several parts as one.

  How many parts a stream arrives in depends on how fast the kernel prints.
  """
  return [kind for kind, _ in itertools.groupby(x.output_type for x in outputs)]


def texts(notebook):
  """Yields everything that the cells have printed."""
  return [
    x.text if x.output_type == 'stream' else str(x.get('data', x))
    for found in outputs(notebook)
    for x in found
  ]


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_outputs(path):
  notebook = nbformat.read(path, 4)
  assert path.stat().st_size < LARGEST
  found = [x.output_type for cell in outputs(notebook) for x in cell]
  assert 'display_data' in found and 'error' not in found
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
    assert kinds(now) == kinds(before)


def test_there_are_notebooks():
  assert len(PATHS) == 3
