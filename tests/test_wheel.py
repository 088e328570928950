"""The built distribution works where nothing else is installed."""

import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def run(*command, cwd):
  done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  """Builds a wheel from a source distribution of a clean copy."""
  folder = tmp_path_factory.mktemp('source')
  for name in ('pyproject.toml', 'requirements.txt', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, folder)
  shutil.copytree(
    *(ROOT / 'hyper', folder / 'hyper'),
    ignore=shutil.ignore_patterns('__pycache__'),
  )
  run(sys.executable, '-m', 'build', cwd=folder)
  (path,) = (folder / 'dist').glob('hypernetworks-*.whl')
  return path


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_readme_that_errors_name(wheel):
  held = set(zipfile.ZipFile(wheel).namelist())
  modules = {
    str(path.relative_to(ROOT)) for path in (ROOT / 'hyper').rglob('*.py')
  }
  assert 'hyper/_moved/training.py' in modules
  assert modules | {'hyper/data/README.md'} <= held
  assert {name.split('/')[0] for name in held - modules} == {
    *('hyper', f'{wheel.name.split("-py3")[0]}.dist-info')
  }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_readme_runs_where_only_the_wheel_is_installed(wheel, tmp_path):
  run(sys.executable, '-m', 'venv', 'empty', cwd=tmp_path)
  python = str(tmp_path / 'empty' / 'bin' / 'python')
  run(python, '-m', 'pip', 'install', '--quiet', str(wheel), cwd=tmp_path)
  blocks = re.findall(r'^```python\n(.*?)^```$', README, re.M | re.S)
  assert len(blocks) > 1
  script = tmp_path / 'readme.py'
  script.write_text(
    '\n'.join([*blocks, 'import hyper; print(hyper.__file__)']),
    encoding='utf-8',
  )
  assert str(tmp_path / 'empty') in run(python, str(script), cwd=tmp_path)
