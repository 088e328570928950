"""Translation: encoder, attention and decoder (section 4.6, appendix A.3.6).

The architecture is that of GNMT (Wu et al. 2016, arXiv 1609.08144, section 3),
in which every LSTM may be another cell. The facts here are from descriptions of
that paper. Unless `bottom_context` is set, the bottom layer of the decoder
reads the target alone. Then it runs over the whole target first, attention
follows, and the layers above come last: training needs no loop over pieces.

Shapes: b batch, s source pieces, t target pieces, n units, v vocabulary size.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from hyper.cells import Cell, Rate, check_rate
from hyper.models.dropout import Dropout
from hyper.recurrence import Recurrence, flip

FIRST_RESIDUAL = 2  # the third layer from the bottom


class Memory(NamedTuple):
  """The output of the encoder, which the decoder reads.

  Attributes:
    values: [b, s, n], outputs of the top encoder layer.
    keys: [b, s, n], their contribution to the hidden layer of attention, the
      same at every step.
    mask: bool [b, s], true where there is a piece.
  """

  values: Float[Array, 'b s n']
  keys: Float[Array, 'b s n']
  mask: Bool[Array, 'b s']


def uniform(limit: float) -> Callable[..., Array]:
  """Returns an initialiser that is uniform in plus and minus `limit`."""

  def draw(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32):
    return jax.random.uniform(key, shape, dtype, -limit, limit)

  return draw


class Translator(nn.Module):
  """GNMT with any cells.

  The bottom encoder layer is bidirectional. Layers from the third on add their
  input to their output. Attention reads the bottom decoder layer and the top
  encoder layer, and its context is an input of every decoder layer above the
  bottom one. Dropout is on the input of every layer and of the softmax layer.
  The decoder starts from zeros.

  Attributes:
    encoder_cells: the forward and the backward cell of the bottom layer, then
      those of the layers above it.
    decoder_cells: from the bottom up, at least two.
    vocabulary_size: v, of one set of word pieces for both languages.
    dropout_rate: of dropout on the inputs of layers.
    start_limit: parameters start uniform in plus and minus this value. GNMT's
      0.04 is for 1024 units; smaller models learn slowly from it.
    uniform_cells: start the parameters of cells like this too, as GNMT does,
      except the gains and shifts of layer norm. Otherwise cells use their own
      initialisers.
    remat: compute each recurrent layer again in the backward pass instead of
      keeping the values of the forward pass: less memory, more time.
    bottom_context: let the bottom decoder layer read the context of the piece
      before, too. Training is then a loop over single pieces.

  Deviation: in GNMT's formula the query is the bottom layer's output of the
  step before. Here it is that of the step itself, whose input is the piece
  before: it is as recent, and attention needs no loop. GNMT's context goes to
  all decoder layers; here to the bottom one only with `bottom_context`.

  Raises:
    ValueError: there are too few layers, or the rate is not within [0, 1).
  """

  encoder_cells: Sequence[Cell]
  decoder_cells: Sequence[Cell]
  vocabulary_size: int
  dropout_rate: Rate = 0.0
  start_limit: float = 0.04
  uniform_cells: bool = False
  remat: bool = False
  bottom_context: bool = False

  def __post_init__(self) -> None:
    if len(self.encoder_cells) < 2 or len(self.decoder_cells) < 2:
      raise ValueError(
        f'There are {len(self.encoder_cells)} encoder cells and '
        f'{len(self.decoder_cells)} decoder cells; each needs at least two: '
        'the bottom encoder layer has one for each direction, and attention '
        'lies between two decoder layers.'
      )
    check_rate('dropout_rate', self.dropout_rate)
    super().__post_init__()

  def setup(self) -> None:
    """Makes the embeddings, the layers, attention and the softmax layer."""
    units, start = self.decoder_cells[0].units, uniform(self.start_limit)
    self.source_embedding = nn.Embed(
      self.vocabulary_size, units, embedding_init=start
    )
    self.target_embedding = nn.Embed(
      self.vocabulary_size, units, embedding_init=start
    )
    self.encoder_layers = [Recurrence(cell) for cell in self.encoder_cells]
    self.decoder_layers = [Recurrence(cell) for cell in self.decoder_cells]
    self.attention_query = nn.Dense(units, kernel_init=start, bias_init=start)
    self.attention_key = nn.Dense(units, use_bias=False, kernel_init=start)
    score = self.param('attention_score', start, (units,), jnp.float32)
    self.attention_score = jnp.asarray(score)
    self.dropout = Dropout(self.dropout_rate)
    self.softmax = nn.Dense(
      self.vocabulary_size, kernel_init=start, bias_init=start
    )

  def __call__(
    self,
    source: Int[Array, 'b s'],
    mask: Bool[Array, 'b s'],
    inputs: Int[Array, 'b t'],
    train: bool = False,
  ) -> Float[Array, 'b t v']:
    """Returns the logits [b, t, v] of the piece after each of `inputs`.

    Args:
      source: the source pieces, with padding at the end.
      mask: true at the pieces of the source; every row has at least one.
      inputs: the target pieces, with padding at the end.
      train: turns dropout on, from the random stream 'dropout'.
    """
    memory = self.encode(source, mask, train)
    carries = self.zeros(inputs.shape[0])
    return self.decode(carries, memory, inputs, train)[1]

  def encode(
    self, source: Int[Array, 'b s'], mask: Bool[Array, 'b s'], train: bool
  ) -> Memory:
    """Reads `source`; padding, where `mask` is false, changes nothing."""
    lengths = mask.sum(-1)
    forward, backward, *above = self.encoder_layers
    x = self.dropout(self.source_embedding(source), train)
    _, flipped = self._run(backward, None, flip(x, lengths, False), train)
    _, y = self._run(forward, None, x, train)
    x = jnp.concatenate([y, flip(flipped, lengths, False)], -1)
    for k, layer in enumerate(above, 1):
      _, y = self._run(layer, None, self.dropout(x, train), train)
      x = x + y if k >= FIRST_RESIDUAL else y
    return Memory(x, self.attention_key(x), mask)

  def decode(
    self,
    carries: Any,
    memory: Memory,
    inputs: Int[Array, 'b t'],
    train: bool = False,
  ) -> tuple[Any, Float[Array, 'b t v'], Float[Array, 'b t s']]:
    """Runs a window of target pieces, or a single one.

    Args:
      carries: the carry of each layer before the window.
      memory: what `encode` returned.
      inputs: the piece before each predicted one.
      train: whether dropout is on.

    Returns:
      The carries after the window, the logits [b, t, v], and the attention
      [b, t, s]: for each target piece, weights of the source pieces that sum
      to 1.
    """
    bottom, *above = self.decoder_layers
    x = self.dropout(self.target_embedding(inputs), train)
    if self.bottom_context:
      carry, (x, weights, context) = self._read_with_context(
        carries[0], memory, x, train
      )
    else:
      carry, x = self._run(bottom, carries[0], x, train)
      weights, context = self._attend(x, memory)
    after = [carry]
    for k, layer in enumerate(above, 1):
      x_and_context = self.dropout(jnp.concatenate([x, context], -1), train)
      carry, y = self._run(layer, carries[k], x_and_context, train)
      x = x + y if k >= FIRST_RESIDUAL else y
      after.append(carry)
    return tuple(after), self.softmax(self.dropout(x, train)), weights

  @nn.nowrap
  def start(self, key: Array) -> Any:
    """Returns the initial parameters."""
    init_key, cell_key = jax.random.split(key)
    symbols = jnp.zeros((1, 1), jnp.int32)
    params = self.init(init_key, symbols, symbols == 0, symbols)['params']
    if not self.uniform_cells:
      return params
    return start_uniformly(cell_key, params, self.start_limit)

  @nn.nowrap
  def zeros(self, batch: Any) -> Any:
    """Returns the carries of the decoder's layers before the first piece."""
    bottom, *above = (cell.zeros((batch,)) for cell in self.decoder_cells)
    if self.bottom_context:
      size = self.encoder_cells[-1].units
      bottom = bottom, jnp.zeros((batch, size), jnp.float32)
    return bottom, *above

  def _read_with_context(
    self, carry: Any, memory: Memory, x: Float[Array, 'b t n'], train: bool
  ) -> tuple[Any, tuple[Array, Array, Array]]:
    """Runs the bottom decoder layer with the context of the piece before.

    The carry is that of the cell and the context [b, n].

    Returns:
      The carry after the window, and a tuple of the outputs of the layer
      [b, t, n] and of what `_attend` returns for them.
    """

    def step(model: Translator, carry: Any, x: Array) -> Any:
      carry, context = carry
      both = jnp.concatenate([x, model.dropout(context, train)], -1)
      bottom = model.decoder_layers[0]
      carry, y = model._run(bottom, carry, both[:, None], train)
      read = jax.tree.map(lambda x: x[:, 0], (y, *model._attend(y, memory)))
      return (carry, read[-1]), read

    return nn.scan(
      step,
      variable_broadcast='params',
      split_rngs={'params': False, 'dropout': True},
      in_axes=1,
      out_axes=1,
      # The check mistakes a print in a user's cell for a changing parameter.
      check_constancy_invariants=self.is_initializing(),
    )(self, carry, x)

  def _attend(
    self, x: Float[Array, 'b t n'], memory: Memory
  ) -> tuple[Float[Array, 'b t s'], Float[Array, 'b t n']]:
    """Returns the weights of the source pieces, and the context, for `x`."""
    weights = attend(
      self.attention_query(x), memory.keys, self.attention_score, memory.mask
    )
    return weights, jnp.matmul(weights, memory.values)

  def _run(
    self, layer: Recurrence, carry: Any, x: Float[Array, 'b t k'], train: bool
  ) -> tuple[Any, Float[Array, 'b t n']]:
    """Returns the carry and outputs of `layer`; `carry` None means zeros."""

    def run(layer: Recurrence, carry: Any, x: Array) -> Any:
      return layer(x, initial_carry=carry, return_carry=True, train=train)

    return (nn.remat(run) if self.remat else run)(layer, carry, x)


def attend(
  queries: Float[Array, 'b t n'],
  keys: Float[Array, 'b s n'],
  score: Float[Array, ' n'],
  mask: Bool[Array, 'b s'],
) -> Float[Array, 'b t s']:
  """Returns the weights of additive attention (Bahdanau et al. 2015).

    weights = softmax(score tanh(query + key))

  A loop runs over the target pieces, and the gradient computes their hidden
  layers again. All of them together would be an array [b, t, s, n].
  """

  @jax.checkpoint
  def weights(query: Float[Array, 'b n']) -> Float[Array, 'b s']:
    scores = jnp.matmul(jnp.tanh(query[:, None] + keys), score)
    return jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), -1)

  return jnp.swapaxes(jax.lax.map(weights, jnp.swapaxes(queries, 0, 1)), 0, 1)


def start_uniformly(key: Array, params: Any, limit: float) -> Any:
  """Draws the parameters of cells, but not of layer norm, in +-`limit`."""
  leaves, structure = jax.tree_util.tree_flatten_with_path(params)
  started = []
  for k, (path, x) in enumerate(leaves):
    names = [entry.key for entry in path]
    is_cell = '_cells_' in names[0]
    is_norm = any(part in names[-1] for part in ('gamma', 'beta'))
    if is_cell and not is_norm:
      x = uniform(limit)(jax.random.fold_in(key, k), x.shape, x.dtype)
    started.append(x)
  return jax.tree.unflatten(structure, started)
