"""Plain networks against the equations in NumPy, and their training mode."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from hyper.models.classify import MnistConvnet, Perceptron, WideResNet
from hyper.runs.training import products_in

SIZE = 8


@pytest.fixture(scope='module')
def resnet():
  """Makes a narrow network of two blocks a group, its variables, and images."""
  network = WideResNet(blocks=2, width=1)
  images = jax.random.normal(jax.random.key(1), (3, SIZE, SIZE, 3))
  init = jax.jit(lambda key: network.init(key, images))
  variables = init(jax.random.key(0))
  rng = np.random.default_rng(1)
  variables = jax.tree.map(
    lambda x: np.asarray(x) + 0.2 * rng.uniform(size=x.shape).astype('f'),
    variables,
  )
  return network, variables, images


def in_reference_form(variables, strides):
  """Converts ours into the arguments of reference.wide_resnet but the image."""
  params, stats = variables['params'], variables['batch_stats']

  def conv(p):
    return p['kernel'], p['bias']

  def norm(p, s):
    return p['scale'], p['bias'], s['mean'], s['var']

  blocks = [
    {
      'stride': stride,
      **{name: conv(params[block][name]) for name in ('conv1', 'conv2')},
      **{
        name: norm(params[block][name], stats[block][name])
        for name in ('norm1', 'norm2')
      },
    }
    for block, stride in strides.items()
  ]
  softmax = params['softmax']
  return (
    conv(params['conv1']),
    norm(params['norm1'], stats['norm1']),
    blocks,
    norm(params['norm'], stats['norm']),
    (softmax['kernel'].T, softmax['bias']),
  )


def test_a_wide_resnet_equals_the_equations(resnet):
  network, variables, images = resnet
  strides = {
    **{'conv2_1': 1, 'conv2_2': 1},
    **{'conv3_1': 2, 'conv3_2': 1},
    **{'conv4_1': 2, 'conv4_2': 1},
  }
  weights = in_reference_form(variables, strides)
  found = jax.jit(network.apply)(variables, images)
  wanted = [reference.wide_resnet(image, *weights) for image in images]
  assert np.ptp(wanted, 0).max() > 0.01
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_training_normalises_by_the_batch_and_keeps_averages(resnet):
  network, variables, images = resnet
  train = jax.jit(
    lambda x: network.apply(variables, x, True, mutable=['batch_stats'])
  )
  logits, updated = train(images)
  shifted, _ = train(3 * images)  # then only conv1's bias makes a difference
  still = jax.jit(network.apply)(variables, images)
  assert np.abs(logits - still).max() > 0.01
  assert np.abs(shifted - logits).max() < np.abs(logits).max()
  kernel, bias = (variables['params']['conv1'][k] for k in ('kernel', 'bias'))
  maps = [reference.convolution(x, kernel, bias, 1) for x in images]
  old = variables['batch_stats']['norm1']
  new = updated['batch_stats']['norm1']
  wanted = 0.9 * old['mean'] + 0.1 * np.mean(maps, (0, 1, 2))
  np.testing.assert_allclose(new['mean'], wanted, rtol=1e-4, atol=1e-5)
  wanted = 0.9 * old['var'] + 0.1 * np.var(maps, (0, 1, 2))
  np.testing.assert_allclose(new['var'], wanted, rtol=1e-4, atol=1e-5)


def test_kernels_start_with_he_deviations():
  network = WideResNet(blocks=1, width=2)
  init = jax.jit(
    lambda: network.init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
  )
  params = init()['params']
  for block, fan_in in {'conv3_1': 9 * 32, 'conv4_1': 9 * 64}.items():
    deviation = params[block]['conv1']['kernel'].std()
    assert abs(deviation / np.sqrt(2 / fan_in) - 1) < 0.03


def test_the_perceptron_numbers_pixels_row_by_row():
  network = Perceptron(hidden_units=5)
  images = jax.random.normal(jax.random.key(1), (2, 3, 4, 1))
  variables = network.init(jax.random.key(0), images)
  hidden, softmax = (
    {k: np.asarray(x) for k, x in variables['params'][name].items()}
    for name in ('hidden', 'softmax')
  )
  rows = np.asarray(images).reshape(2, -1)
  h = np.maximum(rows @ hidden['kernel'] + hidden['bias'], 0)
  wanted = h @ softmax['kernel'] + softmax['bias']
  found = network.apply(variables, images)
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_impossible_sizes_are_errors():
  with pytest.raises(ValueError, match='hidden_units is 0'):
    Perceptron(hidden_units=0)
  for shape in ((30, 28), (28, 30), (7, 8)):
    size = '{} x {} pixels; 4 must divide both'.format(*shape)
    others = 'mnist_mlp.py:images.*cifar10_wrn.py:images'
    with pytest.raises(ValueError, match=f'{size}.*{others}'):
      MnistConvnet().init(jax.random.key(0), jnp.zeros((1, *shape, 1)))


@pytest.mark.parametrize(
  'precision, factor', [('default', 'f32'), ('bfloat16', 'bf16')]
)
@pytest.mark.parametrize('network', [MnistConvnet(), WideResNet(blocks=1)])
def test_convolutions_have_the_precision_of_products(
  network, precision, factor
):
  images = jnp.ones((2, SIZE, SIZE, 1))
  like = jax.eval_shape(network.init, jax.random.key(0), images)

  def loss(variables):
    return network.apply(variables, images).sum()

  with products_in(precision):
    program = jax.jit(jax.value_and_grad(loss)).trace(like).jaxpr
  found = re.findall(r':(\w+)\[[\d,]*\] = conv_general_dilated', str(program))
  assert len(found) > 4 and {*found} == {factor}  # forward and backward
  assert {x.dtype for x in program.out_avals} == {np.dtype('float32')}


def test_bfloat16_convolutions_are_close():
  network, images = (
    MnistConvnet(),
    jax.random.normal(jax.random.key(1), (2, SIZE, SIZE, 1)),
  )
  variables = network.init(jax.random.key(0), images)
  full = network.apply(variables, images)
  with products_in('bfloat16'):
    half = network.apply(variables, images)
  size = jnp.abs(full).max()
  assert 0 < jnp.abs(half - full).max() < 0.02 * size
