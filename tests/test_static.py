"""Static hypernetworks against the equations of section 3.1.

The reference holds W_out as [f, N_out f, d] and B_out as [f, N_out f], each
filter being one f by f block; the package as [d, f, f, o] and [f, f, o]. Its
W_in is [N_in, d, N_z], the package's w_in [i, e, d].
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import linen as nn

from hyper.convnets import MnistConvnet
from hyper.static import (
  KernelGenerator,
  StaticHyperNetwork,
  assemble,
  grid,
)

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
    lambda x: rng.normal(size=x.shape).astype('f'), shapes_of(network, *args)
  )


def count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


def reference_weights(params):
  """Ours -> W_in, B_in, W_out, B_out of the reference."""
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
  z = np.random.default_rng(1).normal(size=(3, E)).astype('f')
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


def test_what_a_grid_covers_too_much_is_cut_at_the_end():
  whole = {'kernel': (F, F, 2 * I, 2 * O)}
  part = {'kernel': (F, F, 2 * I - 1, O + 1)}
  variables = randomised(around(whole))
  assert shapes_of(around(part))['params']['z'].shape == (4, E)
  full = around(whole).apply(variables)['kernel']
  cut = around(part).apply(variables)['kernel']
  np.testing.assert_array_equal(cut, full[..., : 2 * I - 1, : O + 1])


def test_several_kernels_share_a_generator_but_not_embeddings():
  network = around({'a': (F, F, I, O), 'b': (F, F, I, 2 * O)}, ('a', 'b'))
  variables = randomised(network)
  params = variables['params']
  assert params['z'].shape == (3, E)
  made = network.apply(variables)
  tiles = KernelGenerator(TILE, E, D).apply(
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
  made = network.apply(variables)['kernel']
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
  images = np.random.default_rng(1).normal(size=(2, 4, 4, 1)).astype('f')
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
  x = np.random.default_rng(1).normal(size=(4, 5, 5, I)).astype('f')
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
  network = around(
    {'kernel': (F, F, 200, 200)}, tile=tile, embedding_size=e, hidden_size=e
  )
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
  network = around({'kernel': (400, 400)}, tile=(1, 1), embedding_size=1)
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


@pytest.mark.parametrize('shape', [(5, 5, I, O), (I, O), (O,)])
def test_a_kernel_of_another_window_is_an_error(shape):
  with pytest.raises(ValueError, match='cannot be made of tiles'):
    grid(shape, TILE)
  with pytest.raises(ValueError, match='cannot be made of tiles'):
    shapes_of(around({'kernel': shape}))


def test_a_grid_is_as_small_as_covers_the_kernel():
  assert grid((F, F, I, O), TILE) == (1, 1)
  assert grid((F, F, I + 1, 2 * O), TILE) == (2, 2)
