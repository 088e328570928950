"""Image classification: sizes of the paper's networks, loss, augmentation."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax.traverse_util import flatten_dict

from hyper.runs import folder, training
from hyper.tasks.classify import (
  Classify,
  crops_by_selection,
  crops_by_slices,
  half_squares,
  random_crop,
  random_flip,
)


def make_task(name, variant='', **fields):
  config = importlib.import_module(f'configs.{name}').get_config(variant)
  config = config.unlock()
  config.update_from_flattened_dict(fields)
  return Classify(config.lock(), '', '')  # a network needs no data


@functools.cache
def shapes(name, variant=''):
  """Returns the shapes of the parameters of a config at its full size."""
  task = make_task(name, variant)
  return jax.eval_shape(task.init, jax.random.key(0))[0]


def test_parameter_counts_of_the_generators():
  parts = {
    ('cifar10_hyper_wrn', '40_1'): (75_920, 15_488),
    ('cifar10_hyper_wrn', '40_2'): (75_920, 61_824),
    ('mnist_hyper', ''): (4_240, 4),
  }
  for (name, variant), counts in parts.items():
    params = shapes(name, variant)
    found = [training.count_parameters(params[k]) for k in ('generator', 'z')]
    assert tuple(found) == counts
  params = shapes('mnist_coordinate')
  assert training.count_parameters(params['generator']) == 801


def test_all_36_kernels_are_generated_and_no_other():
  params = shapes('cifar10_hyper_wrn', '40_2')
  free = flatten_dict(params['network'], sep='/')
  assert [name for name in free if name.endswith('kernel')] == [
    'conv1/kernel',
    'softmax/kernel',
  ]
  assert sum(name.endswith('conv2/bias') for name in free) == 18


@pytest.fixture(scope='module')
def small():
  """Returns the task of a small generated network, its state, batch, loss."""
  task = make_task(
    'cifar10_hyper_wrn',
    'embedded',
    **{'model.blocks': 1, 'hypernetwork.embedding_size': 4},
    **{'hypernetwork.hidden_size': 4, 'l2_rate': 0.5},
  )
  params, model_state = jax.jit(task.init)(jax.random.key(0))
  rng = np.random.default_rng(0)
  batch = {
    'image': rng.integers(0, 256, (4, 28, 28, 1), dtype=np.uint8),
    'label': np.array([3, 1, 4, 1], np.int32),
    'mask': np.array([True, True, True, False]),
  }
  loss = jax.jit(task.loss, static_argnums=4)
  return task, params, model_state, batch, loss


def test_the_loss_is_cross_entropy_plus_l2_of_free_and_generated_kernels(small):
  task, params, model_state, batch, loss = small
  value, (state, sums) = loss(
    params, model_state, batch, jax.random.key(1), False
  )
  hypernetwork = task.hypernetwork
  collections = {k: {'network': x} for k, x in model_state.items()}
  images = batch['image'] / np.float32(255)
  logits = jax.jit(hypernetwork.apply, static_argnums=2)(
    {'params': params} | collections, images, False
  )
  nats = reference.cross_entropy(logits[:3], batch['label'][:3])
  np.testing.assert_allclose(sums['nats'], 3 * nats, rtol=1e-4)
  assert sums['count'] == 3
  baked = jax.jit(task.main_params)(params)
  kernels = {
    name: x
    for name, x in flatten_dict(baked, sep='/').items()
    if name.endswith('kernel')
  }
  assert len(kernels) == 1 + 6 + 1
  l2 = 0.5 * 0.5 * sum(np.square(x).sum() for x in kernels.values())
  np.testing.assert_allclose(value, nats + l2, rtol=1e-4)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, state, model_state))


def test_training_updates_the_batch_statistics(small):
  _, params, model_state, batch, loss = small
  _, (state, _) = loss(params, model_state, batch, jax.random.key(1), True)
  assert jax.tree.structure(state) == jax.tree.structure(model_state)
  for old, new in zip(
    jax.tree.leaves(model_state), jax.tree.leaves(state), strict=True
  ):
    assert np.any(np.asarray(old) != new)


def test_l2_spares_biases_norms_and_embeddings():
  params = {
    'conv': {'kernel': jnp.full((2, 3), 2.0), 'bias': jnp.ones(3)},
    'norm': {'scale': jnp.ones(3)},
  }
  assert half_squares(params) == 0.5 * 6 * 4


def test_images_are_standardised_by_channel():
  task = make_task('cifar10_wrn')
  images = jnp.full((1, 2, 2, 3), 51, jnp.uint8)
  found = task._standardise(images)
  wanted = (0.2 - np.array([0.4917, 0.4824, 0.4468])) / [0.247, 0.2435, 0.2616]
  np.testing.assert_allclose(found[0, 1, 1], wanted, rtol=1e-5)


def test_a_crop_is_a_window_of_the_padded_image():
  images = np.random.default_rng(0).normal(size=(64, 5, 6, 2)).astype('f')
  cropped = random_crop(jax.random.key(0), jnp.asarray(images), 2)
  padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
  places = [
    [
      (row, column)
      for row in range(5)
      for column in range(5)
      if np.array_equal(one, whole[row : row + 5, column : column + 6])
    ]
    for one, whole in zip(cropped, padded, strict=True)
  ]
  assert all(len(found) == 1 for found in places)
  rows, columns = np.transpose([found[0] for found in places])
  assert set(rows) == set(columns) == {0, 1, 2, 3, 4}


def test_both_ways_to_crop_agree():
  images = np.random.default_rng(0).normal(size=(16, 7, 9, 2)).astype('f')
  corners = np.random.default_rng(1).integers(0, 3, (16, 2)).astype('i')
  given = 5, 7, jnp.asarray(images), jnp.asarray(corners)
  np.testing.assert_array_equal(
    crops_by_slices(*given), crops_by_selection(*given)
  )


def test_half_of_the_images_are_mirrored():
  images = np.random.default_rng(0).normal(size=(200, 2, 3, 1)).astype('f')
  flipped = np.asarray(random_flip(jax.random.key(0), jnp.asarray(images)))
  kept = (flipped == images).all((1, 2, 3))
  mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
  assert np.all(kept ^ mirrored)
  assert 70 < kept.sum() < 130


def test_evaluation_neither_crops_nor_flips():
  task = make_task('cifar10_wrn', 'embedded', **{'data.flip': True})
  calls = []
  task._augment = lambda key, images: calls.append(1) or images
  args = jax.eval_shape(task.init, jax.random.key(0))
  batch = {
    'image': jnp.zeros((2, 28, 28, 1), jnp.uint8),
    'label': jnp.zeros(2, int),
    'mask': jnp.ones(2, bool),
  }
  for train, count in ((False, 0), (True, 1)):
    jax.eval_shape(
      lambda *args, train=train: task.loss(*args, train),
      *(*args, batch, jax.random.key(0)),
    )
    assert len(calls) == count


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'data.source': 'imagenet'}, "'imagenet'; allowed: mnist, cifar10"),
    ({'data.eval_batch_size': 0}, 'eval_batch_size is 0'),
    ({'data.mean': (0.5,)}, r'data.mean is \(0.5,\); cifar10 has 3 channels'),
    ({'data.deviation': (0.2, 0.0, 0.2)}, r'deviation is \(0.2, 0.0, 0.2\)'),
    ({'data.crop_padding': -1}, 'crop_padding is -1'),
    ({'l2_rate': -1.0}, r'l2_rate is -1.0'),
    ({'model.width': 0}, 'width is 0'),
    ({'hypernetwork.name': 'dynamic'}, 'allowed: coordinate, none, static'),
  ],
)
def test_bad_fields_are_errors_that_name_them(fields, message):
  with pytest.raises(ValueError, match=message):
    make_task('cifar10_wrn', **fields)


@pytest.mark.parametrize(
  'name', ['mnist_hyper', 'mnist_mlp', 'cifar10_hyper_wrn']
)
def test_the_network_follows_images_of_ones_own(name, tmp_path):
  rng = np.random.default_rng(0)
  np.savez(
    tmp_path / 'own.npz',
    x_train=rng.integers(0, 256, (40, 8, 12, 2), dtype=np.uint8),
    y_train=np.arange(40) % 3,
  )
  config = importlib.import_module(f'configs.{name}').get_config('images')
  config = config.unlock()
  config.data.path = 'own.npz'
  run = tmp_path / 'run'
  task = Classify(config, str(tmp_path), str(run))
  assert '8 x 12 x 2, 3 classes' in task.describe()[0]
  batch = next(task.batches('train', 0, 0))
  batch = {key: x[:4] for key, x in batch.items()}
  params, state = jax.eval_shape(task.init, jax.random.key(0))
  softmax = flatten_dict(params, sep='/')
  (kernel,) = [x for k, x in softmax.items() if k.endswith('softmax/kernel')]
  assert kernel.shape[-1] == 3
  jax.eval_shape(
    lambda *args: task.loss(*args, True),
    params,
    state,
    batch,
    jax.random.key(0),
  )
  (run / folder.CONFIG).touch()
  again = Classify(config, 'elsewhere', str(run))  # without the images
  assert again.kind == task.kind
  np.savez(
    tmp_path / 'own.npz',
    x_train=np.zeros((40, 8, 12, 2), np.uint8),
    y_train=np.arange(40) % 4,
  )
  changed = Classify(config, str(tmp_path), str(run))
  with pytest.raises(ValueError, match='of 4 classes; the network is for .* 3'):
    changed.describe()


def test_channels_are_standardised_as_measured(tmp_path):
  image = np.zeros((10, 2, 2, 3), np.uint8)
  image[..., 1], image[:5, ..., 2] = 51, 255
  np.savez(tmp_path / 'own.npz', x_train=image, y_train=np.arange(10) % 2)
  fields = {'data.path': 'own.npz', 'data.split': (0.8, 0.1, 0.1)}
  config = importlib.import_module('configs.mnist_mlp').get_config('images')
  config = config.unlock()
  config.update_from_flattened_dict(fields)
  task = Classify(config, str(tmp_path), str(tmp_path / 'run'))
  found = np.asarray(
    task._standardise(jnp.asarray(task._arrays('train')['image']))
  )
  np.testing.assert_allclose(found.mean((0, 1, 2)), 0, atol=1e-3)
  np.testing.assert_allclose(found.std((0, 1, 2)), (0, 0, 1), atol=1e-3)
