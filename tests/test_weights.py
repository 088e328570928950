"""Variables as safetensors, and networks that start from pretrained ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from hyper import weights
from hyper.static import StaticHyperNetwork

X = np.random.default_rng(0).normal(size=(3, 8)).astype('f')


def assert_same(found, wanted):
  assert jax.tree.structure(found) == jax.tree.structure(wanted)
  for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)


def test_names_with_slashes_are_saved_and_read_back(tmp_path):
  network = nn.WeightNorm(nn.Dense(4))
  variables = network.init(jax.random.key(0), X)
  paths = flatten_dict(variables)
  assert any('/' in name for path in paths for name in path)
  path = str(tmp_path / 'x.safetensors')
  weights.save(variables, path)
  assert_same(weights.load(path), variables)
  assert_same(weights.load(path, like=variables), variables)


def test_names_that_differ_by_a_slash_or_a_tilde_stay_apart(tmp_path):
  names = ('a/b', 'a~1b', 'a~b', 'a~0b')
  tree = {name: jnp.full(2, float(k)) for k, name in enumerate(names)}
  tree['a'] = {'b': jnp.full(2, 9.0)}
  path = str(tmp_path / 'x.safetensors')
  weights.save(tree, path)
  assert_same(weights.load(path), tree)


def test_boxes_are_those_of_the_tree_that_is_loaded_for(tmp_path):
  init = nn.with_partitioning(nn.initializers.lecun_normal(), (None, 'model'))
  variables = nn.Dense(4, kernel_init=init).init(jax.random.key(0), X)
  path = str(tmp_path / 'x.safetensors')
  weights.save(variables, path)
  assert_same(weights.load(path, like=variables), variables)
  plain = weights.load(path)['params']['kernel']
  np.testing.assert_array_equal(plain, variables['params']['kernel'].value)


class Normalised(nn.Module):
  @nn.compact
  def __call__(self, x):
    x = nn.BatchNorm(use_running_average=True, name='norm')(x)
    return nn.Dense(4, name='dense')(x)


class NormalisedNNX(nnx.Module):
  def __init__(self, rngs):
    self.norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
    self.dense = nnx.Linear(8, 4, rngs=rngs)

  def __call__(self, x):
    return self.dense(self.norm(x))


def pretrained(kind, tmp_path):
  """Returns a trained network in one of the accepted forms, and its outputs."""
  rng = np.random.default_rng(1)
  if kind == 'nnx':
    model = NormalisedNNX(nnx.Rngs(0))
    model.norm.mean[...] = rng.normal(size=8).astype('f')
    return model, model(X)
  main = Normalised()
  variables = jax.tree.map(
    lambda x: rng.uniform(1, 2, x.shape).astype('f'),
    dict(main.init(jax.random.key(0), X)),
  )
  y = main.apply(variables, X)
  if kind == 'file':
    weights.save(variables, str(tmp_path / 'x.safetensors'))
    return str(tmp_path / 'x.safetensors'), y
  return variables, y


def residual(frozen=('*',)):
  network = StaticHyperNetwork(
    Normalised(), ('dense/kernel',), (4, 4), 2, residual=True, frozen=frozen
  )
  return network, jax.jit(network.init)(jax.random.key(0), X)


@pytest.mark.parametrize('kind', ['linen', 'file', 'nnx'])
@pytest.mark.parametrize('frozen', [(), ('*',), ('*/kernel',)])
@pytest.mark.slow
def test_a_residual_network_starts_from_a_pretrained_one(
  kind, frozen, tmp_path
):
  source, wanted = pretrained(kind, tmp_path)
  network, variables = residual(frozen)
  started = weights.start_from(variables, source)
  assert jax.tree.map(jnp.shape, started) == jax.tree.map(jnp.shape, variables)
  y = jax.jit(network.apply)(started, X)
  np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
  for name in ('z', 'generator', 'gate'):
    assert_same(started['params'][name], variables['params'][name])


@pytest.mark.parametrize(
  ('leaf', 'message'),
  [
    (np.array([2**40 + 1]), 'is int64, which JAX would cut to int32'),
    (np.array([0.1]), 'is float64, which JAX would cut to float32'),
    (jax.random.key(0), 'is an array of key<fry>; convert it to one of bool, '),
    ('x', 'is a str, not an array of numbers'),
    (np.str_('x'), 'is an array of <U1; convert'),
    (np.array([None]), 'is an array of object; convert'),
    (np.array(['2020'], 'datetime64[Y]'), 'is an array of datetime64'),
    (np.zeros(2, [('x', 'f')]), 'is an array of .*; convert'),
    (np.zeros(2, '>f4'), 'is an array of >f4; convert'),
    (np.zeros(2, np.longdouble), 'is an array of float(128|96)?; convert'),
    (jnp.zeros(2, jnp.int4), 'is an array of int4; convert'),
    (jnp.zeros(2, jnp.float8_e5m2), 'is an array of float8_e5m2; convert'),
    (jnp.zeros(2, jnp.float8_e4m3), 'is an array of float8_e4m3; convert'),
  ],
)
def test_what_a_file_cannot_keep_is_refused(leaf, message, tmp_path):
  path = tmp_path / 'x.safetensors'
  with pytest.raises(ValueError, match=rf"\('a', 'b'\) {message}"):
    weights.save({'a': {'b': leaf}}, str(path))
  assert not path.exists()


@pytest.mark.usefixtures('unchecked')
@pytest.mark.parametrize(
  ('variables', 'text', 'message'),
  [
    ({}, {}, 'there are no arrays to write'),
    ({'params': {}}, {}, 'there are no arrays to write'),
    ([X], {}, 'variables are of type list; give a nested dict'),
    ({'__metadata__': X}, {}, "'__metadata__',.* is the name of the text"),
    ({'a': {1: X}}, {}, r"\('a', 1\): 1 is no string"),
    ({'a': {'\ud800': X}}, {}, r"'\\ud800' is no string of UTF-8"),
    ({'a': X}, {'note': 1}, r"\('note', 1\): 1 is no string"),
    ({'a': X}, {'note': '\ud800'}, r"'note', .* is no string of UTF-8"),
  ],
)
def test_names_and_text_that_no_file_can_have_are_refused(
  variables, text, message, tmp_path
):
  path = tmp_path / 'x.safetensors'
  with pytest.raises(ValueError, match=message):
    weights.save(variables, str(path), text)
  assert not path.exists()


@pytest.mark.parametrize(
  ('array', 'message'),
  [
    (np.array([2**40]), 'a/b is int64, which JAX would cut to int32: '),
    (np.array([2**40], np.uint64), 'a/b is uint64, which JAX would cut'),
    (np.array([0.1]), 'a/b is float64, which JAX would cut to float32'),
    (np.zeros(2, jnp.float8_e5m2), 'a/b is F8_E5M2; types that are read: BOOL'),
  ],
)
def test_tensors_that_jax_would_change_are_not_read(array, message, tmp_path):
  path = str(tmp_path / 'x.safetensors')
  save_file({'a/b': array, 'c': np.ones(2, 'f')}, path)
  with pytest.raises(ValueError, match=f'{path}: {message}'):
    weights.load(path)
  assert weights.load_text(path) == {}


@pytest.mark.parametrize('dtype', sorted(set(weights.TYPES.values())))
def test_every_type_of_numbers_is_read_as_it_was_saved(dtype, tmp_path):
  path = str(tmp_path / 'x.safetensors')
  with jax.enable_x64(True):
    tree = {'a': jnp.ones((), dtype), 'b': jnp.zeros((2, 0), dtype)}
    weights.save(tree, path)
    assert_same(weights.load(path), tree)


@pytest.mark.parametrize(
  ('given', 'own'),
  [
    ('complex64', 'float32'),
    ('float32', 'int32'),
    ('float32', 'bool'),
    ('int32', 'bool'),
    ('int64', 'int32'),
    ('int32', 'uint32'),
    ('<U1', 'float32'),
  ],
)
def test_pretrained_numbers_that_the_network_cannot_hold_are_named(given, own):
  variables = {'params': {'network': {'bias': np.ones(4, own)}}}
  with pytest.raises(ValueError, match=f'params/bias: {given}, which {own} ca'):
    weights.start_from(variables, {'bias': np.ones(4, given)})


def test_pretrained_numbers_get_the_type_of_the_network():
  network = StaticHyperNetwork(nn.Dense(4), ('kernel',), (4, 4), 2)
  variables = jax.jit(network.init)(jax.random.key(0), X)
  started = weights.start_from(variables, {'bias': jnp.ones(4, jnp.float16)})
  assert started['params']['network']['bias'].dtype == jnp.float32


def test_what_is_generated_needs_no_pretrained_parameter():
  network = StaticHyperNetwork(nn.Dense(4), ('kernel',), (4, 4), 2)
  variables = jax.jit(network.init)(jax.random.key(0), X)
  started = weights.start_from(variables, {'bias': jnp.full(4, 2.0)})
  np.testing.assert_array_equal(started['params']['network']['bias'], 2)


def test_another_network_to_start_from_is_named():
  _, variables = residual()
  tree = {'params': {'dense': {'kernel': np.ones((8, 5), 'f')}}}
  with pytest.raises(ValueError) as error:
    weights.start_from(variables, tree)
  for line in (
    'params/dense/kernel: (8, 5), not (8, 4)',
    'params/dense/bias: absent, not (4,)',
    'batch_stats/norm/mean: absent, not (8,)',
  ):
    assert line in str(error.value)
