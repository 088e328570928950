"""The flags of train.py: they begin, resume, lengthen or describe a run."""

import importlib
import pathlib
import types

import pytest
from absl import flags

import train
from configs import mnist_cnn
from hyper import configuration
from hyper.runs import folder
from hyper.runs.origin import Origin

FILES = sorted(
  path.stem
  for path in pathlib.Path(mnist_cnn.__file__).parent.glob('*_*.py')
  if path.stem != '__init__'
)


@pytest.fixture
def given(monkeypatch, tmp_path):
  """Replaces the flags by attributes of a namespace."""
  values = types.SimpleNamespace(
    config=None,
    workdir=str(tmp_path / 'run'),
    data_dir='data',
    set=[],
    describe_config=False,
    profile=False,
    coordinator='',
    num_processes=1,
    process_id=-1,
    tracker=[],
    init_from='',
    init_from_paths=[],
  )
  monkeypatch.setattr(flags, 'FLAGS', values)
  return values


@pytest.fixture
def trained(monkeypatch):
  """Returns a list of the arguments of train.train, which does not train."""
  calls = []
  monkeypatch.setattr(train, 'train', lambda *given: calls.append(given) or 0)
  return calls


def begin(workdir):
  config = mnist_cnn.get_config('embedded')
  pathlib.Path(workdir).mkdir()
  folder.save_config(workdir, config)
  return config


def test_a_folder_alone_resumes_its_run(given, trained):
  config = begin(given.workdir)
  assert train.main() == 0
  assert trained == [(config, given.workdir, 'data', False, None, [])]


def test_a_run_is_lengthened(given, trained):
  config = begin(given.workdir)
  given.set = ['train_steps=500', 'log_every_steps=7']
  train.main()
  ((found, *_),) = trained
  assert configuration.difference(config, found) == [
    'log_every_steps: 20 -> 7',
    f'train_steps: {config.train_steps} -> 500',
  ]
  folder.check_run(given.workdir, found)


def test_other_fields_are_refused_with_a_list_of_those_that_may_change(given):
  begin(given.workdir)
  given.set = ['seed=3']
  with pytest.raises(ValueError) as caught:
    folder.check_run(given.workdir, train.find_config())
  assert 'seed: 0 -> 3' in str(caught.value)
  assert 'Only train_steps, eval_every_steps, save_' in str(caught.value)


def test_a_config_takes_set_too(given, trained):
  given.config, given.set = mnist_cnn.get_config(), ['seed=3']
  train.main()
  assert trained[0][0].seed == 3 and given.config.seed == 0


@pytest.mark.parametrize(
  'more, message',
  [
    ({}, 'there is no run in .*run to resume; give the --config of a new one'),
    ({'workdir': None}, 'give --config for a new run, or the --workdir of a r'),
    (
      {'workdir': None, 'config': mnist_cnn.get_config()},
      'give --workdir, the',
    ),
  ],
)
def test_what_is_missing_is_asked_for(more, message, given, trained):
  vars(given).update(more)
  with pytest.raises(ValueError, match=message):
    train.main()
  assert trained == []


def test_a_mistyped_field_gets_the_nearest_names(given):
  given.config, given.set = mnist_cnn.get_config(), ['batch_sizes=3']
  with pytest.raises(ValueError) as caught:
    train.main()
  assert str(caught.value) == (
    "--set=batch_sizes=3: there is no field 'batch_sizes'. Did you mean "
    "'data.batch_size'?"
  )


@pytest.mark.parametrize('name', FILES)
def test_every_field_is_described(name):
  module = importlib.import_module(f'configs.{name}')
  for variant in module.VARIANTS:
    config = module.get_config(variant)
    fields = configuration.flatten(config)
    lines = train.describe(config)
    for line, (path, value) in zip(lines, fields.items(), strict=True):
      assert line.startswith(f'{path} ')
      text = line.partition(f' {value!r} ')[2]
      assert text.strip(), f'{name}:{variant}: {path} has no description'


def test_a_config_is_described_without_a_folder(given, trained, capsys):
  given.config, given.workdir = mnist_cnn.get_config(), None
  given.describe_config = True
  assert train.main() == 0 and trained == []
  lines = capsys.readouterr().out.splitlines()
  assert any('images in a training step' in line for line in lines)
  (line,) = (line for line in lines if line.startswith('optimizer.name'))
  assert line.endswith('one of adam, sgd')


def test_a_new_run_begins_with_parameters_of_another(given, trained):
  begin(given.workdir)
  given.init_from, given.init_from_paths = 'runs/a', ['cells_*']
  assert train.main() == 0
  assert trained[0][-2] == Origin('runs/a', ('cells_*',))
  given.init_from = ''
  with pytest.raises(ValueError, match='without --init_from'):
    train.main()
