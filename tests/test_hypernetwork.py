"""Options of a hypernetwork: conditions, generators, bases, ranks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from hyper.coordinates import Coordinates
from hyper.generators.checks import check_main
from hyper.hypernetwork import HyperNetwork
from hyper.static import StaticHyperNetwork
from hyper.tiles import Tiles

I, O, E, C = 6, 10, 3, 2  # noqa: E741
TILE = (3, 5)
X = np.random.default_rng(0).normal(size=(4, I)).astype('f')


def main():
  return nn.Sequential([nn.Dense(O), nn.relu, nn.Dense(I)])


def mlp(*sizes, outputs=15):
  layers = [f for size in sizes for f in (nn.Dense(size), nn.relu)]
  return nn.Sequential([*layers, nn.Dense(outputs)])


def static(generate=('layers_0/kernel',), **options):
  return StaticHyperNetwork(main(), generate, TILE, E, **options)


def conditional(**options):
  options = {'generator': mlp(7), 'embed': nn.Embed(8, C)} | options
  return static(('*/kernel',), **options)


def init(network, *args, **kwargs):
  return jax.jit(lambda key: network.init(key, *args, **kwargs))(
    jax.random.key(0)
  )


def shaken(variables):
  """Returns `variables` with noise, so that none is zero."""
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda x: x + 0.1 * rng.normal(size=x.shape).astype('f'), variables
  )


def apply(network, variables, *args, **given):
  """Returns the outputs, compiled."""
  arrays = {'condition': given.pop('condition', None)}
  function = lambda variables, args, arrays: network.apply(  # noqa: E731
    variables, *args, **arrays, **given
  )
  return jax.jit(function)(variables, args, arrays)


def generated(network, variables, *args, **given):
  """Returns the generated parameters, compiled."""
  function = lambda variables: network.generated(variables, *args, **given)  # noqa: E731
  return jax.jit(function)(variables)


def bake(network, variables, *args, **given):
  """Returns the variables of the main network, compiled."""
  function = lambda variables: network.bake(variables, *args, **given)  # noqa: E731
  return jax.jit(function)(variables)


def assert_close(found, wanted):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
    found,
    wanted,
  )


def laid_out(tiles, rows, columns):
  """Lays out the tiles of a matrix, row by row, in NumPy."""
  blocks = [tiles[r * columns : (r + 1) * columns] for r in range(rows)]
  return np.concatenate([np.concatenate(list(row), 1) for row in blocks], 0)


@pytest.mark.slow
def test_a_task_and_a_tile_make_the_weights_together():
  network = static(generator=mlp(7), embed=nn.Embed(8, C))
  variables = shaken(init(network, X, condition=0))
  params = jax.tree.map(np.asarray, variables['params'])
  first, last = (params['generator'][f'layers_{k}'] for k in (0, 2))
  tiles = []
  for z in params['z']:
    fed = np.concatenate([z, params['embed']['embedding'][5]])
    hidden = np.maximum(fed @ first['kernel'] + first['bias'], 0)
    tile = hidden @ last['kernel'] + last['bias']
    tiles.append(params['gain'] * np.sqrt(2 / I) * tile.reshape(TILE))
  wanted = laid_out(tiles, 2, 2)
  made = generated(network, variables, X, condition=5)
  assert_close(made, {'layers_0': {'kernel': wanted}})
  other = generated(network, variables, X, condition=4)
  assert abs(other['layers_0']['kernel'] - wanted).max() > 0.01


def test_the_condition_is_the_same_wherever_it_is_given():
  network = conditional()
  variables = shaken(init(network, X, condition=0))
  y = apply(network, variables, X, condition=3)
  params = jax.jit(
    lambda variables: network.main_params(variables, X, condition=3)
  )(variables)
  assert_close(jax.jit(main().apply)({'params': params}, X), y)
  baked = bake(network, variables, X, condition=3)
  assert_close(baked, {'params': params})
  made = flatten_dict(generated(network, variables, X, condition=3))
  assert set(made) == {('layers_0', 'kernel'), ('layers_2', 'kernel')}
  for path, x in made.items():
    np.testing.assert_array_equal(flatten_dict(params)[path], x)
  assert abs(apply(network, variables, X, condition=2) - y).max() > 0.01


def test_every_example_picks_its_own_condition():
  network = conditional()
  variables = shaken(init(network, X, condition=0))
  tasks = jnp.array([3, 0, 3, 7])
  y = apply(network, variables, X, condition=tasks, in_axes=0)
  for n, task in enumerate(tasks):
    assert_close(
      y[n], apply(network, variables, X[n : n + 1], condition=task)[0]
    )
  assert np.ptp(y - apply(network, variables, X, condition=3), 0).max() > 0.01


def test_an_argument_may_be_common_to_all_networks():
  network = conditional()
  variables = shaken(init(network, X, condition=0))
  tasks = jnp.array([3, 0, 7])
  y = apply(network, variables, X, condition=tasks, in_axes=(None,))
  assert y.shape == (3, *X.shape)
  for n, task in enumerate(tasks):
    assert_close(y[n], apply(network, variables, X, condition=task))


class Scaled(nn.Module):
  """A layer times a vector, and an output that has nothing to do with rows."""

  @nn.compact
  def __call__(self, x, factor):
    return nn.Dense(O)(x) * factor, jnp.arange(3)


def test_an_argument_may_be_common_beside_one_that_is_split():
  generators = {'*/kernel': Tiles(TILE, E, embed=nn.Embed(8, C))}
  network = HyperNetwork(Scaled(), generators)
  tasks, factors = jnp.array([3, 0, 7]), jnp.array([[1.0], [2.0], [3.0]])
  given = {'condition': {'*/kernel': tasks}, 'in_axes': (None, 0)}
  variables = init(network, X, factors, **given)
  y, rest = apply(network, shaken(variables), X, factors, **given)
  assert y.shape == (3, len(X), O) and rest.tolist() == [[0, 1, 2]] * 3
  for n, task in enumerate(tasks):
    one = {'condition': {'*/kernel': task}}
    wanted, _ = apply(network, shaken(variables), X, factors[n : n + 1], **one)
    assert_close(y[n], wanted)


def test_parameters_may_start_from_a_call_with_many_conditions():
  network = conditional()
  tasks = jnp.array([3, 0, 3, 7])
  many = init(network, X, condition=tasks, in_axes=0)
  assert_close(many, init(network, X, condition=3))


class Encoder(nn.Module):
  """Makes a vector for each tile from a condition that is no vector."""

  tiles: int

  @nn.compact
  def __call__(self, condition):
    x = jnp.concatenate([condition['set'].mean(0), condition['more']])
    return nn.DenseGeneral((self.tiles, C))(x)


def test_an_encoder_may_write_each_tiles_part_from_a_tree():
  network = static(embed=Encoder(4))
  condition = {'set': X, 'more': X[0]}
  variables = shaken(init(network, X, condition=condition))
  params = variables['params']
  assert params['z'].shape == (4, E)
  codes = Encoder(4).apply({'params': params['embed']}, condition)
  z = np.concatenate([params['z'], np.sqrt(2 / I) * codes], 1)
  alone = Tiles(TILE, E + C, hidden_size=E, initialisation='notebook')
  shapes = {('kernel',): jax.ShapeDtypeStruct((I, O), 'float32')}
  generator = {'params': {'generator': params['generator']}}
  wanted = alone.apply(generator, shapes, z, method='kernels')[('kernel',)]
  made = generated(network, variables, X, condition=condition)
  assert_close(made['layers_0']['kernel'], wanted)


def test_a_condition_may_pick_one_of_several_tables():
  network = static(tables=3)
  variables = shaken(init(network, X, condition=0))
  z = variables['params'].pop('z')
  assert z.shape == (3, 4, E)
  picked = generated(
    network, {'params': variables['params'] | {'z': z}}, X, condition=2
  )
  plain = static()
  wanted = generated(plain, {'params': variables['params'] | {'z': z[2]}}, X)
  assert_close(picked, wanted)
  variables = {'params': variables['params'] | {'z': z}}
  absent = generated(network, variables, X, condition=jnp.array(3))
  assert np.isnan(absent['layers_0']['kernel']).all()


@pytest.mark.parametrize('network, given, message', [
  (static(tables=3), {}, 'float32 of shape .*integer that picks one of 3'),
  (static(tables=3), {'condition': 3}, 'condition is 3; .* and below 3'),
  (static(tables=3), {'condition': -1}, 'condition is -1; .* at least 0'),
  (static(tables=3), {'condition': jnp.array([1])}, r'shape \(1,\).*in_axes'),
  (conditional(), {}, 'embed is given, so a call needs a condition'),
  (conditional(embed=Encoder(5)), {'condition': {'set': X, 'more': X[0]}},
   r'shape \(5, 2\); it must be one vector, or one for each of 12 tiles'),
  (conditional(generator=mlp(7, outputs=14)), {'condition': 0},
   r'shape \(12, 14\); a tile \(3, 5\) needs 15 numbers'),
  (conditional(), {'condition': jnp.arange(3), 'in_axes': 0},
   r'conditions for 3 examples, but an array has the shape \(4, 6\)'),
  (conditional(), {'condition': 1, 'in_axes': 0}, 'arrays of shapes'),
  (conditional(), {'condition': jnp.arange(4), 'in_axes': (0, 0)},
   r'in_axes is \(0, 0\), but there are 1 positional'),
  (conditional(), {'condition': jnp.arange(4), 'in_axes': (1,)},
   'in_axes has 1; an entry is 0'),
  (static(frozen=('layers_9/*',)), {}, "frozen has 'layers_9/\\*', which"),
])  # fmt: skip
def test_what_does_not_fit_is_an_error_that_names_it(network, given, message):
  with pytest.raises(ValueError, match=message):
    network.init(jax.random.key(0), X, **given)


@pytest.mark.parametrize('make, message', [
  (lambda: static(tables=2, embed=nn.Embed(2, 2)), 'both given, but there is'),
  (lambda: static(rank=-1), 'rank is -1; it must be an integer, and not'),
  (lambda: static(generator=mlp(7), hidden_size=3), 'hidden_size is 3'),
  (lambda: static(frozen='*'), r"frozen is '\*'; it is a tuple"),
  (lambda: static({'a': Tiles(TILE, E)}), 'it is a tuple of patterns'),
  (lambda: HyperNetwork(main(), ('a',)), 'HyperNetwork has no generator'),
  (lambda: HyperNetwork(main(), {'a': mlp(7)}), 'Sequential for .a.; it must'),
])  # fmt: skip
def test_bad_fields_are_errors_at_construction(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_what_is_no_linen_module_is_an_error_that_names_it():
  # A TypeError where the annotations are checked.
  with pytest.raises((ValueError, TypeError), match='mlp'):
    static(generator='mlp')
  model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
  with pytest.raises((ValueError, TypeError), match='Linear'):
    HyperNetwork(model, {})
  with pytest.raises(ValueError, match='main is Linear, .*nnx.bridge.to_linen'):
    check_main(model)


@pytest.mark.usefixtures('unchecked')
@pytest.mark.parametrize('name, make', [
  ('main', lambda: HyperNetwork(nn.Dense, {'kernel': Tiles(TILE, E)})),
  ('main', lambda: StaticHyperNetwork(nn.Dense, ('kernel',), TILE, E)),
  ("the generator for 'a'", lambda: HyperNetwork(main(), {'a': nn.Dense})),
  ('generator', lambda: static(generator=nn.Dense)),
  ('embed', lambda: static(embed=nn.Dense)),
])  # fmt: skip
def test_a_class_in_place_of_an_instance_is_named(name, make):
  with pytest.raises(
    ValueError, match=rf'^{name} is the class Dense; give an instance, such as'
  ):
    make()


class Pair(nn.Module):
  """An autoencoder of two methods."""

  def setup(self):
    self.down, self.up = nn.Dense(O), nn.Dense(I)

  def __call__(self, x):
    return self.decode(self.encode(x))

  def encode(self, x):
    return self.down(x)

  def decode(self, code):
    return self.up(code)


def test_another_method_of_the_main_network_can_be_called():
  network = StaticHyperNetwork(Pair(), ('*/kernel',), TILE, E)
  variables = shaken(init(network, X))
  shapes = network.shapes(X)
  given = {'shapes': shapes, 'main_method': 'encode'}
  code = apply(network, variables, X, **given)
  assert code.shape == (4, O)
  given['main_method'] = 'decode'
  y = apply(network, variables, code, **given)
  assert_close(y, apply(network, variables, X))
  params = network.main_params(variables, shapes=shapes)
  assert_close(Pair().apply({'params': params}, X), y)
  part = StaticHyperNetwork(Pair(), ('down/kernel',), TILE, E)
  part_variables = shaken(init(part, X))
  code = apply(part, part_variables, X, main_method='encode')
  again = Pair().apply(bake(part, part_variables, X), X, method='encode')
  assert_close(code, again)


def test_a_method_that_uses_a_part_says_what_it_needs():
  network = StaticHyperNetwork(Pair(), ('*/kernel',), TILE, E)
  variables = init(network, X)
  with pytest.raises(
    ValueError, match='other parameters than down/kernel.*shap'
  ):
    network.apply(variables, X, main_method='encode')


def test_a_condition_of_text_is_refused():
  network = static(tables=2)
  with pytest.raises(
    ValueError, match="condition has 'first'; it is a tree of"
  ):
    network.init(jax.random.key(0), X, condition='first')


def test_a_list_of_patterns_is_made_a_tuple():
  assert static(['layers_0/kernel']).generate == ('layers_0/kernel',)
  assert static(frozen=['layers_2/*']).frozen == ('layers_2/*',)


GROUPS = {
  'layers_0/kernel': Tiles(TILE, E),
  '*_2/kernel': Tiles((5, 2), 2, generator=mlp(7, outputs=10),
                      embed=nn.Embed(8, C)),
}  # fmt: skip


def test_groups_of_parameters_have_generators_and_tiles_of_their_own():
  network = HyperNetwork(main(), GROUPS)
  condition = {'*_2/kernel': 3}
  variables = shaken(init(network, X, condition=condition))
  made = generated(network, variables, X, condition=condition)
  shapes = nn.meta.unbox(network.shapes(X))
  for k, (pattern, group) in enumerate(GROUPS.items()):
    path = (f'layers_{2 * k}', 'kernel')
    alone = group.apply(
      {'params': variables['params'][f'groups_{k}']},
      *({path: shapes[path]}, condition.get(pattern)),
      method='kernels',
    )
    assert_close(made[path[0]]['kernel'], alone[path])
  y = apply(network, variables, X, condition=condition)
  baked = bake(network, variables, X, condition=condition)
  assert_close(main().apply(baked, X), y)
  tasks = {'*_2/kernel': jnp.array([3, 1, 0, 2])}
  each = apply(network, variables, X, condition=tasks, in_axes=0)
  assert_close(each[0], y[0])
  assert abs(each - y)[1:].max() > 0.01


def test_conditions_of_groups_go_by_their_patterns():
  network = HyperNetwork(main(), GROUPS)
  for condition in (3, {'layers_9': 3}):
    with pytest.raises(ValueError, match='it is a mapping from their patterns'):
      network.init(jax.random.key(0), X, condition=condition)
  network = HyperNetwork(main(), {'*': Tiles(TILE, E)} | GROUPS)
  with pytest.raises(ValueError, match='put the narrower pattern first'):
    network.init(jax.random.key(0), X)
  network = HyperNetwork(
    main(), {'layers_0/kernel': Coordinates((2, 3), (2, 5), (4,))}
  )
  variables = network.init(jax.random.key(0), X)
  assert set(variables['params']['groups_0']['generator']) == {
    *('layer1', 'layer2')
  }
  with pytest.raises(ValueError, match='coordinates take none'):
    network.init(jax.random.key(0), X, condition={'layers_0/kernel': 1})


@pytest.mark.parametrize('rank', [0, 2])
@pytest.mark.parametrize('frozen', [(), ('*',), ('layers_0/*',)])
def test_a_residual_parameter_is_its_base_plus_a_gated_one(rank, frozen):
  network = static(('*/kernel',), residual=True, rank=rank, frozen=frozen)
  variables = init(network, X)
  own = unflatten_dict(
    flatten_dict(variables['params'].get('network', {}))
    | flatten_dict(variables.get('frozen', {}).get('network', {}))
  )
  bare = jax.tree.map(jnp.shape, own)
  assert bare == jax.tree.map(jnp.shape, init(main(), X)['params'])
  assert_close(apply(network, variables, X), main().apply({'params': own}, X))

  gate = jnp.array([2.0, -3.0])
  params = variables['params'] | {'gate': {'scale': gate}}
  opened = variables | {'params': params}
  made = generated(network, opened, X)
  names = ('z', 'generator')
  raw = static(('*/kernel',), rank=rank).generated(
    {'params': {name: params[name] for name in names}}, X
  )
  for k, name in enumerate(('layers_0', 'layers_2')):
    assert abs(raw[name]['kernel']).max() > 0.01
    assert_close(made[name]['kernel'], gate[k] * raw[name]['kernel'])
    own[name]['kernel'] = own[name]['kernel'] + made[name]['kernel']
  y = apply(network, opened, X)
  assert_close(bake(network, opened, X), {'params': own})
  assert_close(main().apply({'params': own}, X), y)


def test_what_is_frozen_is_no_parameter_and_all_else_gets_gradients():
  network = conditional(residual=True, rank=2, frozen=('layers_0/*',))
  variables = dict(shaken(init(network, X, condition=0)))
  assert set(variables) == {'params', 'frozen'}
  assert set(variables['frozen']['network']) == {'layers_0'}
  assert set(variables['params']['network']) == {'layers_2'}

  @jax.jit
  @jax.grad
  def gradient(params):
    y = apply(network, variables | {'params': params}, X, condition=1)
    return jnp.sum(y**2)

  for path, x in flatten_dict(gradient(variables['params'])).items():
    assert abs(x).max() > 0, path


def test_a_generated_kernel_of_low_rank_is_a_product_of_two():
  shapes = {('kernel',): jax.ShapeDtypeStruct((3, 3, 4, 10), 'float32')}
  tiles = Tiles((6, 2), E, rank=2)
  variables = tiles.init(jax.random.key(0), shapes, method='kernels')
  kernel = tiles.apply(variables, shapes, method='kernels')[('kernel',)]
  made = tiles.apply(variables, shapes, method='tiles')
  assert made.shape == (6 + 2, 6, 2)
  a = np.concatenate(made[:6])  # [3 * 3 * 4, r]
  b = np.concatenate(made[6:])[:10]  # [10, r]
  assert_close(kernel, (a @ b.T).reshape(3, 3, 4, 10))
  values = np.linalg.svd(np.reshape(kernel, (36, 10)), compute_uv=False)
  assert values[1] > 1e-3 and values[2] < 1e-5


class Odd(nn.Module):
  """Generates tiles of an unusual scale."""

  @nn.compact
  def __call__(self, z):
    init = nn.initializers.normal(3.0)
    x = jnp.sin(nn.Dense(40, kernel_init=init)(z))
    return 100 * nn.Dense(8 * 8, kernel_init=init)(x)


SHAPES = {
  'convnet': {'conv1': (7, 7, 1, 16), 'conv2': (7, 7, 16, 16)},
  'residual': {f'conv{k}': (3, 3, 16 * k, 16 * k) for k in (1, 2, 4)},
  'transformer': {'q': (32, 32), 'up': (32, 128), 'down': (128, 32)},
}
GENERATORS = {
  'linear': {},
  'no hidden layer': {'generator': mlp(outputs=64)},
  'four hidden layers': {'generator': mlp(32, 32, 32, 32, outputs=64)},
  'conditional': {'generator': mlp(32, outputs=64), 'embed': nn.Embed(8, 16)},
  'odd': {'generator': Odd()},
  'low rank': {'generator': mlp(32, outputs=64), 'rank': 4},
}  # fmt: skip


@pytest.mark.parametrize('generator', GENERATORS)
def test_every_generator_starts_every_kernel_with_hes_variance(generator):
  # In expectation, so over many seeds: a single tile of one seed varies.
  shapes = {
    (network, name): jax.ShapeDtypeStruct(shape, 'float32')
    for network, layers in SHAPES.items()
    for name, shape in layers.items()
  }
  tiles = Tiles((8, 8), 32, **GENERATORS[generator])
  condition = 3 if 'embed' in GENERATORS[generator] else None

  @jax.jit
  @jax.vmap
  def squares(key):
    made, _ = tiles.init_with_output(key, shapes, condition, method='kernels')
    return {path: jnp.mean(x**2) for path, x in made.items()}

  found = squares(jax.random.split(jax.random.key(0), 12))
  for path, x in shapes.items():
    ratio = np.mean(found[path]) * np.prod(x.shape[:-1]) / 2
    assert 0.6 < ratio < 1.5, (path, ratio)


def test_partitioning_survives_wrapping_and_baking():
  def boxed(*names):
    return nn.with_partitioning(nn.initializers.lecun_normal(), names)

  plain = nn.Sequential([
    nn.Dense(O, kernel_init=boxed(None, 'model')),
    nn.Dense(I, kernel_init=boxed('model', None)),
  ])  # fmt: skip
  wanted = nn.get_partition_spec(init(plain, X))
  for residual in (False, True):
    network = StaticHyperNetwork(
      plain, ('*_0/kernel',), TILE, E, residual=residual, frozen=('*_1/kernel',)
    )
    variables = init(network, X)
    kernel = variables['frozen']['network']['layers_1']['kernel']
    assert kernel.names == ('model', None)
    baked = bake(network, variables, X)
    assert nn.get_partition_spec(baked) == wanted
    assert_close(jax.jit(plain.apply)(baked, X), apply(network, variables, X))
    made = generated(network, variables, X)['layers_0']['kernel']
    assert made.names == (None, 'model')


@pytest.mark.parametrize('network, condition', [
  (static(), None),
  (conditional(residual=True, rank=2), 1),
  (static(initialisation='notebook', tables=2), 1),
  (HyperNetwork(main(), {'*_0/kernel': Coordinates((2, 3), (2, 5))}), None),
])  # fmt: skip
def test_parameters_are_float32_whatever_the_default_is(network, condition):
  def run(key):
    variables = network.init(key, X, condition=condition)
    y = network.apply(variables, X, condition=condition)
    return variables, y, network.bake(variables, X, condition=condition)

  with jax.enable_x64(True):
    found = jax.tree.leaves(jax.eval_shape(run, jax.random.key(0)))
  assert {x.dtype for x in found} == {jnp.dtype('float32')}


@pytest.mark.slow
def test_a_batch_of_any_size_is_exported():
  network = conditional()
  variables = shaken(init(network, X, condition=0))
  (b,) = jax.export.symbolic_shape('b')
  x = jax.ShapeDtypeStruct((b, I), 'float32')
  tasks = jax.ShapeDtypeStruct((b,), 'int32')

  def check(function, *shapes):
    exported = jax.export.export(jax.jit(function))(*shapes)
    arrays = (X, np.array([0, 3, 1, 7], 'int32'))[: len(shapes)]
    assert_close(exported.call(*arrays), function(*arrays))

  baked = network.bake(variables, X, condition=3)
  check(lambda x: main().apply(baked, x), x)
  check(lambda x: network.apply(variables, x, condition=3), x)
  each = lambda x, t: network.apply(variables, x, condition=t, in_axes=0)  # noqa: E731
  check(each, x, tasks)
