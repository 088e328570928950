"""The coordinate hypernetwork against appendix A.1 in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from hyper.coordinates import CoordinateHyperNetwork
from hyper.models.classify import Perceptron

INPUT, OUTPUT = (3, 4), (2, 5)


def make(**options):
  options = {'input_shape': INPUT, 'output_shape': OUTPUT} | options
  return CoordinateHyperNetwork(Perceptron(10), ('hidden/kernel',), **options)


def test_weights_equal_the_equations():
  network = make(hidden_sizes=(6, 7))
  images = jax.random.normal(jax.random.key(1), (2, *INPUT, 1))
  variables = network.init(jax.random.key(0), images)
  rng = np.random.default_rng(1)
  variables = jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype('f'), variables
  )
  generator = variables['params']['generator']
  weights = {}
  for k in (1, 2, 3):
    weights[f'W_{k}'] = generator[f'layer{k}']['kernel'].T
    weights[f'b_{k}'] = generator[f'layer{k}']['bias']
  wanted = reference.coordinate_network(
    weights, INPUT, OUTPUT, lambda index, size: 2 * index / (size - 1) - 1
  )
  baked = network.bake(variables, images)
  found = baked['params']['hidden']['kernel']
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
  logits = network.apply(variables, images)
  np.testing.assert_allclose(
    Perceptron(10).apply(baked, images), logits, rtol=1e-5, atol=1e-5
  )


def test_weights_start_with_the_variance_of_he():
  network = make(input_shape=(14, 14), output_shape=(5, 2))
  images = jnp.zeros((1, 14, 14, 1))

  @jax.jit
  @jax.vmap
  def kernel(key):
    variables = network.init(key, images)
    return network.bake(variables, images)['params']['hidden']['kernel']

  kernels = kernel(jax.random.split(jax.random.key(0), 200))
  assert kernels.shape == (200, 196, 10)
  assert abs(jnp.mean(kernels**2) * 196 / 2 - 1) < 0.35


@pytest.mark.parametrize(
  'generate, shape', [(('hidden/*',), INPUT), (('hidden/kernel',), (3, 3))]
)
def test_parameters_that_coordinates_cannot_make_are_errors(generate, shape):
  network = CoordinateHyperNetwork(Perceptron(10), generate, shape, OUTPUT)
  with pytest.raises(ValueError, match=r'make one parameter of shape'):
    network.init(jax.random.key(0), jnp.zeros((1, *INPUT, 1)))


@pytest.mark.parametrize('name', ['input_shape', 'hidden_sizes'])
def test_sizes_that_are_not_positive_are_errors(name):
  with pytest.raises(ValueError, match=rf'{name} is \(4, 0\)'):
    CoordinateHyperNetwork(Perceptron(10), ('hidden/kernel',), **{name: (4, 0)})
