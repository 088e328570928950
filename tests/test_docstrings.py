"""Every public name of the library says what it takes, returns and raises."""

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent
LIBRARY = (
  *('cells/*', 'nnx'),
  *('recurrence', 'hypernetwork', 'static', 'coordinates', 'tiles'),
  'generators/*',
  *('losses', 'decode/*', 'weights', 'trained'),
)
# The first word of a function's docstring: a verb in the third person.
VERBS = (
  *('Applies', 'Calls', 'Checks', 'Clips', 'Declares', 'Draws', 'Drops'),
  *('Lays', 'Loads', 'Makes', 'Normalises', 'Raises', 'Reads', 'Returns'),
  *('Reverses', 'Runs', 'Scales', 'Selects', 'Splits', 'Sums', 'Writes'),
)
CONSTRUCTORS = ('__new__', '__init__', '__post_init__')

Tree = ast.Module | ast.ClassDef | ast.FunctionDef


def paths() -> list[pathlib.Path]:
  found = [x for name in LIBRARY for x in ROOT.glob(f'hyper/{name}.py')]
  return sorted(path for path in found if path.name != '__init__.py')


TREES = {
  path: ast.parse(path.read_text(encoding='utf-8'), str(path))
  for path in paths()
}

PACKAGE = sorted((ROOT / 'hyper').rglob('*.py'))


def public(tree: Tree, kind: type) -> Iterator:
  """Returns the public classes or functions that are directly in `tree`."""
  return (
    x
    for x in tree.body
    if isinstance(x, kind)
    and (not x.name.startswith('_') or x.name == '__call__')
  )


CLASSES = {
  x.name: x for tree in TREES.values() for x in public(tree, ast.ClassDef)
}


def inherited(tree: ast.ClassDef) -> set[str]:
  """Returns the names that a class inherits from classes of the library."""
  found = set()
  for name in map(ast.unparse, tree.bases):
    if base := CLASSES.get(name.split('.')[-1]):
      found |= {x.name for x in public(base, ast.FunctionDef)}
      found |= inherited(base)
  return found


def raises(tree: Tree) -> bool:
  """Returns True if the body raises more than a NotImplementedError."""
  found = [ast.unparse(x) for x in ast.walk(tree) if isinstance(x, ast.Raise)]
  return any('NotImplementedError' not in x for x in found)


def arguments(function: ast.FunctionDef) -> list[str]:
  args = function.args
  found = [*args.posonlyargs, *args.args, *args.kwonlyargs]
  return [x.arg for x in found if x.arg != 'self']


def is_property(function: ast.FunctionDef) -> bool:
  """Returns True if the site takes what precedes a colon for the type."""
  return 'property' in map(ast.unparse, function.decorator_list)


def lacks_of_function(function: ast.FunctionDef, owner: str) -> list[str]:
  """Returns what a function's docstring lacks.

  The example may be in `owner`, the docstring of the function's class.
  """
  text = ast.get_docstring(function) or ''
  found = []
  first, *_ = text.split(' ')
  if first not in VERBS:
    found.append(f'begins with {first!r}, which is no verb')
  if is_property(function) and ': ' in text.split('\n')[0]:
    found.append('is of a property and has a colon in its first line')
  given = arguments(function)
  unnamed = [x for x in given if not re.search(rf'\b{x}\b', text)]
  if unnamed:
    found.append(f'does not name {", ".join(unnamed)}')
  if raises(function) and 'Raises' not in text:
    found.append('has no Raises')
  if '>>> ' not in owner + text:
    found.append('has no example')
  return found


def lacks_of_class(tree: ast.ClassDef) -> Iterator[str]:
  """Yields what the docstrings of a class and its methods lack.

  A method that overrides one of the library may leave the description to it.
  """
  text = ast.get_docstring(tree) or ''
  if '>>> ' not in text:
    yield f'{tree.name} has no example'
  made = [x for x in tree.body if getattr(x, 'name', '') in CONSTRUCTORS]
  if any(raises(x) for x in made) and 'Raises:' not in text:
    yield f'{tree.name} has no Raises'
  above = inherited(tree)
  for function in public(tree, ast.FunctionDef):
    for lack in lacks_of_function(function, text):
      if function.name not in above or lack.startswith('begins'):
        yield f'{tree.name}.{function.name} {lack}'


def lacks(tree: ast.Module) -> list[str]:
  found = [
    f'{function.name} {lack}'
    for function in public(tree, ast.FunctionDef)
    for lack in lacks_of_function(function, '')
  ]
  for x in public(tree, ast.ClassDef):
    found += lacks_of_class(x)
  return found


@pytest.mark.parametrize(
  'path', TREES, ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_public_name_is_documented(path):
  found = lacks(TREES[path])
  assert not found, '\n'.join(found)


def without_a_verb(tree: ast.Module) -> list[str]:
  """Returns the functions whose docstring does not begin with a verb."""
  functions = (x for x in ast.walk(tree) if isinstance(x, ast.FunctionDef))
  texts = ((x.name, ast.get_docstring(x)) for x in functions)
  return [x for x, y in texts if y and not re.match(r'[A-Z][a-z]+s\b', y)]


@pytest.mark.parametrize(
  'path', PACKAGE, ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_function_says_what_it_does(path):
  assert not without_a_verb(ast.parse(path.read_text(encoding='utf-8')))


def test_a_docstring_without_a_verb_is_found():
  source = 'def f():\n  """The x."""\ndef g():\n  """Returns x."""\n'
  assert without_a_verb(ast.parse(source)) == ['f']


def test_what_a_docstring_lacks_is_found():
  source = (
    'def f(x, y):\n  """The x."""\n  raise ValueError\n'
    'class A:\n  """An A."""\n  def __init__(self):\n    raise ValueError\n'
    'def g(x):\n  """Returns x, see:\n\n  >>> g(1)\n  """\n'
    '@property\ndef h():\n  """Returns h: x.\n\n  >>> h\n  """\n'
  )
  assert lacks(ast.parse(source)) == [
    "f begins with 'The', which is no verb",
    'f does not name y',
    'f has no Raises',
    'f has no example',
    'h is of a property and has a colon in its first line',
    'A has no example',
    'A has no Raises',
  ]
