"""Weights & Biases: what it receives, and the package without a network."""

import io
import os
import pathlib
import subprocess
import sys
import threading
import types

import pytest
from PIL import Image
from toy import KEPT, Toy, config_of

from hyper.runs import loop, observers, trackers

ROOT = pathlib.Path(__file__).parents[2]
RUN = """
import sys
sys.path[:0] = ['.', 'tests']
from toy import Toy, config_of
from hyper.runs import loop, trackers
class Showing(Toy):
  def samples(self, state):
    return {'text': 'a < b'}
given = Showing, config_of(sample_every_steps=4), sys.argv[1], ''
loop.train(*given, trackers=trackers.find(['wandb']))
"""


@pytest.fixture
def wandb(monkeypatch):
  """Replaces wandb by a module; its list `told` is what it received."""
  module = types.ModuleType('wandb')
  module.told = []
  run = types.SimpleNamespace(
    define_metric=lambda name, step_metric: None,
    log=module.told.append,
    finish=lambda: module.told.append('finished'),
  )
  module.init = lambda **given: module.told.append(given) or run
  module.Settings, module.Html, module.Image = dict, str, lambda image: image
  monkeypatch.setitem(sys.modules, 'wandb', module)
  return module


def test_it_gets_config_metrics_and_samples(tmp_path, wandb):
  png = io.BytesIO()
  Image.new('RGB', (30, 20)).save(png, 'PNG')
  workdir = str(tmp_path / 'my_run')
  tracker = trackers.WandB(workdir, {'seed': 3})
  tracker.write(5, 'train', {'bpc': 2.0, 'loss': 1.5})
  tracker.show(5, 'text', 'a < b')
  tracker.show(5, 'kernel', png.getvalue())
  tracker.close()
  begun, scalars, text, picture, finished = wandb.told
  assert begun['name'] == 'my_run' and begun['config'] == {'seed': 3}
  assert begun['dir'] == workdir and begun['project'] == 'hypernetworks'
  assert begun['settings']['reinit'] == 'create_new'  # others may be open
  assert scalars == {'step': 5, 'train/bpc': 2.0, 'train/loss': 1.5}
  assert text == {'step': 5, 'text': '<pre>a &lt; b</pre>'}
  assert picture['kernel'].size == (30, 20) and finished == 'finished'


def test_a_resumed_run_is_the_same_one(tmp_path, wandb):
  for name in ('one', 'one', 'other'):
    trackers.WandB(str(tmp_path / name), {})
  one, again, other = (given['id'] for given in wandb.told)
  assert one == again != other


@pytest.mark.parametrize('is_first', [True, False])
def test_only_the_first_process_is_tracked(is_first, tmp_path, monkeypatch):
  monkeypatch.setattr(loop.processes, 'is_first', lambda: is_first)
  made = []
  given = Toy, config_of(), str(tmp_path), ''
  loop.train(*given, kept=KEPT, trackers=[lambda *told: made.append(told)])
  assert len(made) == is_first


def test_one_that_does_not_end_holds_no_run(monkeypatch, caplog):
  release = threading.Event()

  class Stuck:
    def close(self):
      release.wait()

  monkeypatch.setattr(observers, 'SECONDS', 0.05)
  observers.Observers(Stuck).close()
  release.set()
  assert 'Stuck failed; ' in caplog.text
  assert 'it has not closed after 0.05 s' in caplog.text


def test_a_package_that_is_missing_is_named(monkeypatch):
  monkeypatch.setattr(trackers.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ValueError, match='pip install wandb'):
    trackers.find(['wandb'])
  assert trackers.find([]) == []


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['offline', 'online'])
def test_the_real_one(mode, tmp_path):
  pytest.importorskip('wandb')
  environment = os.environ | {'WANDB_MODE': mode, 'HOME': str(tmp_path)}
  environment['WANDB_BASE_URL'] = 'http://127.0.0.1:9'  # nothing listens there
  environment.pop('WANDB_API_KEY', None)
  done = subprocess.run(
    [sys.executable, '-c', RUN, str(tmp_path / 'run')],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env=environment,
    stdin=subprocess.DEVNULL,
    timeout=240,
  )
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'run' / 'checkpoints' / '8').is_dir()
  files = list((tmp_path / 'run' / 'wandb').glob('*/*.wandb'))
  if mode == 'offline':
    assert b'best/distance' in files[0].read_bytes()
  else:
    assert 'the run continues without it' in done.stderr
