"""The site: the README, the pages of docs/, and the API from the docstrings.

The source folder is the repository, so that links between its files work on the
site as they do elsewhere. `make docs` builds it; a warning is an error.
"""

import inspect
import pathlib
import re
import sys
from typing import TYPE_CHECKING

from flax import linen as nn

if TYPE_CHECKING:
  from sphinx.application import Sphinx

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

project = 'hyper'
author = 'The hyper contributors'
root_doc = 'README'
include_patterns = [
  *('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs/**.md'),
  *('results/**.md', 'benchmarks/NOTES.md', 'hyper/data/README.md'),
]
exclude_patterns = ['.*', 'build', 'data', 'runs', 'site', 'docs/contents.md']
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
html_theme = 'furo'
html_title = 'hyper'
html_extra_path = ['index.html']  # leads to the README
html_copy_source = False
linkcheck_timeout = 20  # seconds, of each of three attempts
linkcheck_retries = 3
linkcheck_anchors = False  # pages that a script fills have none
linkcheck_ignore = ['.*/cvdf-datasets/mnist/$']  # a prefix of files, no page

suppress_warnings = ['toc.no_title']  # a table that a command wrote
myst_heading_anchors = 3  # as on the web: README.md#results
autodoc_default_options = {
  'members': True,
  'member-order': 'bysource',
  'special-members': '__call__',
  'exclude-members': 'setup, name, parent, scope, dtype',
}
autodoc_typehints = 'none'  # shapes stand in the text
autodoc_preserve_defaults = True
default_role = 'code'  # `x` in a docstring is code
highlight_language = 'text'  # an indented paragraph is an equation or a command
napoleon_custom_sections = [('Attributes', 'params_style')]  # not "Variables"
napoleon_attr_annotations = False  # of fields neither
napoleon_use_rtype = False
CONTENTS = (ROOT / 'docs' / 'contents.md').read_text(encoding='utf-8')
SECTIONS = (
  'Args:',
  'Attributes:',
  'Returns:',
  'Raises:',
  'Yields:',
  'Example:',
)


def add_contents(app: 'Sphinx', name: str, source: list[str]) -> None:
  """Puts the table of contents, which only the site has, into the README."""
  if name == root_doc:
    source[0] += '\n' + CONTENTS


def as_written(
  app: 'Sphinx',
  kind: str,
  name: str,
  it: object,
  options: dict,
  lines: list[str],
) -> None:
  """Shows a docstring as it reads: equations and shapes are no markup.

  An indented paragraph becomes a literal block, elsewhere `*` and `|` are
  characters. Sections such as "Args:" are left to napoleon, and an example, to
  the next empty line, is code already.
  """
  shown: list[str] = []
  in_section = in_block = in_example = False
  for line in lines:
    is_indented = line.startswith(' ')
    in_example = bool(line) and (in_example or line.startswith('>>> '))
    if line and not is_indented:
      in_section, in_block = line in SECTIONS, False
    if is_indented and not (in_section or in_block) and not (shown or [''])[-1]:
      shown += ['::', '']
      in_block = True
    shown.append(line if in_block or in_example else escaped(line))
  lines[:] = shown


def escaped(line: str) -> str:
  """The line with a backslash before marks that stand outside `code`."""
  line = re.sub(r'(: \w)\.$', r'\1\\.', line)  # no list that begins with "e."
  parts = re.split('(`[^`]*`)', line)
  for i in range(0, len(parts), 2):
    parts[i] = re.sub(r'(?<!\*)\*(?!\*)|\|', r'\\\g<0>', parts[i])
  return ''.join(parts)


def plain_signature(
  app: 'Sphinx',
  kind: str,
  name: str,
  it: object,
  options: dict,
  signature: str | None,
  returned: str | None,
) -> tuple[str | None, str | None]:
  """The fields of a class, those it inherits too, without Flax's own.

  Sphinx takes those of `__new__` or of a metaclass, which say nothing.
  """
  make = getattr(it, '__init__', None)
  if kind != 'class' or not inspect.isfunction(make):
    return signature, returned
  left_out = ('parent', 'name') if issubclass(it, nn.Module) else ()
  _, *fields = inspect.signature(make).parameters.values()
  shown = [
    field.replace(annotation=field.empty)
    for field in fields
    if field.name not in left_out
  ]
  text = str(inspect.Signature(shown))
  return re.sub(r"<class 'jax\.numpy\.(\w+)'>", r'jnp.\1', text), returned


def is_left_out(
  app: 'Sphinx', kind: str, name: str, it: object, skip: bool, options: dict
) -> bool | None:
  """True for fields of a named tuple, which its docstring lists; else None."""
  is_field = (getattr(it, '__doc__', None) or '').startswith('Alias for field')
  return True if is_field else None


def setup(app: 'Sphinx') -> None:
  """Connects the functions above; docstrings are read before napoleon does."""
  app.connect('source-read', add_contents)
  app.connect('autodoc-process-docstring', as_written, priority=100)
  app.connect('autodoc-process-signature', plain_signature)
  app.connect('autodoc-skip-member', is_left_out)
