"""Static hypernetworks against the equations of section 3.1.

The reference holds W_out as [f, N_out f, d] and B_out as [f, N_out f], each
filter being one f by f block; the package as [d, f, f, o] and [f, f, o]. Its
W_in is [N_in, d, N_z], the package's w_in [i, e, d].
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import linen as nn

from hyper import weights
from hyper.generators.grids import assemble, grid
from hyper.hypernetwork import EXAMPLES
from hyper.models.classify import MnistConvnet, WideResNet
from hyper.static import KernelGenerator, StaticHyperNetwork

F, I, O, E, D = 3, 2, 4, 5, 6  # noqa: E741
TILE = (F, F, I, O)


class Parameters(nn.Module):
  """A main network that returns its parameters."""

  shapes: dict[str, Any]

  @nn.compact
  def __call__(self):
    return {
      name: self.param(name, nn.initializers.ones, shape)
      for name, shape in self.shapes.items()
    }


class Normalised(nn.Module):
  """A convolution with batch norm."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.Conv(O, (F, F), name='conv')(x)
    return nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)


def around(shapes, generate=('kernel',), **options):
  main = shapes
  if isinstance(shapes, dict):
    main = Parameters({'free': (7,)} | shapes)
  options = {'tile': TILE, 'embedding_size': E, 'hidden_size': D} | options
  return StaticHyperNetwork(main, generate, **options)


def shapes_of(network, *args):
  return jax.eval_shape(lambda: network.init(jax.random.key(0), *args))


def randomised(network, *args):
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: jnp.asarray(rng.normal(size=x.shape), 'f'),
    shapes_of(network, *args),
  )


def count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


def reference_weights(params):
  """Converts ours into W_in, B_in, W_out and B_out of the reference."""
  d, f, _, o = params['w_out'].shape
  return (
    params['w_in'].transpose(0, 2, 1),
    params['b_in'],
    params['w_out'].transpose(1, 3, 2, 0).reshape(f, o * f, d),
    params['b_out'].transpose(0, 2, 1).reshape(f, o * f),
  )


def assert_close(x, y):
  np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-4)


def test_basic_kernels_equal_the_equations():
  generator = KernelGenerator(TILE, E, D)
  z = jnp.asarray(np.random.default_rng(1).normal(size=(3, E)), 'f')
  variables = randomised(generator, z)
  kernels = jax.jit(generator.apply)(variables, z)
  weights = reference_weights(variables['params'])
  assert kernels.shape == (3, *TILE)
  for kernel, embedding in zip(kernels, z, strict=True):
    assert_close(kernel, reference.static_kernel(embedding, *weights))


def test_a_grid_of_kernels_equals_equation_3():
  network = around({'kernel': (F, F, 2 * I, 3 * O)})
  variables = randomised(network)
  kernel = jax.jit(network.apply)(variables)['kernel']
  params = variables['params']
  wanted = reference.static_kernel_grid(
    params['z'], *reference_weights(params['generator']), rows=2, columns=3
  )
  assert_close(kernel, wanted)


def test_tiles_lie_row_by_row_input_blocks_down_output_blocks_across():
  tiles = jnp.arange(6.0)[:, None, None] * jnp.ones((6, I, O))
  kernel = assemble(tiles, (2 * I, 3 * O))
  np.testing.assert_array_equal(kernel[::I, ::O], [[0, 1, 2], [3, 4, 5]])
  np.testing.assert_array_equal(kernel[1::I, 3::O], [[0, 1, 2], [3, 4, 5]])


def test_tiles_past_the_end_of_a_parameter_are_cropped():
  whole = {'kernel': (F, F, 2 * I, 2 * O)}
  part = {'kernel': (F, F, 2 * I - 1, O + 1)}
  variables = randomised(around(whole))
  assert shapes_of(around(part))['params']['z'].shape == (4, E)
  full, cut = (
    jax.jit(around(x).apply)(variables)['kernel'] for x in (whole, part)
  )
  np.testing.assert_array_equal(cut, full[..., : 2 * I - 1, : O + 1])


def test_several_kernels_share_a_generator_but_not_embeddings():
  network = around({'a': (F, F, I, O), 'b': (F, F, I, 2 * O)}, ('a', 'b'))
  variables = randomised(network)
  params = variables['params']
  assert params['z'].shape == (3, E)
  made = jax.jit(network.apply)(variables)
  tiles = jax.jit(KernelGenerator(TILE, E, D).apply)(
    {'params': params['generator']}, params['z']
  )
  assert_close(made['a'], tiles[0])
  assert_close(made['b'], np.concatenate([tiles[1], tiles[2]], -1))
  free = {k: x for k, x in params.items() if k not in ('z', 'generator')}
  assert [x.shape for x in jax.tree.leaves(free)] == [(7,)]
  np.testing.assert_array_equal(made['free'], jax.tree.leaves(free)[0])


def test_every_parameter_may_be_generated():
  network = StaticHyperNetwork(Parameters({'a': TILE}), ('a',), TILE, E)
  assert network.apply(randomised(network))['a'].shape == TILE


def test_dense_kernels_have_an_empty_window():
  network = around({'kernel': (2 * I, O)}, tile=(I, O))
  variables = randomised(network)
  made = jax.jit(network.apply)(variables)['kernel']
  params = variables['params']
  g = params['generator']
  rows = [
    (z @ g['w_in'][i] + g['b_in'][i]) @ g['w_out'] + g['b_out']
    for z in params['z']
    for i in range(I)
  ]
  assert_close(made, np.stack(rows))


def mnist(generated):
  main = MnistConvnet()
  if not generated:
    return main
  return StaticHyperNetwork(
    main, ('conv2/kernel',), tile=(7, 7, 16, 16), embedding_size=4
  )


def test_parameter_counts_of_the_mnist_networks():
  images = jnp.zeros((1, 28, 28, 1))
  assert count(shapes_of(mnist(False), images)) == 21_210
  params = shapes_of(mnist(True), images)['params']
  assert count(params) == 12_910
  assert count([params['z'], params['generator']]) == 4_244


def test_a_generated_network_is_the_main_one_with_that_kernel():
  network = mnist(True)
  images = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4, 4, 1)), 'f')
  variables = jax.tree.map(lambda x: 0.1 * x, randomised(network, images))
  params = dict(variables['params'])
  z, generator = params.pop('z'), params.pop('generator')
  (free,) = params.values()
  kernel = reference.static_kernel(z[0], *reference_weights(generator))
  free = free | {'conv2': free['conv2'] | {'kernel': kernel.astype('f')}}
  wanted = jax.jit(mnist(False).apply)({'params': free}, images)
  assert np.abs(wanted).max() > 0.1
  assert_close(jax.jit(network.apply)(variables, images), wanted)


def test_every_parameter_is_trained():
  network = around({'kernel': (F, F, 2 * I, O)})
  variables = randomised(network)

  @jax.jit
  @jax.grad
  def gradient(variables):
    made = jax.tree.leaves(network.apply(variables))
    return sum(jnp.sum(x**2) for x in made)

  gradients = jax.tree.leaves_with_path(gradient(variables))
  assert len(gradients) == 6
  for path, x in gradients:
    assert np.all(x != 0), path


def test_batch_norm_works_in_a_main_network():
  network = around(Normalised(), ('conv/kernel',))
  x = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5, 5, I)), 'f')
  init = jax.jit(network.init, static_argnums=2)
  variables = init(jax.random.key(0), x, True)
  assert set(variables) == {'params', 'batch_stats'}
  apply = jax.jit(
    lambda variables: network.apply(variables, x, True, mutable=['batch_stats'])
  )
  y, changed = apply(variables)
  np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
  before, after = (
    jax.tree.leaves(tree['batch_stats']) for tree in (variables, changed)
  )
  for old, new in zip(before, after, strict=True):
    assert np.all(np.asarray(old) != new)
  for _ in range(40):
    y, changed = apply(variables | changed)
  still = network.apply(variables | changed, x, False)
  np.testing.assert_allclose(still, y, atol=1e-2)


def test_initial_deviations_are_the_notebooks():
  e, tile = 40, (F, F, 20, 20)
  sizes = {'tile': tile, 'embedding_size': e, 'hidden_size': e}
  shapes = {'kernel': (F, F, 200, 200)}
  network = around(shapes, initialisation='notebook', **sizes)
  params = jax.jit(network.init)(jax.random.key(0))['params']
  z = params['z']
  assert z.shape == (100, e)
  assert abs(z.mean() - 0.01) < 5 * 0.88 / z.size**0.5
  assert abs(z.std() - 0.88) < 0.04
  assert np.abs(z - 0.01).max() < 2.0001
  for name in ('w_in', 'w_out'):
    w = params['generator'][name]
    assert abs(w.std() - 0.0088) < 3e-4
    assert abs(w.mean()) < 5e-4
    assert 0.019 < np.abs(w).max() < 0.02001
  for name in ('b_in', 'b_out'):
    np.testing.assert_array_equal(params['generator'][name], 0)


def test_a_mean_embedding_would_be_seen():
  # The mean of 0.01 is below the noise of few embeddings: take many.
  options = {'tile': (1, 1), 'embedding_size': 1, 'initialisation': 'notebook'}
  network = around({'kernel': (400, 400)}, **options)
  z = jax.jit(network.init)(jax.random.key(1))['params']['z']
  assert abs(z.mean() - 0.01) < 0.006


def test_the_hidden_size_is_the_embedding_size_by_default():
  params = shapes_of(around({'kernel': TILE}, hidden_size=0))['params']
  assert params['generator']['w_in'].shape == (I, E, E)


def test_a_pattern_without_a_match_is_an_error_that_lists_the_paths():
  network = around(Normalised(), ('conv/kernel', 'conv9/*'))
  x = jnp.zeros((1, 5, 5, I))
  with pytest.raises(ValueError) as error:
    shapes_of(network, x, True)
  for text in ("'conv9/*'", 'Normalised', 'conv/bias, conv/kernel'):
    assert text in str(error.value)


def test_patterns_match_whole_paths():
  shapes = {'a': TILE, 'ab': TILE}
  assert shapes_of(around(shapes, ('a',)))['params']['z'].shape == (1, E)
  assert shapes_of(around(shapes, ('a*',)))['params']['z'].shape == (2, E)


@pytest.mark.parametrize(
  'shape, tile, across',
  [
    ((5, 4, I, O), TILE, (2, 2, 1, 1)),  # a larger window
    ((1, 2, I, O), TILE, (1, 1, 1, 1)),  # a smaller one
    ((5, 2 * O), TILE, (1, 1, 3, 2)),  # a dense layer of tiles with a window
    ((5, 3, I, O), (I, O), (5, 3, 1, 1)),  # a convolution of tiles without
    ((3 * O,), TILE, (1, 1, 1, 3)),  # a bias
  ],
)
def test_a_parameter_of_any_shape_is_covered_from_its_corner(
  shape, tile, across
):
  assert grid(shape, tile) == across
  tiles = np.arange(np.prod(across) * np.prod(tile)).reshape(-1, *tile)
  rank = len(across)
  whole = tiles.reshape(*across, *(1,) * (rank - len(tile)), *tile)
  made = assemble(jnp.asarray(tiles), shape)
  assert made.shape == shape
  aligned = made.reshape(*(1,) * (rank - len(shape)), *shape)
  size = whole.shape[rank:]
  for place in np.ndindex(*aligned.shape):
    block = [k // n for k, n in zip(place, size, strict=True)]
    inside = [k % n for k, n in zip(place, size, strict=True)]
    assert aligned[place] == whole[(*block, *inside)]


def test_a_grid_is_as_small_as_covers_the_kernel():
  assert grid((F, F, I, O), TILE) == (1, 1, 1, 1)
  assert grid((F, F, I + 1, 2 * O), TILE) == (1, 1, 2, 2)


def test_he_initialisation_gives_every_kernel_he_variance():
  # In expectation, so over many seeds: a single tile of one seed varies.
  shapes = {
    'conv': (3, 3, 16, 16),
    'wide': (3, 3, 64, 64),
    'uneven': (3, 3, 24, 40),
    'dense': (40, 30),
  }
  network = StaticHyperNetwork(Parameters(shapes), ('*',), (3, 3, 16, 16), 64)
  keys = jax.random.split(jax.random.key(0), 24)
  kernels = jax.jit(jax.vmap(lambda key: network.init_with_output(key)[0]))(
    keys
  )
  for name, shape in shapes.items():
    fan_in = np.prod(shape[:-1])
    squares = np.square(kernels[name]).mean(tuple(range(1, len(shape) + 1)))
    assert abs(squares.mean() * fan_in / 2 - 1) < 0.15, name
    assert squares.min() * fan_in / 2 > 0.4 and squares.max() * fan_in / 2 < 2
    assert abs(kernels[name].mean()) < 0.05 * np.sqrt(2 / fan_in), name


@pytest.mark.slow
def test_the_notebook_initialisation_would_not_reach_he_variance():
  network = StaticHyperNetwork(
    Parameters({'a': (3, 3, 16, 16)}),
    ('a',),
    (3, 3, 16, 16),
    64,
    initialisation='notebook',
  )
  kernel = jax.jit(network.init_with_output)(jax.random.key(0))[0]['a']
  assert kernel.std() < 0.1 * np.sqrt(2 / 144)


@pytest.mark.parametrize(
  'options, message',
  [
    ({'initialisation': 'xavier'}, "'xavier'; allowed: he, notebook"),
    ({'tile': (16,)}, r'tile is \(16,\)'),
    ({'tile': (3, 3, 0, 16)}, 'all positive'),
    ({'embedding_size': 0}, 'embedding_size is 0; it must be'),
    ({'hidden_size': -4}, 'hidden_size is -4'),
    ({'generate': ()}, r'generate is \(\); it is a tuple'),
    ({'generate': 'kernel'}, "generate is 'kernel'; it is a tuple"),
  ],
)
def test_bad_options_are_errors(options, message):
  with pytest.raises(ValueError, match=message):
    around({'kernel': TILE}, **options)


@pytest.mark.parametrize(
  'name, size', [('tile', (2.5,) * 4), ('hidden_size', 2.5)]
)
def test_sizes_that_are_no_integers_are_errors(name, size):
  # A TypeError where the annotations are checked.
  with pytest.raises((ValueError, TypeError), match=r'2\.5'):
    around({'kernel': TILE}, **{name: size})


def test_a_generator_alone_checks_its_options_too():
  with pytest.raises(ValueError, match="'xavier'; allowed"):
    KernelGenerator(TILE, E, D, 'xavier')
  with pytest.raises(ValueError, match='hidden_size is 0'):
    KernelGenerator(TILE, E, 0)


def test_a_network_without_parameters_is_an_error():
  network = StaticHyperNetwork(nn.Sequential([nn.relu]), ('*',), (2, 2), 3)
  with pytest.raises(ValueError, match=r"'\*', which matches no parameter"):
    network.init(jax.random.key(0), jnp.ones((1, 2)))


class VisionTransformer(nn.Module):
  """A small transformer with attention written out: dense layers, norms."""

  @nn.compact
  def __call__(self, images, train):
    x = nn.Conv(8, (4, 4), 4, name='patches')(images)
    x = x.reshape(len(x), -1, 8)
    y = nn.LayerNorm()(x)
    q, k, v = (nn.Dense(8, name=name)(y) for name in 'qkv')
    y = jax.nn.softmax(q @ k.mT / 8**0.5) @ v
    x = x + nn.Dropout(0.5, deterministic=not train)(y)
    x = x + nn.Dense(8, name='down')(
      jax.nn.gelu(nn.Dense(20, name='up')(nn.LayerNorm()(x)))
    )
    return nn.Dense(10, name='out')(x.mean(1))


NETWORKS = {
  'convnet': (MnistConvnet(), ('conv2/kernel',), (7, 7, 16, 16), 8),
  'wide_resnet': (WideResNet(1, 2), ('conv[234]_*/kernel',), (3, 3, 16, 16), 8),
  'transformer': (VisionTransformer(), ('*/kernel',), (8, 8), 8),
}


@pytest.fixture(
  scope='module',
  params=[
    'convnet',
    pytest.param('wide_resnet', marks=pytest.mark.slow),
    pytest.param('transformer', marks=pytest.mark.slow),
  ],
)
def example(request):
  """Returns a main network, its hypernetwork, random variables, and images."""
  main, generate, tile, size = NETWORKS[request.param]
  network = StaticHyperNetwork(main, generate, tile, embedding_size=3)
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.normal(size=(3, size, size, 1)), 'f')
  init = jax.jit(network.init, static_argnums=2)
  variables = init(jax.random.key(0), images, False)
  variables = jax.tree.map(
    lambda x: x + 0.1 * jnp.asarray(rng.uniform(size=x.shape), 'f'), variables
  )
  return main, network, variables, images


def bake(network, variables, *args, **kwargs):
  return jax.jit(lambda variables: network.bake(variables, *args, **kwargs))(
    variables
  )


@pytest.mark.slow
def test_a_baked_network_is_the_plain_one_with_the_same_outputs(example):
  main, network, variables, images = example
  baked = bake(network, variables, images, False)
  plain = jax.eval_shape(lambda: main.init(jax.random.key(0), images, False))
  assert jax.tree.map(jnp.shape, baked) == jax.tree.map(jnp.shape, plain)
  wanted = jax.jit(network.apply, static_argnums=2)(variables, images, False)
  found = jax.jit(main.apply, static_argnums=2)(baked, images, False)
  assert np.ptp(wanted) > 0.01
  np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_baked_tree_may_be_donated():
  network = around({'kernel': TILE})
  variables = jax.tree.map(jnp.asarray, randomised(network))
  for x in jax.tree.leaves(network.bake(variables)):
    x.delete()  # as donation would
  assert not any(x.is_deleted() for x in jax.tree.leaves(variables))


def test_safetensors_keep_a_hypernetwork_and_its_baked_form(example, tmp_path):
  _, network, variables, images = example
  baked = bake(network, variables, images, False)
  for name, tree in {'trained': variables, 'baked': baked}.items():
    path = str(tmp_path / 'new' / f'{name}.safetensors')
    weights.save(tree, path)
    again = weights.load(path, like=tree)
    assert jax.tree.structure(again) == jax.tree.structure(dict(tree))
    for x, y in zip(jax.tree.leaves(again), jax.tree.leaves(tree), strict=True):
      assert x.dtype == y.dtype
      np.testing.assert_array_equal(x, y)
  with pytest.raises(ValueError, match='of another network(.|\n)*params/'):
    weights.load(path, like=variables)


def test_every_generated_parameter_gets_a_gradient(example):
  _, network, variables, images = example

  @jax.jit
  @jax.grad
  def gradient(params):
    rest = {k: x for k, x in variables.items() if k != 'params'}
    logits, _ = network.apply(
      {'params': params} | rest,
      images,
      True,
      mutable=list(rest),
      rngs={'dropout': jax.random.key(1)},
    )
    return jnp.sum(logits**2)

  gradients = gradient(variables['params'])
  assert np.all(np.abs(gradients['z']).max(-1) > 0)
  for x in jax.tree.leaves(gradients['generator']):
    assert np.abs(x).max() > 0


def layers():
  return nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(6)])


class Holder(nn.Module):
  """Makes layers, and a hypernetwork around them, while it is called."""

  @nn.compact
  def __call__(self, x):
    return StaticHyperNetwork(layers(), ('layers_*/kernel',), (2, 2), 3)(x)


@pytest.mark.parametrize('is_held', [False, True])
@pytest.mark.slow
def test_modules_that_are_attributes_are_part_of_the_main_network(is_held):
  x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), 'f')
  network = StaticHyperNetwork(layers(), ('layers_*/kernel',), (2, 2), 3)
  called = Holder() if is_held else network
  variables = jax.jit(called.init)(jax.random.key(0), x)
  params = variables['params']
  if is_held:
    assert set(params) == {'StaticHyperNetwork_0'}
    params = params['StaticHyperNetwork_0']
  assert set(params) == {'network', 'generator', 'z'}
  for k in ('layers_0', 'layers_2'):
    assert set(params['network'][k]) == {'bias'}
  baked = bake(network, {'params': params}, x)
  y = jax.jit(called.apply)(variables, x)
  found = jax.jit(layers().apply)(baked, x)
  np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-6)
  assert np.ptp(y) > 0.1


@pytest.mark.slow
def test_a_recurrent_network_of_another_library_can_be_generated():
  main = nn.RNN(nn.LSTMCell(4))
  x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)), 'f')
  network = StaticHyperNetwork(main, ('cell/h*/kernel',), (2, 2), 3)
  variables = jax.jit(network.init)(jax.random.key(0), x)
  assert set(network.tile_counts(x)) == {f'cell/h{k}/kernel' for k in 'figo'}

  @jax.jit
  @functools.partial(jax.grad, has_aux=True)
  def gradient(variables):
    y = network.apply(variables, x)
    return jnp.sum(y**2), y

  gradients, y = gradient(variables)
  found = jax.jit(main.apply)(bake(network, variables, x), x)
  np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-6)
  assert np.all(np.abs(gradients['params']['z']).max(-1) > 0)


def test_tile_counts_are_in_the_order_of_the_embeddings():
  shapes = {'b': (2 * I, O), 'a': (I, 2 * O), 'c': (I, O)}
  network = around(shapes, ('*[abc]',), tile=(I, O))
  assert list(network.tile_counts().items()) == [('a', 2), ('b', 2), ('c', 1)]
  z = np.zeros((5, E), 'f')
  z[2:4] = 1
  params = jax.jit(network.init)(jax.random.key(0), embeddings=z)
  made = jax.jit(network.apply)(params, embeddings=z)
  assert np.all(made['a'] == 0) and np.all(made['c'] == 0)
  assert np.all(made['b'] != 0)


class Halves(nn.Module):
  """Takes and returns nested trees."""

  @nn.compact
  def __call__(self, batch, *, more, factor):
    x = batch['x'] + factor * more
    y = nn.Dense(4, name='dense')(x)
    return {'y': y, 'mean': y.mean()}


@pytest.mark.slow
def test_arrays_in_trees_and_keywords_are_those_of_the_examples():
  network = StaticHyperNetwork(Halves(), ('dense/kernel',), (3, 4), 2)
  rng = np.random.default_rng(0)
  x, more = jnp.asarray(rng.normal(size=(2, 5, 3)), 'f')
  call = {'more': more, 'factor': 2.0}
  init = jax.jit(network.init, static_argnames='factor')
  apply = jax.jit(network.apply, static_argnames='factor')
  variables = init(jax.random.key(0), {'x': x}, **call)
  z = jnp.asarray(rng.normal(size=(5, 1, 2)), 'f')
  together = apply(variables, {'x': x}, embeddings=z, **call)
  assert together['mean'].shape == (5,)
  for n in range(5):
    one = slice(n, n + 1)
    alone = apply(
      *(variables, {'x': x[one]}),
      **{'more': more[one], 'factor': 2.0, 'embeddings': z[n]},
    )
    for name, y in alone.items():
      np.testing.assert_allclose(together[name][n], jnp.squeeze(y), rtol=1e-5)
  with pytest.raises(ValueError, match=r'4 examples.*\(5, 3\)'):
    network.apply(variables, {'x': x}, embeddings=z[:4], **call)


def test_without_arguments_every_example_gets_its_own_parameters():
  network = around({'kernel': TILE})
  z = jnp.asarray(np.random.default_rng(0).normal(size=(3, 1, E)), 'f')
  variables = jax.jit(network.init)(jax.random.key(0), embeddings=z[0])
  apply = jax.jit(network.apply)
  made = apply(variables, embeddings=z)['kernel']
  assert made.shape == (3, *TILE)
  alone = apply(variables, embeddings=z[1])['kernel']
  np.testing.assert_allclose(made[1], alone, rtol=1e-5)


class BatchNormed(nn.Module):
  """Applies batch norm, over all networks if `axis_name` is given."""

  axis_name: str | None

  @nn.compact
  def __call__(self, x):
    x = nn.Dense(4, name='dense')(x)
    self.sow('intermediates', 'x', x)
    return nn.BatchNorm(False, momentum=0.5, axis_name=self.axis_name)(x)


@pytest.mark.slow
def test_batch_norm_is_trained_over_networks_of_each_example():
  network = StaticHyperNetwork(
    BatchNormed(EXAMPLES), ('dense/kernel',), (3, 4), 2
  )
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(6, 3)), 'f')
  z = jnp.asarray(rng.normal(size=(6, 1, 2)), 'f')
  variables = jax.jit(network.init)(jax.random.key(0), x, embeddings=z)
  variables = {k: variables[k] for k in ('params', 'batch_stats')}
  apply = jax.jit(network.apply, static_argnames='mutable')
  mutable = ('batch_stats', 'intermediates')
  y, changed = apply(variables, x, embeddings=z, mutable=mutable)
  (inner,) = jax.tree.leaves(changed['intermediates'])
  inner = np.asarray(inner).reshape(6, 4)
  np.testing.assert_allclose(
    y, (inner - inner.mean(0)) / np.sqrt(inner.var(0) + 1e-5), atol=1e-4
  )
  stats = changed['batch_stats']['network']['BatchNorm_0']
  np.testing.assert_allclose(stats['mean'], inner.mean(0) / 2, atol=1e-5)
  alone = StaticHyperNetwork(BatchNormed(None), ('dense/kernel',), (3, 4), 2)
  with pytest.raises(ValueError, match="axis_name='examples'"):
    alone.apply(variables, x, embeddings=z, mutable=['batch_stats'])


@pytest.mark.slow
def test_deviations_replace_hes_and_vectors_start_near_zero():
  shapes = {'query': (64, 8, 8), 'out': (64, 64), 'scale': (640,)}
  network = StaticHyperNetwork(
    Parameters(shapes), ('*',), (8, 8), 64, deviations={'q*': 0.5}
  )
  made = jax.jit(lambda: network.init_with_output(jax.random.key(0))[0])()
  assert abs(made['query'].std() - 0.5) < 0.05
  assert abs(made['out'].std() - np.sqrt(2 / 64)) < 0.02
  assert 0 < made['scale'].std() < 0.03
  wrong = network.clone(deviations={'key': 1.0})
  with pytest.raises(ValueError, match="'key', which matches.*out, query"):
    wrong.init(jax.random.key(0))


@pytest.mark.slow
def test_generated_kernels_have_the_type_of_the_main_networks():
  main = nn.Dense(4, param_dtype=jnp.bfloat16)
  network = StaticHyperNetwork(main, ('kernel',), (2, 2), 3)
  x = jnp.ones((1, 3), jnp.bfloat16)
  key = jax.random.key(0)
  y, variables = jax.eval_shape(network.init_with_output, key, x)
  assert y.dtype == jax.eval_shape(main.init_with_output, key, x)[0].dtype
  baked = jax.eval_shape(network.bake, variables, x)['params']
  assert {k: w.dtype for k, w in baked.items()} == {
    'kernel': jnp.bfloat16,
    'bias': jnp.bfloat16,
  }


def test_parameters_may_carry_names_of_a_mesh():
  init = nn.with_partitioning(nn.initializers.ones, (None, 'model'))
  main = nn.Sequential([nn.Dense(4, kernel_init=init), nn.Dense(4)])
  network = StaticHyperNetwork(main, ('layers_1/kernel',), (2, 2), 3)
  x = jnp.ones((1, 3))
  variables = jax.jit(network.init)(jax.random.key(0), x)
  free = variables['params']['network']['layers_0']['kernel']
  assert free.names == (None, 'model')
  generated = network.clone(generate=('*/kernel',))
  variables = jax.jit(generated.init)(jax.random.key(0), x)
  assert jax.jit(generated.apply)(variables, x).shape == (1, 4)


@pytest.mark.slow
def test_eight_embeddings_are_eight_networks_in_one_call(example):
  main, network, variables, images = example
  k = sum(network.tile_counts(images, False).values())
  assert variables['params']['z'].shape == (k, 3)
  rng = np.random.default_rng(2)
  z = jnp.asarray(rng.normal(size=(8, k, 3)), 'f')
  images = jnp.asarray(rng.normal(size=(8, *images.shape[1:])), 'f')

  @jax.jit
  def call(z, images):
    return network.apply(variables, images, False, embeddings=z)

  together = call(z, images)
  one_by_one = [call(z[n], images[n : n + 1])[0] for n in range(8)]
  assert np.ptp(together, 0).max() > 0.01
  np.testing.assert_allclose(together, one_by_one, rtol=1e-4, atol=1e-5)
  baked = bake(network, variables, images, False, embeddings=z[5])
  found = jax.jit(main.apply, static_argnums=2)(baked, images[5:6], False)[0]
  np.testing.assert_allclose(together[5], found, rtol=1e-4, atol=1e-5)


def test_embeddings_given_as_input_are_no_parameter_and_are_scaled():
  network = around({'kernel': (F, F, 2 * I, O)})
  z = jnp.ones((2, E))
  init = jax.jit(lambda: network.init(jax.random.key(0), embeddings=z))
  params = init()['params']
  assert 'z' not in params
  generator = KernelGenerator(TILE, E, D)
  scale = np.sqrt(2 / (F * F * 2 * I))
  tiles = jax.jit(generator.apply)({'params': params['generator']}, scale * z)
  made = jax.jit(network.apply)({'params': params}, embeddings=z)['kernel']
  np.testing.assert_allclose(made[:, :, :I], tiles[0], rtol=1e-5)
  for shape in ((3, E), (2, E + 1), (1, 1, 2, E)):
    with pytest.raises(ValueError, match='this network takes'):
      network.apply({'params': params}, embeddings=jnp.ones(shape))
  with pytest.raises(ValueError, match='one network is baked'):
    network.bake({'params': params}, embeddings=jnp.ones((1, 2, E)))


@pytest.mark.slow
def test_hypernetworks_with_other_tiles_can_be_nested():
  main = Parameters({'conv': TILE, 'dense': (4, 6)})
  inner = StaticHyperNetwork(main, ('conv',), TILE, E)
  outer = StaticHyperNetwork(inner, ('network/dense',), (2, 2), E)
  variables = randomised(outer)
  assert variables['params']['z'].shape == (6, E)
  made = jax.jit(outer.apply)(variables)
  plain = bake(inner, bake(outer, variables))
  assert set(plain['params']) == {'conv', 'dense'}
  for name, x in made.items():
    np.testing.assert_allclose(plain['params'][name], x, rtol=1e-5)


def test_baking_needs_all_variables():
  x = jnp.ones((1, 3))
  network = StaticHyperNetwork(nn.Dense(4), ('kernel',), (2, 2), 2)
  variables = jax.jit(network.init)(jax.random.key(0), x)
  with pytest.raises(ValueError, match="but no 'params'; give what `init`"):
    network.bake(variables['params'], x)
