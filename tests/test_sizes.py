"""Functions and files are as short as CONTRIBUTING.md says."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parent.parent / 'hyper'
LONGER = {  # functions of more than 40 lines, which CONTRIBUTING.md names
  *('cells/unroll.py: unroll', 'recurrence.py: __call__'),
  *('figures/__main__.py: define_flags', 'generate.py: define_flags'),
  'sweep.py: define_flags',
}


def long_functions(text: str, most: int = 40) -> list[str]:
  """Returns functions of more than `most` lines beside the docstring."""
  found = []
  for x in ast.walk(ast.parse(text)):
    if isinstance(x, ast.FunctionDef):
      docstring = x.body[0] if ast.get_docstring(x) else None
      inside = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
      if x.end_lineno - x.lineno + 1 - inside > most:
        found.append(x.name)
  return found


def test_long_functions_are_found():
  text = 'def f():\n  """A\n\n  b."""\n  pass\n' + 'def g():\n' + '  1\n' * 3
  assert long_functions(text, 2) == ['g']
  assert long_functions(text, 1) == ['f', 'g']


def test_functions_are_short_except_for_these():
  found = {
    f'{path.relative_to(PACKAGE)}: {name}'
    for path in PACKAGE.rglob('*.py')
    for name in long_functions(path.read_text(encoding='utf-8'))
  }
  assert found == LONGER


def test_files_are_short():
  for path in PACKAGE.rglob('*.py'):
    assert len(path.read_text(encoding='utf-8').splitlines()) <= 400, path
