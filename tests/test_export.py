"""Trained networks as safetensors, and pictures of kernels."""

import dataclasses
import importlib
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from hyper import configuration, export, generate, trained, weights
from hyper.figures import kernels
from hyper.models.classify import WideResNet
from hyper.runs import folder, origin
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.checkpoint_arrays import copy_to_host
from hyper.runs.compiled import Compiled
from hyper.runs.origin import Origin
from hyper.tasks import make_task


def make_run(name, workdir, **fields):
  """Makes a run folder with the checkpoint of step 0."""
  config = importlib.import_module(f'configs.{name}').get_config('embedded')
  config.unlock().update_from_flattened_dict(fields)
  config.lock()
  task = make_task(config, f'{workdir}_data', workdir)
  state = Compiled(config, task).init(seed=0)
  folder.save_config(workdir, config)
  with Checkpoints(f'{workdir}/checkpoints', task.selection) as checkpoints:
    checkpoints.write(0, copy_to_host(state), {task.selection[0]: 1.0})
  return workdir


UNITS = {'model.cell.units': 4}
RUNS = {
  'hyper': (
    'cifar10_hyper_wrn',
    {'hypernetwork.embedding_size': 4, 'hypernetwork.hidden_size': 4},
  ),
  'plain': ('cifar10_wrn', {}),
  'coordinate': ('mnist_coordinate', {}),
  'convnet': ('mnist_cnn', {}),
  'text': ('ptb_hyperlstm', UNITS | {'model.cell.hyper_units': 3}),
  'pen': ('iam_lstm', UNITS),
  'translation': ('nmt_lstm', UNITS),
}


class Runs(dict):
  """Holds the folders of RUNS, each made when it is first used."""

  def __init__(self, root):
    self.root = root

  def __missing__(self, name):
    config, fields = RUNS[name]
    self[name] = make_run(config, str(self.root / name), **fields)
    return self[name]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp('runs'))


@pytest.fixture(scope='module')
def images():
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.normal(size=(2, 28, 28, 1)), 'f')


@pytest.mark.slow
def test_a_baked_run_loads_into_the_plain_network(runs, images, tmp_path):
  path = str(tmp_path / 'x.safetensors')
  export.export(runs['hyper'], path, baked=True)
  main = WideResNet(blocks=1)  # nothing of a hypernetwork from here on
  like = jax.eval_shape(lambda: main.init(jax.random.key(0), images))
  found = jax.jit(main.apply)(weights.load(path, like), images)
  module, variables = trained.network(trained.load(runs['hyper']))
  assert 'network' in variables['batch_stats']
  apply = jax.jit(module.apply, static_argnums=2)
  wanted = apply(variables, images, False)
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_plain_run_is_the_same_baked_or_not(runs):
  run = trained.load(runs['plain'])
  found = [trained.network(run, baked)[1] for baked in (True, False)]
  assert jax.tree.all(jax.tree.map(np.array_equal, *found))


@pytest.mark.parametrize(
  'name, baked',
  [
    *(('hyper', True), ('text', False)),
    *(
      pytest.param(name, False, marks=pytest.mark.slow)
      for name in ('hyper', 'convnet', 'pen', 'translation')
    ),
  ],
)
def test_a_file_gives_module_and_variables_without_the_run(
  runs, tmp_path, name, baked
):
  path = str(tmp_path / 'x.safetensors')
  export.export(runs[name], path, baked=baked)
  run = trained.load(runs[name])
  wanted = trained.network(run, baked)
  module, variables = trained.load_network(path)
  assert module == wanted[0]
  assert jax.tree.all(jax.tree.map(np.array_equal, variables, wanted[1]))
  text = weights.load_text(path)
  assert configuration.from_json(text['config']) == run.config
  kept = {
    'text': 'vocabulary.json',
    'pen': 'normalisation.json',
    'translation': 'word_pieces.json',
  }
  files = {kept[name]} if name in kept else set()
  told = {'config', 'step', 'commit', 'scores', 'baked'}
  assert text.keys() == told | files
  for file in files:
    with open(f'{runs[name]}/{file}', encoding='utf-8') as original:
      assert text[file] == original.read()


EVERY_TASK = pytest.mark.parametrize(
  'name',
  [
    *('hyper', 'text'),
    *(
      pytest.param(name, marks=pytest.mark.slow)
      for name in ('coordinate', 'convnet', 'pen', 'translation')
    ),
  ],
)


@EVERY_TASK
def test_a_file_is_as_good_as_its_run(runs, tmp_path, name):
  path = str(tmp_path / 'x.safetensors')
  export.export(runs[name], path)
  run, found = trained.load(runs[name]), trained.load(path)
  assert found.workdir == str(tmp_path)
  assert (found.step, found.config) == (run.step, run.config)
  wanted = trained.network(run)
  module, variables = trained.network(found)
  assert module == wanted[0]
  assert jax.tree.all(jax.tree.map(np.array_equal, variables, wanted[1]))
  changed = trained.load(path, changes=['optimizer.beta1=0.5'])
  assert changed.config.optimizer.beta1 == 0.5


def test_text_is_drawn_from_a_file(runs, tmp_path):
  path = str(tmp_path / 'x.safetensors')
  export.export(runs['text'], path)
  drawn = [''.join(generate.text(x, length=9)) for x in (path, runs['text'])]
  assert drawn[0] == drawn[1]


def test_several_texts_are_drawn_at_once(runs):
  found = generate.texts(runs['text'], 3, prompt='the ', length=40)
  assert len(found) == len({*found}) == 3
  coldest = generate.texts(runs['text'], 2, length=20, temperature=0.0)
  alone = ''.join(generate.text(runs['text'], length=20, temperature=0.0))
  assert coldest == [alone, alone]


@pytest.mark.parametrize(
  'text, kind, message',
  [
    ({'vocabulary.json': None}, FileNotFoundError, 'but no vocabulary.json'),
    ({'vocabulary.json': '{}'}, ValueError, r'/vocabulary.json is damaged'),
    ({'step': 'x'}, ValueError, ' cannot be used: invalid literal for int'),
  ],
)
def test_errors_of_a_file_name_it(runs, tmp_path, text, kind, message):
  path = str(tmp_path / 'x.safetensors')
  export.export(runs['text'], path)
  changed = weights.load_text(path) | text
  kept = {name: x for name, x in changed.items() if x is not None}
  weights.save(weights.load(path), path, kept)
  with pytest.raises(kind, match=message) as error:
    trained.load(path)
  assert path in str(error.value) and '/tmp/tmp' not in str(error.value)


@pytest.mark.parametrize(
  'given', ['data.batch=1', 'model.cell.units=x', 'data.window_steps=0']
)
def test_a_file_is_not_blamed_for_a_field_that_is_replaced(
  runs, tmp_path, given
):
  path = str(tmp_path / 'x.safetensors')
  export.export(runs['text'], path)
  for place in (path, runs['text']):
    with pytest.raises(ValueError) as error:
      trained.load(place, changes=[given])
    assert given.split('=')[0] in str(error.value)
    assert str(place) not in str(error.value)


def test_what_a_file_does_not_have_is_named(runs, tmp_path):
  path = str(tmp_path / 'x.safetensors')
  export.export(runs['hyper'], path)
  message = f"^{path} is a run of the task 'classify'; a run of 'char_lm' is"
  with pytest.raises(ValueError, match=message):
    trained.load(path, task='char_lm')
  with pytest.raises(ValueError, match=f'{path} has step 0, not 7'):
    trained.load(path, 7)
  with pytest.raises(ValueError, match=f'{path} has been exported already'):
    export.export(path, str(tmp_path / 'y.safetensors'))
  export.export(runs['hyper'], path, baked=True)
  with pytest.raises(ValueError, match=f'{path} has .* kernels are baked'):
    trained.load(path)


@EVERY_TASK
def test_a_run_of_every_task_begins_with_a_file(runs, tmp_path, name):
  path = str(tmp_path / 'x.safetensors')
  export.export(runs[name], path)
  run = trained.load(runs[name])
  nothing = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), run.params)
  for place in (path, runs[name]):
    given = Origin(place), runs[name], run.config.task, run.task.selection
    params, line = origin.begin(nothing, *given)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, run.params))
    assert line['init_from']['step'] == 0


def test_a_file_tells_the_scores_and_the_commit_of_its_step(runs, tmp_path):
  workdir = shutil.copytree(runs['convnet'], tmp_path / 'run')
  starts = [{'step': 0, 'commit': 'first'}, {'step': 7, 'commit': 'later'}]
  lines = [
    {'step': 0, 'split': split, 'time': 1.0, 'error': error}
    for split, error in (('train', 8.0), ('validation', 9.0))
  ]
  lines.append(lines[1] | {'step': 7})
  scored = {'checkpoint': 0, 'split': 'test', 'error': 7.0, 'data': 'a'}
  differs = {'checkpoint': 7}, {'set': ['l2_rate=0.1']}, {'other_data': True}
  others = [scored | {'error': 6.0} | x for x in (*differs, {'split': None})]
  tables = {'starts': starts, 'metrics': lines}
  for name, entries in (tables | {'evaluations': [scored, *others]}).items():
    text = ''.join(json.dumps(x) + '\n' for x in entries)
    (workdir / f'{name}.jsonl').write_text(text)
  path = str(tmp_path / 'x.safetensors')
  export.export(str(workdir), path)
  text = weights.load_text(path)
  wanted = {'validation': {'error': 9.0}, 'test': {'error': 7.0}}
  assert json.loads(text['scores']) == wanted
  assert (text['commit'], text['step']) == ('first', '0')
  run = trained.load(str(workdir))
  for step, commit in ((3, 'first'), (7, 'first'), (8, 'later')):
    later = dataclasses.replace(run, step=step)
    assert export.describe(later, False)['commit'] == commit


RESULTS = pathlib.Path(__file__).parent.parent / 'results'


@pytest.mark.parametrize(
  'path', sorted(map(str, RESULTS.rglob('*.safetensors'))) or ['none']
)
def test_published_weights_are_networks(path, images):
  module, variables = trained.load_network(path)
  scores = json.loads(weights.load_text(path)['scores'])
  if 'mnist' in path:
    assert module.apply(variables, images, False).shape == (2, 10)
    assert scores['validation']['error'] < 1
  else:
    symbols = jnp.array([[0, 1, 2]])
    _, logits = module.apply(variables, module.zeros(1), symbols)
    assert logits.shape == (1, 3, 50)
    assert scores['validation']['bpc'] < 1.33


def test_a_file_without_a_config_says_how_it_can_be_read(tmp_path):
  path = str(tmp_path / 'x.safetensors')
  weights.save({'params': {'a': np.ones(9, 'f')}}, path)
  assert weights.load_text(path) == {}
  with pytest.raises(ValueError, match='load it with hyper.weights.load'):
    trained.load_network(path)


def test_a_folder_is_no_file_and_the_error_says_what_reads_it(tmp_path):
  for read in (trained.load_network, weights.load, weights.load_text):
    with pytest.raises(IsADirectoryError) as error:
      read(str(tmp_path))
    for part in (f'{tmp_path} is a folder', 'trained.load', 'hyper.export'):
      assert part in str(error.value)


BARE = {'step': '0', 'baked': 'false'}


@pytest.mark.parametrize(
  'text, message',
  [
    ({'config': '{}'}, 'does not say of which network it is'),
    (BARE | {'config': '{"task": '}, 'cannot be used: Expecting'),
    (BARE | {'config': '{}'}, "cannot be used: .*no field 'task'"),
  ],
)
def test_a_file_without_a_sound_config_is_named(text, message, tmp_path):
  path = str(tmp_path / 'x.safetensors')
  weights.save({'params': {'a': np.ones(9, 'f')}}, path, text)
  for read in (trained.load_network, trained.load):
    with pytest.raises(ValueError, match=f'{path} {message}'):
      read(path)


def test_only_image_classifiers_are_baked(runs, tmp_path):
  with pytest.raises(ValueError, match="of the task 'char_lm'; only the"):
    export.export(runs['text'], str(tmp_path / 'x.safetensors'), baked=True)
  assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize('content', [b'', b'no tensors at all', None])
def test_a_damaged_file_is_named(content, tmp_path):
  path = tmp_path / 'x.safetensors'
  weights.save({'params': {'a': np.ones(9, 'f')}}, str(path))
  path.write_bytes(path.read_bytes()[:-1] if content is None else content)
  with pytest.raises(ValueError, match='no whole safetensors file') as error:
    weights.load(str(path))
  assert str(path) in str(error.value)


def test_a_file_of_another_network_lists_what_differs(tmp_path):
  path = str(tmp_path / 'x.safetensors')
  weights.save({'params': {'a': np.ones(9, 'f'), 'b': np.ones(2, 'f')}}, path)
  like = {'params': {'a': np.ones(8, 'f'), 'c': np.ones(2, 'f')}}
  with pytest.raises(ValueError) as error:
    weights.load(path, like)
  for line in (
    "params/a: ((9,), 'float32'), not ((8,), 'float32')",
    "params/b: ((2,), 'float32'), not wanted",
    "params/c: absent, not ((2,), 'float32')",
  ):
    assert line in str(error.value)


def test_only_image_classifiers_have_kernels(runs, tmp_path):
  with pytest.raises(ValueError, match="of the task 'char_lm'"):
    kernels.draw([runs['text']], str(tmp_path / 'x.png'))


@pytest.mark.slow
def test_kernels_free_and_generated_are_drawn_side_by_side(runs, tmp_path):
  both = [runs['plain'], runs['hyper']]
  path = tmp_path / 'x.png'
  kernels.draw(both, str(path))
  assert path.read_bytes().startswith(b'\x89PNG')
  plain, hyper = (kernels.Run(run, '', 'best') for run in both)
  assert not plain.generated and len(hyper.generated) == 6
  assert kernels.choose([plain, hyper], []) == [
    *('conv2_1/conv1/kernel', 'conv3_1/conv1/kernel'),
    *('conv3_1/conv2/kernel', 'conv4_1/conv1/kernel'),
    'conv4_1/conv2/kernel',
  ]
  assert kernels.choose([plain], ['conv1/*']) == ['conv1/kernel']
  _, variables = trained.network(trained.load(runs['hyper']), baked=True)
  baked = variables['params']
  for name, kernel in hyper.kernels.items():
    np.testing.assert_array_equal(kernel, flatten_dict(baked, sep='/')[name])
  for patterns, asked in ([], 'that is generated'), (['conv1/*', 'x'], 'x'):
    message = f'no kernel {asked}; name one with --kernel, of: conv1/'
    with pytest.raises(ValueError, match=message):
      kernels.draw([runs['plain']], str(path), patterns)


def test_filters_of_coordinates_are_a_grid_of_images(runs):
  run = kernels.Run(runs['coordinate'], 'a', 'best')
  assert run.generated == ['hidden/kernel']
  title, filters, _ = run.panel('hidden/kernel')
  assert title == 'a: hidden/kernel, generated'
  assert filters.shape == (28, 28, 16, 16)
  with pytest.raises(ValueError, match='it has: hidden/kernel, softmax/kernel'):
    run.panel('nothing')


def test_features_are_no_pixels(runs):
  run = kernels.Run(runs['convnet'], 'a', 'best')
  _, filters, labels = run.panel('softmax/kernel')  # of 784 features
  assert labels == ('input', 'unit') and filters.shape == (1, 1, 784, 10)


@pytest.mark.parametrize(
  'tree, message',
  [
    ({'a': (np.ones(2), np.ones(2))}, 'a tuple, not an array'),
    ({'a': {1: np.ones(2)}}, '1 is no string of UTF-8'),
  ],
)
def test_what_a_file_cannot_hold_is_refused(tree, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    weights.save(tree, str(tmp_path / 'x.safetensors'))
  assert not [*tmp_path.iterdir()]


def test_published_networks_have_the_commit_of_their_run():
  results = pathlib.Path(__file__).parents[1] / 'results'
  paths = [*results.glob('*/*.safetensors')]
  for path in paths:
    run = json.loads((path.parent / 'run.json').read_text('utf-8'))
    assert weights.load_text(str(path))['commit'] == run['commit'] != '', path
  assert paths
