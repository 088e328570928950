"""Which module may import which, by the syntax trees; imports have no effects.

Entry files may import anything, and SEES says what each module of hyper may. In
short: commands see trained runs, their folders and drawings; tasks see data,
models, losses, decoding, drawings and the parts of a run that concern them;
models see cells and the recurrence; the paper's parts see only each other, JAX
and Flax; runs see no task, model or data.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
STDLIB = set(sys.stdlib_module_names)

COMMANDS = (
  *('hyper.generate', 'hyper.figures', 'hyper.export', 'hyper.compare'),
  'hyper.sweep',
)
STATIC = ('hyper.hypernetwork', 'hyper.static', 'hyper.coordinates')
PAPER = (
  *('hyper.cells', 'hyper.recurrence', 'hyper.generators', 'hyper.tiles'),
  *STATIC,
)
CONFIGURATION = ('hyper.configuration',)
TASK = (
  *('hyper.data', 'hyper.losses', 'hyper.runs.task', 'hyper.runs.numbers'),
  *('hyper.runs.folder', *CONFIGURATION),
)

# By module, or by package with all of its modules: what it may import of hyper.
# If several rules match a module, the one with the longest name holds. Every
# permission is used.
SEES: dict[str, tuple[str, ...]] = {
  'hyper': (),
  'hyper.cells': ('hyper.cells',),
  'hyper.generators': ('hyper.generators',),
  'hyper.tiles': ('hyper.generators',),
  'hyper.hypernetwork': ('hyper.generators',),
  'hyper.static': (*('hyper.hypernetwork', 'hyper.generators', 'hyper.tiles'),),
  'hyper.coordinates': ('hyper.hypernetwork', 'hyper.generators'),
  'hyper.losses': (),
  'hyper.recurrence': ('hyper.cells',),
  'hyper.nnx': ('hyper.cells',),
  'hyper.models': ('hyper.models', 'hyper.cells', 'hyper.recurrence'),
  'hyper.models.classify': (),
  'hyper.decode': ('hyper.decode', 'hyper.losses'),
  'hyper.configuration': CONFIGURATION,
  'hyper.paper': ('hyper.paper', *CONFIGURATION),
  'hyper.files': (),
  'hyper.terminal': (),
  'hyper.weights': ('hyper.files',),
  'hyper.data': ('hyper.data', 'hyper.files', 'hyper.terminal'),
  'hyper.drawing': ('hyper.drawing', 'hyper.files'),
  'hyper.runs': (
    *('hyper.runs', 'hyper.files', 'hyper.terminal', 'hyper.paper.recipes'),
    *(*CONFIGURATION, 'hyper.weights'),
  ),
  'hyper.trained': (
    *('hyper.tasks', 'hyper.weights', 'hyper.runs', 'hyper.terminal'),
    *CONFIGURATION,
  ),
  'hyper.tasks': ('hyper.tasks', 'hyper.runs.task', *CONFIGURATION),
  'hyper.tasks.text_data': ('hyper.data', *CONFIGURATION),
  'hyper.tasks.image_data': ('hyper.data', *CONFIGURATION),
  'hyper.tasks.stroke_data': ('hyper.cells', 'hyper.data', *CONFIGURATION),
  'hyper.tasks.translation_data': (
    *('hyper.data', 'hyper.terminal', *CONFIGURATION),
  ),
  'hyper.tasks.translation_search': (
    *('hyper.data.word_pieces', 'hyper.decode', 'hyper.models.translate'),
    'hyper.tasks.translation_data',
  ),
  'hyper.tasks.char_lm': (
    *('hyper.cells', 'hyper.decode', 'hyper.models.char_lm', *TASK),
    'hyper.tasks.text_data',
  ),
  'hyper.tasks.classify': (
    *(*STATIC, 'hyper.models.classify', *TASK, 'hyper.tasks.image_data'),
    'hyper.drawing.kernels',
    'hyper.tiles',
  ),
  'hyper.tasks.handwriting': (
    *('hyper.cells', 'hyper.decode', 'hyper.models.handwriting', *TASK),
    *('hyper.drawing.handwriting', 'hyper.tasks.stroke_data'),
  ),
  'hyper.tasks.translate': (
    *('hyper.cells', 'hyper.models.translate', *TASK),
    *('hyper.tasks.translation_data', 'hyper.tasks.translation_search'),
    'hyper.terminal',
  ),
  'hyper.generate': (
    *('hyper.trained', 'hyper.runs.commands', 'hyper.tasks.handwriting'),
    *('hyper.data.pen', 'hyper.decode', 'hyper.drawing'),
    'hyper.runs.compilation',
  ),
  'hyper.compare': (
    *('hyper.compare', 'hyper.paper', 'hyper.runs.commands'),
    *('hyper.runs.metrics', 'hyper.runs.folder', 'hyper.runs.record'),
    *('hyper.drawing.progress', 'hyper.files', 'hyper.sweeping'),
    'hyper.tasks',
  ),
  'hyper.export': (
    *('hyper.trained', 'hyper.weights', 'hyper.runs', *CONFIGURATION),
  ),
  'hyper.sweep': (
    *('hyper.sweeping', 'hyper.compare', 'hyper.tasks', 'hyper.runs.commands'),
    *('hyper.runs.folder', 'hyper.runs.record', 'hyper.runs.compilation'),
    *('hyper.runs.trackers', 'hyper.trained'),
  ),
  'hyper.sweeping': (
    *('hyper.sweeping', 'hyper.runs', 'hyper.paper', 'hyper.terminal'),
    *CONFIGURATION,
  ),
  'hyper.figures': (),
  'hyper.figures.__main__': (
    *('hyper.figures', 'hyper.runs.commands', 'hyper.runs.compilation'),
  ),
  'hyper.figures.curves': (
    *('hyper.figures', 'hyper.drawing.curves', 'hyper.runs.metrics'),
    *('hyper.paper', 'hyper.runs.folder'),
    *('hyper.compare.finished', 'hyper.compare.measures'),
    *('hyper.compare.places', 'hyper.compare.seeds'),
  ),
  'hyper.figures.kernels': (
    *('hyper.figures', 'hyper.drawing.kernels', 'hyper.trained'),
  ),
  'hyper.figures.texts': (
    *('hyper.figures', 'hyper.drawing', 'hyper.trained', 'hyper.decode'),
    'hyper.tasks.char_lm',
  ),
  'hyper.figures.translations': (
    *('hyper.figures', 'hyper.drawing.attention', 'hyper.trained'),
    'hyper.files',
  ),
}
# What a task without a rule of its own may import.
NEW_TASK = (
  *(*PAPER, 'hyper.models', 'hyper.decode', 'hyper.drawing', *TASK),
  *('hyper.tasks', 'hyper.terminal'),
)
# The paper's mathematics imports only these packages and Python's own.
PURE = (*PAPER, 'hyper.losses', 'hyper.decode')
PURE_PACKAGES = {'jax', 'flax', 'jaxtyping'}


def files() -> dict[str, pathlib.Path]:
  """Returns the modules of the project but the tests, by their dotted names."""
  paths = [ROOT / 'train.py', ROOT / 'evaluate.py']
  for folder in ('hyper', 'configs'):
    paths += sorted((ROOT / folder).rglob('*.py'))
  paths = [path for path in paths if '_moved' not in path.parts]
  return {dotted(path): path for path in paths}


def dotted(path: pathlib.Path) -> str:
  parts = path.relative_to(ROOT).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


FILES = files()
TREES = {
  name: ast.parse(path.read_text(encoding='utf-8'), str(path))
  for name, path in FILES.items()
}


def imports(tree: ast.AST, known: set[str]) -> set[str]:
  """Returns the modules that a tree imports; relative ones keep their dots.

  `from hyper import data` and `from hyper.data import f` both import
  hyper.data. A name imported from a module of hyper counts as a module only if
  it is in `known`.
  """
  found = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      module = '.' * node.level + (node.module or '')
      for alias in node.names:
        name = f'{module}.{alias.name}'
        ours = module.split('.')[0] == 'hyper'
        found.add(name if not ours or name in known else module)
  return found


IMPORTS = {name: imports(tree, set(TREES)) for name, tree in TREES.items()}


def is_in(name: str, packages) -> bool:
  return any(name == p or name.startswith(p + '.') for p in packages)


def top(names: set[str]) -> set[str]:
  return {name.split('.')[0] for name in names} - STDLIB


def importers(package: str) -> set[str]:
  """Returns the modules that import a package, in any spelling."""
  return {
    m for m, names in IMPORTS.items() if any(is_in(n, [package]) for n in names)
  }


def modules(*packages: str) -> list[str]:
  return [name for name in TREES if is_in(name, packages)]


def test_imports_are_found():
  source = (
    'import a.b as c\nfrom d import e\nfrom hyper import data\n'
    'from hyper.data import f\ndef g():\n  from . import h\n  import i\n'
  )
  assert imports(ast.parse(source), {'hyper', 'hyper.data'}) == {
    *('a.b', 'd.e', 'hyper.data', '..h', 'i')
  }


def rule(module: str) -> str:
  """Returns the name of the rule for a module; '' if there is none."""
  names = [
    n for n in SEES if is_in(module, [n]) and (n != 'hyper' or module == n)
  ]
  return max(names, key=len, default='')


def permitted(module: str) -> tuple[str, ...]:
  """Returns what a module may import of hyper."""
  name = rule(module)
  is_new = name == 'hyper.tasks' and module != name
  return NEW_TASK if is_new else SEES[name]


def test_a_new_task_may_import_what_tasks_are_made_of():
  assert is_in('hyper.recurrence', permitted('hyper.tasks.copying'))
  assert not is_in('hyper.trained', permitted('hyper.tasks.copying'))
  assert permitted('hyper.tasks') == SEES['hyper.tasks']
  assert permitted('hyper.tasks.char_lm') == SEES['hyper.tasks.char_lm']


def under(name: str) -> list[str]:
  return [module for module in modules('hyper') if rule(module) == name]


@pytest.mark.parametrize('module', modules('hyper'))
def test_every_module_of_hyper_has_its_rule(module):
  assert rule(module), f'{module} is new: say in SEES what it may import.'


@pytest.mark.parametrize('name', SEES)
def test_a_module_imports_no_more_of_hyper_than_its_rule_says(name):
  assert under(name), f'{name} is gone: remove its rule.'
  for module in under(name):
    ours = {n for n in IMPORTS[module] if n.split('.')[0] == 'hyper'}
    wrong = {n for n in ours if not is_in(n, permitted(module))}
    assert not wrong, f'{module} imports {wrong}, beyond {permitted(module)}'


@pytest.mark.parametrize('name', SEES)
def test_every_permission_is_used(name):
  used = set().union(*(IMPORTS[module] for module in under(name)))
  idle = [x for x in SEES[name] if not any(is_in(n, [x]) for n in used)]
  assert not idle, f'{name} imports none of {idle}: remove the permission.'


def test_no_module_imports_an_entry_file_or_a_config():
  for name in modules('hyper'):
    assert not top(IMPORTS[name]) & {'train', 'evaluate', 'configs'}, name


SEEN_BY_CONFIGS = (
  *('configs', 'ml_collections', 'hyper.configuration', 'hyper.paper'),
)


def test_configs_see_only_configs_and_configuration():
  for name in modules('configs'):
    for imported in IMPORTS[name]:
      allowed = (*SEEN_BY_CONFIGS, *STDLIB)
      assert is_in(imported, allowed), f'{name} imports {imported}'


def test_imports_are_absolute():
  for name, imported in IMPORTS.items():
    assert not [n for n in imported if n.startswith('.')], name


@pytest.mark.parametrize('name', PURE)
def test_the_mathematics_needs_jax_and_flax_only(name):
  assert top(IMPORTS[name]) - {'hyper'} <= PURE_PACKAGES


@pytest.mark.parametrize('package', ['jax', 'flax', 'optax', 'orbax'])
@pytest.mark.parametrize('part', ['hyper.data', 'hyper.drawing'])
def test_data_and_drawing_do_without_jax(part, package):
  assert modules(part)
  assert not importers(package) & set(modules(part))


# Imports that no syntax tree shows: by module, what is imported.
BY_NAME = {
  'hyper.paper.recipes': "f'configs.{file}'",  # absent from an installed hyper
  'hyper.sweeping.launchers': 'module',  # one of ENGINES below
}


def test_only_these_modules_import_by_name():
  calls = {
    (name, ast.unparse(node))
    for name, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.Call)
    and ast.unparse(node.func).endswith(('import_module', '__import__'))
  }
  assert calls == {
    (name, f'importlib.import_module({what})') for name, what in BY_NAME.items()
  }


def test_only_these_modules_see_a_config():
  allowed = (
    *('train', 'configs', 'hyper.tasks', 'hyper.trained'),
    *('hyper.runs.loop', 'hyper.runs.log', 'hyper.runs.task'),
    *('hyper.runs.parallel', 'hyper.runs.rehearsal'),
    *('hyper.runs.compiled', 'hyper.runs.numbers', 'hyper.runs.folder'),
    *('hyper.runs.origin', 'hyper.runs.opening', 'hyper.runs.vectorised'),
    *('hyper.figures', 'hyper.compare', 'hyper.paper.recipes'),
    *('hyper.sweeping.space', 'hyper.sweeping.table'),
    *CONFIGURATION,
  )
  users = importers('ml_collections')
  for name in users:
    assert is_in(name, allowed), name
  for name in allowed:
    assert any(is_in(user, [name]) for user in users), f'{name} sees none'


def test_only_these_modules_read_flags():
  users = importers('absl.flags') | importers('absl.app')
  assert {'train', 'evaluate'} <= users
  for name in users:
    assert is_in(
      name, ('train', 'evaluate', 'hyper.runs.commands', *COMMANDS)
    ), name


def test_only_checkpoints_use_orbax():
  assert importers('orbax') == {
    *('hyper.runs.checkpoint', 'hyper.runs.checkpoint_reading')
  }


def test_only_these_modules_use_optuna():
  assert importers('optuna') == {
    *('hyper.sweeping.journal', 'hyper.sweeping.parameters'),
    'hyper.sweeping.analysis',
  }


ENGINES = {  # modules that are imported only if their engine is chosen
  'hyper.sweeping.slurm': 'submitit',
  'hyper.sweeping.ray_cluster': 'ray',
}


@pytest.mark.parametrize('module, engine', ENGINES.items())
def test_an_engine_is_used_in_one_place(module, engine):
  assert importers(engine) == {module}
  assert not importers(module)


def test_tensorflow_datasets_is_used_in_one_place_and_tensorflow_nowhere():
  assert importers('tensorflow_datasets') == {'hyper.data.array_records'}
  assert not importers('tensorflow')


@pytest.mark.parametrize('name', TREES)
def test_every_module_has_a_docstring(name):
  assert ast.get_docstring(TREES[name])


@pytest.mark.parametrize(
  'module, table', [('hyper.tasks', 'TASKS'), ('hyper.cells', 'CELLS')]
)
def test_tables_are_literal_dicts_that_nothing_changes(module, table):
  assigned = [
    node.value
    for node in TREES[module].body
    if isinstance(node, ast.Assign | ast.AnnAssign)
    and table in ast.unparse(node).split('=')[0]
  ]
  assert len(assigned) == 1 and isinstance(assigned[0], ast.Dict)
  for key, value in zip(assigned[0].keys, assigned[0].values, strict=True):
    assert isinstance(key, ast.Constant) and isinstance(value, ast.Name)
  for name, tree in TREES.items():
    for node in ast.walk(tree):
      text = ''
      if isinstance(node, ast.Subscript | ast.Name) and isinstance(
        node.ctx, ast.Store | ast.Del
      ):
        text = ast.unparse(node)
      if isinstance(node, ast.Attribute) and node.attr in CHANGERS:
        text = ast.unparse(node.value)
      changed = text.startswith(table) and text != table
      changed |= isinstance(node, ast.Attribute) and text == table
      assert not changed, f'{name} changes {table}'


CHANGERS = ('update', 'setdefault', 'pop', 'popitem', 'clear', '__setitem__')


IMPORT_ALL = """
import importlib, sys
from absl import app, flags
import ml_collections.config_flags, orbax.checkpoint, tensorboardX, jax, flax
import matplotlib
before = set(flags.FLAGS)
for name in sys.argv[1:]:
  importlib.import_module(name)
  for flag in sorted(set(flags.FLAGS) - before):
    print('flag', name, flag)
  before = set(flags.FLAGS)
for name in ('tensorflow', 'tensorflow_datasets', 'optuna', 'submitit', 'ray'):
  if name in sys.modules:
    print('loaded', name)
print('done', len(sys.argv) - 1)
"""


def test_importing_defines_no_flags_and_loads_no_engine():
  names = [n for n in modules('hyper') if not n.endswith('__main__')]
  names = [n for n in names if n not in ENGINES]
  names.sort(key=lambda name: is_in(name, COMMANDS))  # the commands last
  result = subprocess.run(
    [sys.executable, '-c', IMPORT_ALL, *names],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert result.returncode == 0, result.stderr
  *lines, last = result.stdout.splitlines()
  assert last == f'done {len(names)}'
  for line in lines:
    kind, name = line.split()[:2]
    assert kind == 'flag' and is_in(name, COMMANDS), line
