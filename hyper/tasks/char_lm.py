"""Character language models (sections 4.3 and 4.4), in bits per character.

Shapes: b streams, t window, v vocabulary size.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array
from ml_collections import ConfigDict

from hyper.cells import CELLS, Rate
from hyper.cells.cell import LARGE
from hyper.configuration import Fed, build, check_positive, splat
from hyper.data import (
  batches,
  fingerprints,
)
from hyper.data.vocabulary import Vocabulary
from hyper.decode import Apply, read_symbols, symbol_sampler
from hyper.losses import cross_entropy
from hyper.models.char_lm import CharacterModel
from hyper.runs import folder
from hyper.runs.numbers import NONE, Numbers, numbers_of, with_numbers
from hyper.runs.task import Outcome
from hyper.tasks.text_data import SPLITS, TextData

SAMPLE_SYMBOLS = 400  # of a text that is shown while the model is trained
NUMBERS = (  # arguments of the compiled training step
  'model.input_dropout_rate',
  'model.output_dropout_rate',
  'model.cell.dropout_rate',
  'model.cell.hyper_dropout_rate',
)


class CharLM:
  """Predicts each symbol of a text from all before it.

  Training is truncated back-propagation through contiguous streams: a window
  starts from the carry at the end of the window before it. Evaluation scores
  every symbol of a split once.

  Deviation: the paper does not say whether the carry is kept between windows,
  nor where streams begin. Here they begin at another symbol in each epoch, from
  the zero carry. By default evaluation reads several streams, each warmed up on
  the text before it; the paper's one pass over a split is `eval_streams=1`.

  Raises:
    ValueError: a field of the config does not fit, or the text has a symbol
      that the run's vocabulary lacks.
    FileNotFoundError: the text is missing.
  """

  selection = ('bpc', 'min')
  unit = 'characters'
  reported_split = 'test'
  has_streams = True
  has_buckets = False
  mean_over = 'count'
  large = LARGE

  def __init__(self, config: ConfigDict, data_dir: str, workdir: str):
    self.data: TextData = splat(TextData, 'config.data', config.data)
    self._fields = config.model.to_dict()
    self._make_model(1)  # raises for a wrong field before data are prepared
    saved = folder.read(workdir, folder.VOCABULARY, Vocabulary.from_text)
    self.vocabulary = saved or self.data.make_vocabulary(data_dir)
    self.model = self._make_model(len(self.vocabulary))
    self.numbers = numbers_of(config, NUMBERS)
    self._symbols = functools.cache(
      functools.partial(self.data.encode, data_dir, self.vocabulary)
    )
    if saved is None:
      folder.save(workdir, folder.VOCABULARY, self.vocabulary.to_text())

  @staticmethod
  def sections() -> dict[str, Fed]:
    """Returns what the sections of the config feed, see `describe`."""
    return {
      'data': (TextData,),
      'model': (CharacterModel, make_model),
      'model.cell': CELLS,
    }

  def init(self, key: Array) -> tuple[Any, Any]:
    """Returns parameters, and the carry at the start of all streams."""
    carry = self.model.zeros(self.data.batch_size)
    symbols = jnp.zeros((self.data.batch_size, 1), jnp.int32)
    return self.model.init(key, carry, symbols)['params'], carry

  def batches(
    self, split: str, seed: int, start: int, once: bool = False
  ) -> Iterator[dict[str, np.ndarray]]:
    """Yields windows of text: the split once, or 'train' without end."""
    symbols, data = self._symbols(split), self.data
    if split == 'train' and not once:
      return batches.training_windows(
        symbols, data.batch_size, data.window_steps, seed, start
      )
    return batches.scoring_windows(
      symbols,
      self.vocabulary.start,
      data.eval_streams,
      data.window_steps,
      data.eval_warmup_steps,
    )

  def loss(
    self,
    params: Any,
    model_state: Any,
    batch: Any,
    key: Array,
    train: bool,
    numbers: Numbers = NONE,
  ) -> Outcome:
    """Returns the mean nats per scored symbol, the next carry, and the sums."""
    carry, logits = self._make_model(len(self.vocabulary), numbers).apply(
      {'params': params},
      *(model_state, batch['inputs'], train, batch['reset']),
      rngs={'dropout': key},
    )
    nats = cross_entropy(logits, batch['targets'])
    nats = jnp.where(batch['mask'], nats, jnp.zeros_like(nats)).sum()
    count = batch['mask'].sum()
    sums = {'nats': nats, 'count': count}
    return nats / jnp.maximum(count, 1), (carry, sums)

  def encode(self, text: str, name: str) -> np.ndarray:
    """Returns the numbers of a text's symbols.

    Args:
      text: any text. In Penn Treebank a blank is '_'; both are read.
      name: of the text, in error messages.

    Raises:
      ValueError: the vocabulary lacks a letter of the text.
    """
    if self.data.source == 'ptb':
      text = text.replace(' ', '_')
    return self.vocabulary.encode_text(text, name)

  def reader(self, params: Any) -> Apply:
    """Returns `apply(carry, symbols) -> (carry, logits)`, without dropout."""
    return lambda carry, symbols: self.model.apply(
      {'params': params}, carry, symbols
    )

  def sample(
    self,
    params: Any,
    prompt: str,
    length: int,
    temperature: float,
    seed: int,
    count: int = 1,
  ) -> Iterator[np.ndarray]:
    """Yields numbers of symbols [count], drawn to follow a prompt.

    Args:
      params: of the model.
      prompt: a text that the model reads first.
      length: the number of symbols of each text.
      temperature: see `decode.sample_symbols`.
      seed: of the draws.
      count: the number of texts.

    Raises:
      ValueError: the temperature is below 0 or not finite, or a symbol of the
        prompt is not in the vocabulary.
    """
    read = [self.vocabulary.start, *self.encode(prompt, 'the prompt').tolist()]
    logging.log_first_n(logging.INFO, 'Compiling what draws symbols.', 1)
    prompts = np.tile(np.array(read, np.int32), (count, 1))
    given = {'params': params}, self.model.zeros(count), prompts
    return self._sample(*given, length, temperature, seed)

  @functools.cached_property
  def _sample(self) -> Any:
    return symbol_sampler(self.model.apply)

  def read(self, params: Any, symbols: np.ndarray) -> tuple[Any, Array]:
    """Reads the start symbol and then a text [t], symbol by symbol.

    Returns:
      The carries after each symbol, with time as the first axis, and the logits
      [t + 1, v] of the symbol that follows each.
    """
    text = jnp.array([self.vocabulary.start, *symbols])
    return read_symbols(self.reader(params), self.model.zeros(1), text)

  def eval_state(self, model_state: Any) -> Any:
    """Returns the carry at the start of all streams of an evaluation."""
    del model_state
    return self.model.zeros(self.data.eval_streams)

  def summarize(self, sums: dict[str, float]) -> dict[str, float]:
    """Returns the bits per character."""
    return {'bpc': sums['nats'] / sums['count'] / math.log(2)}

  def describe(self) -> list[str]:
    """Returns the sizes of the splits, and the unigram entropy."""
    sizes = [f'{split} {len(self._symbols(split)):,}' for split in SPLITS]
    kind = self.data.symbols if self.data.source == 'text' else 'characters'
    return [
      f'source {self.data.source}: {", ".join(sizes)} {kind}, '
      f'{len(self.vocabulary)} symbols',
      *self._describe_unseen(),
      f'unigram entropy {self.unigram_bpc("validation"):.3f} bpc (the score on '
      'validation of the symbol frequencies of the training text)',
    ]

  def _describe_unseen(self) -> list[str]:
    seen = np.zeros(len(self.vocabulary), bool)
    seen[self._symbols('train')] = True
    if seen.all():
      return []
    places = [
      f'{int((~seen[self._symbols(split)]).sum()):,} places of {split}'
      for split in SPLITS[1:]
    ]
    return [
      f'{int((~seen).sum())} symbols are not in the training text '
      f'({" and ".join(places)}); they are scored, but cannot be learned'
    ]

  def unigram_bpc(self, split: str) -> float:
    """Returns a split's bits per character under the training frequencies.

    A symbol that does not occur in the training text is counted once.
    """
    counts = np.bincount(self._symbols('train'), minlength=len(self.vocabulary))
    p = np.maximum(counts, 1) / counts.sum()
    return float(-np.log2(p[self._symbols(split)]).mean())

  def fingerprint(self, split: str) -> str:
    """Returns a hash of the text of a split."""
    return fingerprints.of_arrays([self._symbols(split)])

  def samples(self, state: Any) -> dict[str, str]:
    """Returns a text that the model draws, to be shown while it is trained."""
    drawn = self.sample(state.params, '', SAMPLE_SYMBOLS, 1.0, seed=0)
    text = self.vocabulary.to_bytes([int(symbols[0]) for symbols in drawn])
    return {'text': text.decode(errors='replace')}

  def report(self, state: Any, split: str) -> dict[str, Any]:
    """Returns {}: there are no further scores."""
    del state, split
    return {}

  def _make_model(
    self, vocabulary_size: int, numbers: Numbers = NONE
  ) -> CharacterModel:
    return splat(
      make_model,
      'config.model',
      with_numbers(self._fields, 'model', numbers),
      vocabulary_size=vocabulary_size,
    )


def make_model(
  cell: Any,
  layers: int,
  input_dropout_rate: Rate,
  output_dropout_rate: Rate,
  remat_steps: int,
  vocabulary_size: int,
) -> CharacterModel:
  """Returns the model of the section config.model: `layers` cells of one kind.

  Args:
    cell: the section config.model.cell, see `CELLS`.
    layers: the number of layers.
    input_dropout_rate: see `CharacterModel`, as for the other fields.
    output_dropout_rate: see there.
    remat_steps: see there.
    vocabulary_size: see there.

  Raises:
    ValueError: a field does not fit.
  """
  check_positive('config.model', layers=layers)
  cells = [
    build(CELLS, 'config.model.cell', cell, input_size=vocabulary_size)
    for _ in range(layers)
  ]
  return CharacterModel(
    cells,
    vocabulary_size,
    input_dropout_rate,
    output_dropout_rate,
    remat_steps,
  )
