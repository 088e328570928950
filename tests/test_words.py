"""Words that CONTRIBUTING.md rejects are nowhere in the tree."""

import itertools
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = ('hyper', 'configs', 'tests', 'benchmarks', 'docs', 'examples')
PAGES = ('README.md', 'CHANGELOG.md', 'results/README.md')
ROW = re.compile(r'^\| (?!not |---)(.+?) \| .+ \|$', re.M)


def words() -> list[str]:
  """Returns the left column of the table in CONTRIBUTING.md."""
  table = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
  return [word for row in ROW.findall(table) for word in row.split(', ')]


def files() -> list[pathlib.Path]:
  inside = itertools.chain.from_iterable(
    (ROOT / folder).rglob('*') for folder in FOLDERS
  )
  found = [path for path in inside if path.suffix in ('.py', '.md')]
  found += [*ROOT.glob('*.py'), *(ROOT / page for page in PAGES)]
  return sorted(found)


def offences(text: str) -> list[tuple[int, str]]:
  """Returns lines and words of all matches; a phrase may span two lines."""
  found = []
  for word in words():
    pattern = r'\b' + word.replace(' ', r'\s+(?:# *)?') + r'\b'
    for match in re.finditer(pattern, text, re.I):
      found.append((text.count('\n', 0, match.start()) + 1, word))
  return sorted(found)


def test_offences_are_found():
  assert {'so many', 'anew', 'behind'} <= set(words())
  text = 'Taken an' + 'ew\n# after so\n# many steps.'
  assert offences(text) == [(1, 'anew'), (2, 'so many')]


def test_no_file_has_them():
  found = [
    f'{path.relative_to(ROOT)}:{line}: {word}'
    for path in files()
    if path != pathlib.Path(__file__)
    for line, word in offences(path.read_text(encoding='utf-8'))
  ]
  assert not found, '\n'.join(found)
