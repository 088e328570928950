"""Links, configs, fields, flags and examples in the pages are true."""

import fnmatch
import importlib
import importlib.util
import pathlib
import re
import types
import urllib.parse

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import train
from hyper.compare import entries, finished, tables
from hyper.configuration import flatten
from hyper.runs import loop, metrics
from hyper.tasks import TASKS

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {
  str(path.relative_to(ROOT)): path.read_text(encoding='utf-8')
  for pattern in ('*.md', 'docs/**/*.md', 'results/**/*.md', 'benchmarks/*.md')
  for path in sorted(ROOT.glob(pattern))
} | {'hyper/data/README.md': (ROOT / 'hyper/data/README.md').read_text('utf-8')}
LINK = re.compile(r'\]\(\s*<?([^)>]+)>?\)|<(https?:[^>]+)>')
NEW = (
  'results',
  'docs/adding',
)  # pages on former runs, and on files that their readers write
USED = '\n'.join(PAGES[name] for name in PAGES if not name.startswith(NEW))
LIBRARY = (
  *('cells', 'recurrence', 'hypernetwork', 'static', 'coordinates', 'losses'),
  *('decode', 'weights', 'nnx', 'trained', 'configuration', 'paper'),
  'runs.task',
)


def links(text: str) -> list[str]:
  return [a or b for a, b in LINK.findall(text)]


def anchors(text: str) -> set[str]:
  """Returns the anchors of headings, as GitHub makes them."""
  headings = re.findall(r'^#+ (.*)$', text, re.M)
  plain = [re.sub(r'[^\w\- ]', '', heading.lower()) for heading in headings]
  return {heading.strip().replace(' ', '-') for heading in plain}


@pytest.mark.parametrize('name', PAGES)
def test_links_lead_somewhere(name):
  for link in links(PAGES[name]):
    parts = urllib.parse.urlsplit(link)
    if parts.scheme:
      assert parts.scheme in ('http', 'https'), link
      assert re.fullmatch(r'[\w.-]+\.[a-z]+', parts.netloc), link
      assert not re.search(r'\s', link), link
      continue
    target = (ROOT / name).parent / parts.path if parts.path else ROOT / name
    assert target.exists(), link
    if parts.fragment:
      assert parts.fragment in anchors(target.read_text('utf-8')), link


def test_links_and_anchors_are_found():
  assert links('[a](b.md#c), <https://d.e>') == ['b.md#c', 'https://d.e']
  assert anchors('# A b\n## `c` on, d') == {'a-b', 'c-on-d'}


def test_every_page_is_in_the_contents_of_the_site():
  contents = re.findall(r'([\w./*]+)>?$', PAGES['docs/contents.md'], re.M)
  for name in PAGES.keys() - {'README.md', 'docs/contents.md'}:
    page = name.removesuffix('.md')
    assert any(fnmatch.fnmatch(page, entry) for entry in contents), name


@pytest.mark.parametrize('module', LIBRARY)
def test_every_module_of_the_library_has_its_page(module):
  assert f'automodule:: hyper.{module}\n' in PAGES[f'docs/api/{module}.md']


def test_configs_and_variants_named_exist():
  named = re.findall(r'configs/(\w+)\.py(?::(\w+))?', USED)
  assert len(named) > 2
  for module, variant in named:
    importlib.import_module(f'configs.{module}').get_config(variant)


def test_fields_named_exist_and_take_the_value():
  known: dict = {}
  for path in sorted((ROOT / 'configs').glob('[a-z]*_*.py')):
    config = importlib.import_module(f'configs.{path.stem}').get_config()
    known |= flatten_dict(config.to_dict(), sep='.')
  fields = re.findall(r'--config\.([\w.]+?)(?:=([\w.]+)|`)', USED)
  assert len(fields) > 4
  for path, text in fields:
    kind = type(known[path])
    if kind is bool:
      assert text in ('True', 'False'), path
    elif text and kind is not str:
      kind(text)


def commands() -> list[tuple[str, set[str]]]:
  """Returns the file and the flags of every Python command in the pages."""
  found = []
  text = re.sub(r'\\\n\s*', '', USED)
  for line in re.findall(r'^    (?:[^`\n]*)?python ([^`\n]*)$', text, re.M):
    entry, *rest = line.removeprefix('-m ').split(' ', 1)
    names = set(re.findall(r'--(\w+)', ' '.join(rest)))
    found.append((entry, names - {'help'}))
  return found


@pytest.mark.parametrize('entry, names', commands())
def test_the_flags_named_are_defined(entry, names):
  path = ROOT / entry.removesuffix('.py').replace('.', '/')
  files = path.rglob('*.py') if path.is_dir() else [path.with_suffix('.py')]
  files = [*files, *(ROOT / 'hyper' / 'runs').glob('*.py')]
  text = '\n'.join(file.read_text(encoding='utf-8') for file in files)
  for name in names:
    defined = rf"DEFINE\w*\([\s\w.,()]*'{name}'"
    assert re.search(defined, text), f'{entry} --{name}'


def run_python(name: str, heading: str) -> dict:
  """Runs the Python under a heading of a page, and returns its names."""
  section = PAGES[name].split(f'## {heading}\n')[1].split('\n## ')[0]
  blocks = re.findall(r'^```python\n(.*?)^```$', section, re.M | re.S)
  names: dict = {}
  exec(compile('\n'.join(blocks), name, 'exec'), names)
  return names


def test_a_cell_runs_and_both_ways_agree():
  names = run_python('docs/library.md', 'Cells')
  assert names['y'].shape == (8, 20, 64)
  np.testing.assert_allclose(names['y'], names['y_fast'], atol=1e-5)
  expected = jax.eval_shape(lambda: names['cell'].zeros((8,)))
  shapes = jax.tree.map(lambda x: x.shape, names['carry'])
  assert shapes == jax.tree.map(lambda x: x.shape, expected)


def test_a_hypernetwork_runs_and_its_baked_form_agrees():
  names = run_python('docs/library.md', 'Generated weights')
  y = names['y']
  np.testing.assert_allclose(names['y_plain'], y, rtol=1e-4, atol=1e-5)
  assert names['tiles'] == 2 + 8
  assert names['y_each'].shape == y.shape
  assert abs(names['y_each'] - y).max() > 0.1


@pytest.mark.slow
def test_exported_networks_are_applied_as_the_page_says():
  names = run_python('docs/commands.md', 'Export')
  assert names['logits'].shape == (1, 12, 50)
  assert names['classes'].shape == (2,)
  assert names['scores']['test']['bpc'] < 1.3


def load_python(page: str, name: str, folder) -> types.ModuleType:
  """Returns the module that a page shows after `name`."""
  (block,) = re.findall(
    rf'^`{name}`:\n\n```python\n(.*?)^```$', PAGES[page], re.M | re.S
  )
  path = folder / pathlib.Path(name).name
  path.write_text(block, encoding='utf-8')
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.slow
def test_the_task_of_the_page_is_trained(tmp_path, monkeypatch):
  page = 'docs/adding_a_task.md'
  task = load_python(page, 'hyper/tasks/copying.py', tmp_path)
  recipe = load_python(page, 'configs/copying_hyperlstm.py', tmp_path)
  config = recipe.get_config().unlock()
  config.update_from_flattened_dict(
    {'model.cell.units': 8, 'train_steps': 3, 'eval_every_steps': 3}
  )
  workdir = str(tmp_path / 'run')
  assert loop.train(task.Copying, config.lock(), workdir, '') == 0
  (scores,) = metrics.read(workdir)
  assert scores['split'] == 'validation' and 0 < scores['error'] <= 100
  monkeypatch.setitem(TASKS, 'copying', task.Copying)
  (grid,) = tables.compare(entries.group([finished.read(workdir)]))
  assert grid.title == 'copying'
  values = flatten(config).values()
  for line, value in zip(train.describe(config), values, strict=True):
    assert line.partition(f' {value!r} ')[2].strip(), f'not described: {line}'


def test_the_data_set_of_the_page_is_read(tmp_path):
  pi = load_python(
    'docs/adding_a_data_set.md', 'hyper/data/digits_of_pi.py', tmp_path
  )
  with pytest.raises(FileNotFoundError, match='Digits of pi: .* missing'):
    pi.load(str(tmp_path), 'train')
  path = tmp_path / 'pi.txt'
  path.write_text('31415926535' * 20 + '\n')
  parts = [
    bytes(pi.load(str(tmp_path), x)['text'])
    for x in ('train', 'validation', 'test')
  ]
  assert b''.join(parts).decode() == '31415926535' * 20
  assert [len(part) for part in parts] == [198, 11, 11]
  path.write_text('27182818284' * 20 + '\n')
  with pytest.raises(ValueError, match='has other content than'):
    pi.load(str(tmp_path), 'train')
