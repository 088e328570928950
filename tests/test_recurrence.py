"""The recurrence with its own gradients against a plain scan."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hyper.cells import CELLS, LSTMCell, draw_masks, make_multiply
from hyper.cells.unroll import unroll
from hyper.recurrence import Recurrence

BATCH, TIME, INPUTS, UNITS = 3, 4, 6, 7
# Compiling takes longer than running here.
fast_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)
SMALL = {'hyper_units': 8, 'embedding_size': 2}


def make(name, **options):
  """A small cell, with those of the options that it has."""
  fields = CELLS[name].__dataclass_fields__
  options = {k: x for k, x in (SMALL | options).items() if k in fields}
  return CELLS[name](UNITS, INPUTS, **options)


NORM = {'layer_norm': True}
OFF = {'layer_norm': False, 'hyper_layer_norm': False}
EACH = pytest.mark.parametrize('name', list(CELLS))
VARIANTS = {name: make(name, **NORM) for name in CELLS} | {
  'hyperrnn-full': make('hyperrnn', form='full', hyper_state='old'),
  'lstm-plain': make('lstm'),
  'hyperlstm-old': make('hyperlstm', hyper_state='old', **OFF),
}


def random(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype('f')


def randomised(cell, inputs=INPUTS, seed=0):
  """Variables of a `Recurrence` or an `nn.RNN`, away from the initial ones."""

  def init():
    return cell.init(
      jax.random.key(0), cell.zeros((1,)), jnp.zeros((1, inputs))
    )

  shapes = jax.eval_shape(init)['params']
  params = {
    name: jnp.asarray(('gamma' in name) + 0.5 * random([seed, k], *x.shape))
    for k, (name, x) in enumerate(sorted(shapes.items()))
  }
  return {'params': {'cell': params}}


def random_carry(cell, batch=BATCH):
  leaves, tree = jax.tree.flatten(cell.zeros((batch,)))
  return tree.unflatten(
    [0.5 * random([7, k], *x.shape) for k, x in enumerate(leaves)]
  )


def undrawn(cell):
  """What a step is given as masks where there is no dropout."""
  return draw_masks(cell.masks, (), None)


def weighted(tree):
  """A scalar on which every element of every leaf has its own influence."""
  return sum(
    jnp.sum(x * random([11, k], *x.shape))
    for k, x in enumerate(jax.tree.leaves(tree))
  )


def run_ours(cell, *arguments, **options):
  return Recurrence(cell, return_carry=True).apply(*arguments, **options)


def by_recurrence(cell, variables, carry, inputs):
  return run_ours(cell, variables, inputs, initial_carry=carry)


def by_flax(cell, variables, carry, inputs):
  rnn = nn.RNN(cell, return_carry=True)
  return rnn.apply(variables, inputs, initial_carry=carry)


def assert_trees_close(actual, wanted, tolerance=1e-5):
  """Leaf by leaf, up to a share of the largest element of the leaf."""
  assert jax.tree.structure(actual) == jax.tree.structure(wanted)
  for (path, x), y in zip(
    jax.tree.leaves_with_path(actual), jax.tree.leaves(wanted), strict=True
  ):
    scale = max(1.0, np.abs(y).max())
    np.testing.assert_allclose(
      x, y, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path)
    )


def value_and_gradients(function, *arguments):
  """What a function returns, and the gradients of `weighted` of it."""

  def loss(*arguments):
    result = function(*arguments)
    return weighted(result), result

  argnums = tuple(range(len(arguments)))
  return fast_jit(jax.grad(loss, argnums, has_aux=True))(*arguments)


@pytest.mark.parametrize('variant', VARIANTS)
def test_values_and_gradients_are_those_of_a_plain_scan(variant):
  cell = VARIANTS[variant]
  arguments = (
    randomised(cell),
    random_carry(cell),
    random(1, BATCH, TIME, INPUTS),
  )
  ours, theirs = (
    value_and_gradients(functools.partial(run, cell), *arguments)
    for run in (by_recurrence, by_flax)
  )
  assert_trees_close(ours, theirs)
  for gradient in jax.tree.leaves(ours[0]):
    assert np.abs(gradient).max() > 1e-4


DROPOUT = {'dropout_rate': 0.3, 'hyper_dropout_rate': 0.4}
DROPPING = [name for name in CELLS if make(name).masks is not None]


@pytest.mark.parametrize('name', DROPPING)
def test_gradients_with_dropout_masks_are_those_of_a_plain_scan(name):
  cell = make(name, **NORM, **DROPOUT)
  params = randomised(cell)['params']['cell']
  masks = draw_masks(cell.masks, (TIME, BATCH), lambda: jax.random.key(0))

  def ours(packed, carry, x):
    return unroll(cell.step, *packed, carry, (x, None, masks))

  def plain(packed, carry, x):
    matrices, small = packed
    multiply = make_multiply(matrices, jnp.float32)

    def body(carry, now):
      return cell.step(multiply, small, carry, *now)

    return jax.lax.scan(body, carry, (x, masks))

  x = random(1, TIME, BATCH, cell.pack(params)[0]['x'].shape[1])
  arguments = cell.pack(params), random_carry(cell), x
  assert_trees_close(
    value_and_gradients(ours, *arguments),
    value_and_gradients(plain, *arguments),
  )


def test_a_symbol_with_a_factor_is_a_scaled_one_hot_vector():
  cell = VARIANTS['hyperlstm-old']
  # Symbol 0 comes often, so that its gradients have to be summed.
  symbols = np.array([[0, 0, 3, 0], [2, 0, 0, 5], [1, 1, 1, 4]])
  scale = np.where(random(3, BATCH, TIME) > -0.5, 1.3, 0).astype('f')
  one_hot = np.eye(INPUTS, dtype='f')[symbols] * scale[..., None]

  def from_symbols(variables, carry):
    return run_ours(cell, variables, symbols, initial_carry=carry, scale=scale)

  def from_vectors(variables, carry):
    return by_recurrence(cell, variables, carry, one_hot)

  arguments = randomised(cell), random_carry(cell)
  assert_trees_close(
    value_and_gradients(from_symbols, *arguments),
    value_and_gradients(from_vectors, *arguments),
  )


def test_symbols_without_factors_are_one_hot_vectors():
  cell = VARIANTS['lstm']
  symbols = np.array([[0, 0, 3, 1, 0]])
  variables = randomised(cell)

  def run(variables, inputs):
    def result(variables):
      return by_recurrence(cell, variables, cell.zeros((1,)), inputs)

    return value_and_gradients(result, variables)

  one_hot = np.eye(INPUTS, dtype='f')[symbols]
  assert_trees_close(run(variables, symbols), run(variables, one_hot))


def test_gradients_pass_through_a_stack_of_two():
  lower, upper = VARIANTS['lstm'], VARIANTS['lstm-plain']

  def stack(run, variables, carries, inputs):
    after, x = run(lower, variables[0], carries[0], inputs)
    return after, run(upper, variables[1], carries[1], x)

  arguments = (
    (randomised(lower), randomised(upper, UNITS)),
    (random_carry(lower), random_carry(upper)),
    random(1, BATCH, TIME, INPUTS),
  )
  ours, theirs = (
    value_and_gradients(functools.partial(stack, run), *arguments)
    for run in (by_recurrence, by_flax)
  )
  assert_trees_close(ours, theirs)


@EACH
def test_an_output_depends_on_its_own_example_up_to_its_time_only(name):
  cell = make(name, **NORM)
  variables, carry = randomised(cell), random_carry(cell)

  @fast_jit
  @jax.jacrev
  def jacobian(inputs):
    outputs = by_recurrence(cell, variables, carry, inputs)[1]
    return outputs @ random(5, UNITS)

  steps = np.abs(jacobian(random(1, BATCH, TIME, INPUTS))).max(-1)
  influence = steps.transpose(0, 2, 1, 3)  # [b, b, t of output, t of input]
  wanted = np.eye(BATCH)[:, :, None, None] * np.tri(TIME)[None, None]
  np.testing.assert_array_equal(influence > 0, wanted > 0)


@EACH
def test_two_windows_with_the_carry_are_one_long_window(name):
  cell = make(name, **NORM)
  variables, inputs = randomised(cell), random(1, BATCH, 2 * TIME, INPUTS)

  @fast_jit
  def run(carry, inputs):
    return by_recurrence(cell, variables, carry, inputs)

  start = random_carry(cell)
  carry, first = run(start, inputs[:, :TIME])
  carry, second = run(carry, inputs[:, TIME:])
  outputs = np.concatenate([first, second], 1)
  assert_trees_close((carry, outputs), run(start, inputs))
  _, forgetful = run(cell.zeros((BATCH,)), inputs[:, TIME:])
  assert np.abs(forgetful - second).max() > 1e-3


@EACH
def test_sequences_that_end_and_start_again(name):
  cell = make(name, **NORM)
  variables, carry = randomised(cell), random_carry(cell)
  inputs, lengths = random(1, BATCH, TIME, INPUTS), jnp.array([TIME, 1, 3])
  reset = np.zeros((BATCH, TIME), bool)
  reset[0, 2] = reset[2, 0] = reset[1, 2] = True  # the last after its end

  def ours(variables, carry, inputs):
    return run_ours(
      *(cell, variables, inputs),
      initial_carry=carry,
      seq_lengths=lengths,
      reset=reset,
    )

  def one_by_one(variables, carry, inputs):
    """Each example alone, cut where it ends or starts again."""
    carries, rows = [], []
    for k, pieces in enumerate(([(0, 2), (2, 4)], [(0, 1)], [(0, 3)])):
      state = jax.tree.map(lambda x, k=k: x[k : k + 1], carry)
      outputs = jnp.zeros((1, TIME, UNITS))
      for begin, end in pieces:
        if reset[k, begin]:
          state = cell.zeros((1,))
        state, part = by_flax(
          cell, variables, state, inputs[k : k + 1, begin:end]
        )
        outputs = outputs.at[:, begin:end].set(part)
      carries.append(state)
      rows.append(outputs)
    return jax.tree.map(lambda *x: jnp.concatenate(x), *carries), (
      jnp.concatenate(rows)
    )

  arguments = variables, carry, inputs
  assert_trees_close(
    value_and_gradients(ours, *arguments),
    value_and_gradients(one_by_one, *arguments),
  )


@pytest.mark.parametrize('is_symbols', [False, True])
def test_segments_change_nothing_but_memory(is_symbols):
  cell = VARIANTS['hyperlstm']
  inputs = random(1, BATCH, TIME, INPUTS)
  if is_symbols:
    inputs = inputs.argmax(-1)

  def run(remat_steps):
    def apply(variables, carry):
      recurrence = Recurrence(cell, return_carry=True, remat_steps=remat_steps)
      return recurrence.apply(
        variables, inputs, initial_carry=carry, train=True
      )

    return value_and_gradients(apply, randomised(cell), random_carry(cell))

  assert_trees_close(run(2), run(0))


def test_segments_need_less_memory():
  cell = LSTMCell(32, 8)
  variables = randomised(cell, 8)

  def temporary_bytes(remat_steps):
    def loss(variables):
      recurrence = Recurrence(cell, remat_steps=remat_steps)
      inputs = jnp.zeros((16, 256), int)
      return recurrence.apply(variables, inputs, train=True).sum()

    compiled = fast_jit(jax.grad(loss)).lower(variables).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporary_bytes(16) < 0.2 * temporary_bytes(0)


def test_segments_that_do_not_fit_are_refused():
  recurrence = Recurrence(VARIANTS['lstm'], remat_steps=3)
  arguments = randomised(VARIANTS['lstm']), random(1, BATCH, TIME, INPUTS)
  with pytest.raises(ValueError, match='3, which does not divide .* 4 steps'):
    recurrence.apply(*arguments, train=True)
  recurrence.apply(*arguments)  # as evaluation and generation do


@pytest.mark.parametrize(
  'fields', [{'remat_steps': -2}, {'derivative_limit': -1.0}]
)
def test_negative_numbers_are_refused(fields):
  with pytest.raises(ValueError, match=f'{[*fields][0]} is -'):
    Recurrence(VARIANTS['lstm'], **fields)


def test_vectors_are_given_no_factors():
  cell = VARIANTS['lstm']
  arguments = randomised(cell), random(1, BATCH, TIME, INPUTS)
  with pytest.raises(ValueError, match='scale is for symbols'):
    Recurrence(cell).apply(*arguments, scale=jnp.ones((BATCH, TIME)))


@pytest.mark.parametrize(
  'batch, shape, message',
  [
    (3, (3, 2, 4, 5), r'inputs have the shape \(3, 2, 4, 5\)'),
    (4, (4, 5), r'inputs have the shape \(4, 5\)'),
    (2, (3, 4, 5), r'carry \(float32\[2,5\], .* its own is \(float32\[3,5\]'),
  ],
)
def test_other_shapes_are_refused(batch, shape, message):
  cell = LSTMCell(5)
  with pytest.raises(ValueError, match=message):
    Recurrence(cell).init(
      jax.random.key(0), jnp.zeros(shape), initial_carry=cell.zeros((batch,))
    )


def test_a_list_is_no_input():
  with pytest.raises(ValueError, match='inputs are a list, not an array'):
    Recurrence(LSTMCell(5)).init(jax.random.key(0), [[1, 2], [3, 4]])


@pytest.mark.parametrize('time_major', [False, True])
@pytest.mark.parametrize(
  'name, control, wanted',
  [
    ('seq_lengths', np.ones(3, int), r'int\[2\]'),
    ('seq_lengths', np.ones(2, 'f'), r'int\[2\]'),
    ('seq_lengths', [3, 4], r'int\[2\]'),
    ('scale', np.ones((2, 6), 'f'), r'float\[(2, 7|7, 2)\]'),
    ('scale', np.ones((2, 7), bool), r'float\[(2, 7|7, 2)\]'),
    ('scale', 0.5, r'float\[(2, 7|7, 2)\]'),
    ('reset', np.ones(3, bool), r'bool\[2\] or bool\[(2, 7|7, 2)\]'),
    ('reset', np.ones((2, 6), bool), r'bool\[2\] or bool\[(2, 7|7, 2)\]'),
    ('reset', np.ones(2, int), r'bool\[2\] or bool\[(2, 7|7, 2)\]'),
  ],
)
def test_controls_of_another_shape_or_type_are_refused(
  name, control, wanted, time_major
):
  symbols = jnp.ones((7, 2) if time_major else (2, 7), int)
  recurrence = Recurrence(LSTMCell(5, 3), time_major=time_major)
  with pytest.raises(ValueError, match=f'^{name} is .*must be an .*{wanted}'):
    recurrence.init(jax.random.key(0), symbols, **{name: control})


def test_a_cell_that_trains_does_so_here_too():
  cell = make('lstm', dropout_rate=0.5)
  arguments = randomised(cell), random(1, BATCH, TIME, INPUTS)
  rngs = {'dropout': jax.random.key(0)}
  wanted = run_ours(cell, *arguments, train=True, rngs=rngs)
  found = run_ours(cell.clone(train=True), *arguments, rngs=rngs)
  assert_trees_close(found, wanted, 0)


@jax.custom_vjp
def clipped(x):
  return x


clipped.defvjp(
  lambda x: (x, None), lambda _, dy: (jnp.clip(dy, -LIMIT, LIMIT),)
)
LIMIT = 0.3


@EACH
def test_limited_derivatives_are_those_of_clipped_products(name):
  cell = make(name, **NORM)
  params = randomised(cell)['params']['cell']

  def ours(packed, carry, x):
    return unroll(
      *(cell.step, *packed, carry, (x, None, undrawn(cell))),
      derivative_limit=LIMIT,
    )

  def plain(packed, carry, x):
    matrices, small = packed
    multiply = make_multiply(matrices, jnp.float32)

    def product(name, left):
      return clipped(multiply(name, left))

    def body(carry, x):
      return cell.step(product, small, carry, clipped(x), undrawn(cell))

    return jax.lax.scan(body, carry, x)

  x = random(1, TIME, BATCH, cell.pack(params)[0]['x'].shape[1])
  arguments = cell.pack(params), random_carry(cell), x
  limited = value_and_gradients(ours, *arguments)
  assert_trees_close(limited, value_and_gradients(plain, *arguments))
  free = value_and_gradients(
    lambda packed, carry, x: unroll(
      cell.step, *packed, carry, (x, None, undrawn(cell))
    ),
    *arguments,
  )
  assert np.abs(free[0][2] - limited[0][2]).max() > 1e-3


def test_a_limit_keeps_the_gradient_of_a_long_window_finite():
  cell = LSTMCell(8, layer_norm=True)
  inputs = 1e-3 * random(1, 2, 900, 3)
  variables = Recurrence(cell).init(jax.random.key(0), inputs)
  variables['params']['cell']['gamma'] *= 4  # amplifies what it is given

  @functools.partial(fast_jit, static_argnums=0)
  def largest(limit):
    def loss(variables):
      run = Recurrence(cell, derivative_limit=limit)
      return run.apply(variables, inputs).sum()

    gradients = jax.tree.leaves(jax.grad(loss)(variables))
    return jnp.array([jnp.abs(x).max() for x in gradients]).max()

  assert not largest(0.0) < 1e12
  assert largest(1.0) < 1e6


@EACH
def test_double_precision_elsewhere_does_no_harm(name):
  cell = make(name, **NORM)
  arguments = (
    randomised(cell),
    random_carry(cell),
    random(1, BATCH, TIME, INPUTS),
  )
  with jax.enable_x64(True):
    ours, theirs = (
      value_and_gradients(functools.partial(run, cell), *arguments)
      for run in (by_recurrence, by_flax)
    )
    start = cell.zeros((BATCH,))
    value_and_gradients(
      functools.partial(by_recurrence, cell), arguments[0], start, arguments[2]
    )
    begun = nn.RNN(cell).init(jax.random.key(0), arguments[2])
  assert_trees_close(ours, theirs)
  assert {x.dtype.name for x in jax.tree.leaves(begun)} == {'float32'}


def test_bfloat16_is_close_and_keeps_float32_state():
  cell = VARIANTS['hyperlstm']
  arguments = (
    randomised(cell),
    random_carry(cell),
    random(1, BATCH, TIME, INPUTS),
  )
  exact, rough = (
    value_and_gradients(functools.partial(by_recurrence, x), *arguments)
    for x in (cell, cell.clone(dtype=jnp.bfloat16))
  )
  for x, y in zip(jax.tree.leaves(rough), jax.tree.leaves(exact), strict=True):
    assert x.dtype == jnp.float32
    error = np.linalg.norm(x - y) / np.linalg.norm(y)
    assert 0 < error < 0.06


# Called as nn.RNN is.

LENGTHS = np.array([TIME, 2, 1])
CALLS = [
  {},
  {'time_major': True},
  {'reverse': True},
  {'reverse': True, 'keep_order': True},
  {'seq_lengths': LENGTHS},
  {'seq_lengths': LENGTHS, 'reverse': True},
  {
    'seq_lengths': LENGTHS,
    'reverse': True,
    'keep_order': True,
    'time_major': True,
  },
]


@pytest.mark.parametrize('call', CALLS, ids=lambda call: ' '.join(call))
@pytest.mark.parametrize('as_field', [False, True])
def test_arguments_mean_what_they_mean_for_flax(call, as_field):
  cell = VARIANTS['lstm-plain']
  variables, carry = randomised(cell), random_carry(cell)
  inputs = random(1, BATCH, TIME, INPUTS)
  if call.get('time_major'):
    inputs = np.swapaxes(inputs, 0, 1)
  fields = {k: x for k, x in call.items() if as_field and k != 'seq_lengths'}
  given = {k: x for k, x in call.items() if k not in fields}
  (ours, found), (theirs, wanted) = (
    fast_jit(
      functools.partial(kind(cell, return_carry=True, **fields).apply, **given)
    )(variables, inputs, initial_carry=carry)
    for kind in (Recurrence, nn.RNN)
  )
  if 'seq_lengths' in call:  # where the outputs of nn.RNN are of no use
    is_live = np.arange(TIME)[None] < LENGTHS[:, None]
    is_live = is_live.T if call.get('time_major') else is_live
    wanted = np.where(is_live[..., None], wanted, 0)
  assert_trees_close((ours, found), (theirs, wanted))


def test_without_a_carry_it_starts_from_zeros_and_returns_outputs_alone():
  cell = VARIANTS['hyperlstm']
  variables, inputs = randomised(cell), random(1, BATCH, TIME, INPUTS)
  outputs = Recurrence(cell).apply(variables, inputs)
  _, wanted = by_recurrence(cell, variables, cell.zeros((BATCH,)), inputs)
  np.testing.assert_array_equal(outputs, wanted)


def test_it_runs_both_ways_and_in_stacks_with_flax():
  cells = VARIANTS['lstm-plain'], VARIANTS['gru']
  inputs = random(1, BATCH, TIME, INPUTS)

  def outputs(kinds, variables=None):
    both = nn.Bidirectional(*(k(c) for k, c in zip(kinds, cells, strict=True)))
    top = kinds[1](make('rnn'))
    stack = nn.Sequential([both, top])
    if variables is None:
      return jax.jit(stack.init)(jax.random.key(0), inputs)
    return jax.jit(stack.apply)(variables, inputs)

  variables = outputs([nn.RNN, nn.RNN])
  wanted = outputs([nn.RNN, nn.RNN], variables)
  for kinds in ([Recurrence] * 2, [Recurrence, nn.RNN], [nn.RNN, Recurrence]):
    assert_trees_close(outputs(kinds), variables, 0)
    assert_trees_close(outputs(kinds, variables), wanted)


def test_a_bidirectional_layer_knows_lengths_and_carries():
  cell = VARIANTS['lstm-plain']
  inputs, lengths = random(1, BATCH, TIME, INPUTS), jnp.array(LENGTHS)
  carries = random_carry(cell), random_carry(cell)
  is_live = (np.arange(TIME)[None] < LENGTHS[:, None])[..., None]

  @functools.partial(jax.jit, static_argnums=0)
  def run(kind, variables=None):
    layer = nn.Bidirectional(kind(cell), kind(cell.clone()), return_carry=True)
    if variables is None:
      return layer.init(jax.random.key(0), inputs)
    return layer.apply(
      variables, inputs, initial_carry=carries, seq_lengths=lengths
    )

  variables = run(nn.RNN)
  ours, found = run(Recurrence, variables)
  theirs, wanted = run(nn.RNN, variables)
  assert_trees_close((ours, found), (theirs, np.where(is_live, wanted, 0)))


@EACH
def test_the_order_of_old_is_refused_with_the_new_call(name):
  cell = make(name)
  inputs = jnp.ones((BATCH, TIME, INPUTS))
  with pytest.raises(ValueError, match=r'recurrence\(inputs, initial_carry='):
    Recurrence(cell).apply({}, cell.zeros((BATCH,)), inputs)


def test_a_carry_alone_is_no_input():
  cell = VARIANTS['lstm']
  with pytest.raises(ValueError, match=r'inputs are a tuple, not an array\.'):
    Recurrence(cell).apply({}, cell.zeros((BATCH,)))


def test_a_foreign_cell_is_refused():
  with pytest.raises(ValueError, match='got a GRUCell; .* under nn.RNN'):
    Recurrence(nn.GRUCell(3))


def test_streams_that_start_again_before_the_window():
  cell = VARIANTS['hyperlstm']
  variables, inputs = randomised(cell), random(1, BATCH, TIME, INPUTS)
  carry, reset = random_carry(cell), np.array([True, False, True])
  by_step = np.zeros((BATCH, TIME), bool)
  by_step[:, 0] = reset
  found, same = (
    run_ours(cell, variables, inputs, initial_carry=carry, reset=jnp.array(x))
    for x in (reset, by_step)
  )
  assert_trees_close(found, same)
  kept = by_recurrence(cell, variables, carry, inputs)[1]
  begun = by_recurrence(cell, variables, cell.zeros((BATCH,)), inputs)[1]
  wanted = np.where(reset[:, None, None], begun, kept)
  np.testing.assert_allclose(found[1], wanted, atol=1e-6)


# Rates as arguments of the compiled program.


def dropping_step(name, remat_steps=0):
  """Value and gradient of a training step by parameters and rates."""
  inputs = random(1, BATCH, TIME, INPUTS)

  def loss(variables, rates):
    run = Recurrence(make(name, **NORM, **rates), remat_steps=remat_steps)
    outputs = run.apply(
      variables, inputs, train=True, rngs={'dropout': jax.random.key(3)}
    )
    return weighted(outputs)

  return jax.value_and_grad(loss)


TRACED = {k: jnp.float32(x) for k, x in DROPOUT.items()}


@pytest.mark.parametrize(
  'name, remat_steps', [*((name, 0) for name in DROPPING), ('lstm', 2)]
)
def test_a_traced_rate_drops_what_the_number_drops(name, remat_steps):
  step = dropping_step(name, remat_steps)
  variables = randomised(make(name, **NORM))
  wanted = fast_jit(lambda variables: step(variables, DROPOUT))(variables)
  assert_trees_close(fast_jit(step)(variables, TRACED), wanted)


def test_one_program_runs_several_rates_at_once():
  step, variables = dropping_step('lstm'), randomised(make('lstm', **NORM))
  rates = jax.tree.map(lambda x: jnp.stack([x, 0 * x]), TRACED)
  found = fast_jit(jax.vmap(step, (None, 0)))(variables, rates)
  for k, numbers in enumerate((DROPOUT, {})):
    wanted = fast_jit(lambda x, rates=numbers: step(x, rates))(variables)
    assert_trees_close(jax.tree.map(lambda x, k=k: x[k], found), wanted)


# Products.


class TwiceCell(LSTMCell):
  """Asks for the product with W_h of h and, once more, of a tenth of it."""

  def step(self, product, small, carry, x, masks):
    c, h = carry
    y = product('h', h) + product('h', 0.1 * h)
    return super().step(lambda name, left: y, small, (c, h), x, masks)


class SmallCell(LSTMCell):
  """Leaves W_h among the small weights."""

  def pack(self, weights):
    matrices, small = super().pack(weights)
    return {'x': matrices['x']}, small | {'w_h': matrices['h']}

  def step(self, product, small, carry, x, masks):
    return super().step(
      lambda name, left: left @ small['w_h'], small, carry, x, masks
    )


@pytest.mark.parametrize('kind', [TwiceCell, SmallCell])
def test_a_cell_may_ask_twice_and_may_leave_a_matrix(kind):
  cell = kind(UNITS)
  arguments = (
    randomised(cell),
    random_carry(cell),
    random(1, BATCH, TIME, INPUTS),
  )
  ours, theirs = (
    value_and_gradients(functools.partial(run, cell), *arguments)
    for run in (by_recurrence, by_flax)
  )
  assert_trees_close(ours, theirs)
