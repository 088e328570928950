"""Translation (section 4.6), in nats per word piece and in BLEU.

Shapes: b pairs, s and t word pieces of the source and the target.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array
from ml_collections import ConfigDict

from hyper.cells import CELLS, Rate
from hyper.cells.cell import LARGE
from hyper.configuration import Fed, Fields, build, check_fields, splat
from hyper.data import pair_batches
from hyper.data.pair_batches import Buckets, Order
from hyper.data.word_pieces import END, PAD, WordPieces
from hyper.losses import cross_entropy
from hyper.models.translate import Translator
from hyper.runs import folder
from hyper.runs.numbers import NONE, Numbers, numbers_of, with_numbers
from hyper.runs.task import Outcome
from hyper.tasks.translation_data import SPLITS, Decoding, TranslationData
from hyper.tasks.translation_search import make_look, make_search
from hyper.terminal import track

SAMPLE_PAIRS = 5  # whose translations are shown in training
MOST_UNKNOWN = 0.01  # a larger share of unknown pieces is a warning
NUMBERS = (  # arguments of the compiled training step
  'model.dropout_rate',
  'model.cell.dropout_rate',
  'model.cell.hyper_dropout_rate',
)


class Translate:
  """Predicts each word piece of a translation from source and earlier pieces.

  Pairs are batched by length. Word pieces are learned from the training pairs
  when a run begins, and kept in its folder.

  Raises:
    ValueError: a field of the config does not fit, or the text is damaged.
    FileNotFoundError: the text is missing.
  """

  selection = ('log_perplexity', 'min')
  unit = 'pieces'
  reported_split = 'test'
  has_streams = False
  has_buckets = True
  mean_over = 'count'
  large = LARGE | {
    'source_embedding/embedding': 1,
    'target_embedding/embedding': 1,
    'attention_query/kernel': 1,
    'attention_key/kernel': 1,
    'softmax/kernel': 1,
  }

  def __init__(self, config: ConfigDict, data_dir: str, workdir: str):
    check_fields(config, {'decoding': dict})
    self.data: TranslationData = splat(
      TranslationData, 'config.data', config.data
    )
    self.buckets = self.data.buckets
    self.decoding: Decoding = splat(
      Decoding, 'config.decoding', config.decoding
    )
    self._pairs = functools.cache(functools.partial(self.data.load, data_dir))
    self._orders: dict[str, Order] = {}
    self._fields = config.model.to_dict()
    self._make_model(1)  # raises for a wrong field before pieces are learned
    saved = folder.read(workdir, folder.WORD_PIECES, WordPieces)
    if saved is None:
      self.data.check_files(data_dir)  # before the pieces are learned
    self.pieces: WordPieces = saved or self.data.learn_pieces(
      self._pairs('train')
    )
    self.model = self._make_model(len(self.pieces))
    self.numbers = numbers_of(config, NUMBERS)
    if saved is None:
      folder.save(workdir, folder.WORD_PIECES, self.pieces.to_text())

  @staticmethod
  def sections() -> dict[str, Fed]:
    """Returns what the sections of the config feed, see `describe`."""
    return {
      'data': (TranslationData,),
      'model': (Translator, make_model),
      'model.cell': CELLS,
      'decoding': (Decoding,),
    }

  def init(self, key: Array) -> tuple[Any, Any]:
    """Returns parameters; the model has no state between batches."""
    return self.model.start(key), {}

  def batches(
    self, split: str, seed: int, start: int, once: bool = False
  ) -> Iterator[dict[str, np.ndarray]]:
    """Yields batches of `fill`: all once, or of 'train' without end."""
    order, pairs = self._order(split), self._pairs(split)
    chosen = order.once()
    if split == 'train' and not once:
      chosen = order.epochs(seed, start)
    for length, rows, numbers in chosen:
      sources, targets = zip(*pairs.take(numbers), strict=True)
      yield pair_batches.fill(
        self.pieces.encode(sources), self.pieces.encode(targets), length, rows
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
    """Returns the mean nats per target piece, an empty state, and the sums."""
    model = self._make_model(len(self.pieces), numbers)
    loss, sums = mean_nats(model, params, batch, key, train)
    return loss, (model_state, sums)

  def eval_state(self, model_state: Any) -> Any:
    """Returns the model state, which is empty."""
    return model_state

  def summarize(self, sums: dict[str, float]) -> dict[str, float]:
    """Returns the log perplexity, in nats per piece."""
    return {'log_perplexity': sums['nats'] / sums['count']}

  def samples(self, state: Any) -> dict[str, str]:
    """Returns translations of validation, to be shown during training."""
    pairs = self.examples('validation', SAMPLE_PAIRS)
    written = self.translate(state.params, [source for source, _ in pairs])
    lines = [
      f'{source}\n  {target}\n  -> {own}'
      for (source, target), own in zip(pairs, written, strict=True)
    ]
    return {'translations': '\n\n'.join(lines)}

  def report(self, state: Any, split: str) -> dict[str, Any]:
    """Returns BLEU of a split's translations, and the percentage of exact ones.

    BLEU is sacrebleu's, on plain text; its signature says how it was computed.
    Translations and references are normalised in the same way before.

    Deviation: the paper does not say how it computed BLEU. On tokenised text
    the score differs.
    """
    import sacrebleu  # slow, and training does without

    sources, references = zip(
      *self._pairs(split).take(range(len(self._pairs(split)))), strict=True
    )
    written = [
      [self.pieces.normalise(x) for x in side]
      for side in (self.translate(state.params, sources), references)
    ]
    bleu = sacrebleu.BLEU()
    score = bleu.corpus_score(written[0], [written[1]]).score
    exact = [one == other for one, other in zip(*written, strict=True)]
    return {
      'bleu': score,
      'bleu_signature': str(bleu.get_signature()),
      'normalisation': 'NFC and single blanks, translations and references',
      'exact_percent': 100 * float(np.mean(exact)),
    }

  def translate(self, params: Any, sentences: Sequence[str]) -> list[str]:
    """Returns the translations of sentences; an empty one stays empty."""
    return [self.pieces.decode(x) for x in self.search(params, sentences)]

  def search(self, params: Any, sentences: Sequence[str]) -> list[np.ndarray]:
    """Returns the pieces of each translation, int32 [t], the last being END."""
    encoded = self.pieces.encode(sentences)
    lengths = np.array([[len(x), len(x)] for x in encoded]).reshape(-1, 2)
    most = max(1, min(self.decoding.batch_size, len(encoded)))
    shapes = Buckets(
      self.data.bucket_lengths, most, most * self.data.bucket_lengths[-1]
    )
    found = [np.array([END], np.int32)] * len(encoded)
    logging.log_first_n(logging.INFO, 'Compiling the search.', 1)
    order = Order(lengths, shapes, keep_all=True).once()
    for length, rows, numbers in track(
      order, 'Translating', len(encoded), lambda chosen: len(chosen[2])
    ):
      sources = [encoded[k] for k in numbers]
      batch = pair_batches.fill(sources, sources, length, rows)
      pieces, _ = self._search(params, batch['source'])
      for k, row in zip(numbers, np.asarray(pieces), strict=False):
        if len(encoded[k]) > 1:
          found[k] = row[: int(np.argmax(row == END)) + 1]
    return found

  @functools.cached_property
  def _search(self) -> Any:
    return make_search(self.model, self.decoding)

  def align(
    self, params: Any, sentence: str
  ) -> tuple[list[str], list[str], np.ndarray]:
    """Translates a sentence and returns the attention.

    Returns:
      The pieces of the source [s] and of the translation [t], and for each
      piece of the translation the weights of the source pieces, [t, s].
    """
    (read,) = self.pieces.encode([sentence])
    (written,) = self.search(params, [sentence])
    s, t = len(read), len(written)
    batch = pair_batches.fill([read], [written], max(s, t), 1)
    weights = self._look(params, batch['source'], batch['inputs'])
    labels = [[self.pieces.pieces[k] for k in side] for side in (read, written)]
    return labels[0], labels[1], np.asarray(weights[0, :t, :s])

  @functools.cached_property
  def _look(self) -> Any:
    return make_look(self.model)

  def examples(self, split: str, count: int) -> list[tuple[str, str]]:
    """Returns at most `count` sentence pairs, spread evenly over a split."""
    pairs = self._pairs(split)
    places = np.linspace(0, len(pairs) - 1, min(count, len(pairs)))
    return pairs.take(places.astype(int))

  def describe(self) -> list[str]:
    """Returns sizes of splits and batches, and the share of unknown pieces."""
    pairs = [f'{split} {len(self._pairs(split)):,}' for split in SPLITS]
    order = self._order('train')
    unknown = {
      split: pair_batches.unknown_share(self._pairs(split), self.pieces)
      for split in SPLITS[:2]
    }
    if max(unknown.values()) > MOST_UNKNOWN:
      logging.warning(
        'Many word pieces are unknown and cannot be learned; a larger '
        'config.data.character_coverage or vocabulary_size would help.'
      )
    shares = ', '.join(f'{x:.2%} of {split}' for split, x in unknown.items())
    return [
      f'source {self.data.source}: {", ".join(pairs)} sentence pairs, '
      f'{len(self.pieces):,} word pieces',
      f'{order.per_epoch:,} batches an epoch, {order.padding_share():.1%} of '
      f'them padding; {order.left_out:,} pairs left out, empty or longer than '
      f'{self.data.bucket_lengths[-1]} pieces',
      f'unknown pieces: {shares}',
    ]

  def fingerprint(self, split: str) -> str:
    """Returns the name of the copy of the pairs, or a hash of the pairs."""
    return self._pairs(split).fingerprint()

  def _order(self, split: str) -> Order:
    if split not in self._orders:
      lengths = pair_batches.measure(self._pairs(split), self.pieces, split)
      self._orders[split] = Order(
        lengths, self.buckets, keep_all=split != 'train'
      )
    return self._orders[split]

  def _make_model(
    self, vocabulary_size: int, numbers: Numbers = NONE
  ) -> Translator:
    return splat(
      make_model,
      'config.model',
      with_numbers(self._fields, 'model', numbers),
      vocabulary_size=vocabulary_size,
    )


def mean_nats(
  model: Translator, params: Any, batch: Any, key: Array, train: bool
) -> tuple[Array, dict[str, Array]]:
  """Returns the cross entropy per piece of a batch of `fill`, and its sums."""
  source, targets = batch['source'], batch['targets']
  logits = model.apply(
    {'params': params},
    *(source, source != PAD, batch['inputs'], train),
    rngs={'dropout': key},
  )
  mask = targets != PAD
  nats = jnp.where(mask, cross_entropy(logits, targets), 0.0).sum()
  sums = {'nats': nats, 'count': mask.sum()}
  return nats / jnp.maximum(sums['count'], 1), sums


def make_model(
  cell: Fields,
  layers: int,
  dropout_rate: Rate,
  start_limit: float,
  uniform_cells: bool,
  remat: bool,
  bottom_context: bool,
  vocabulary_size: int,
) -> Translator:
  """Returns the model of config.model: `layers` layers on each side.

  Args:
    cell: the section config.model.cell, see `CELLS`.
    layers: of the encoder, and as many of the decoder; at least 2.
    vocabulary_size: of the run; the others are fields of `Translator`.

  Raises:
    ValueError: a field does not fit.
  """
  if layers < 2:
    raise ValueError(
      f'config.model.layers is {layers}; attention lies between two layers of '
      'the decoder, so there must be at least 2.'
    )
  cells = [
    build(CELLS, 'config.model.cell', cell) for _ in range(2 * layers + 1)
  ]
  return Translator(
    cells[: layers + 1],
    cells[layers + 1 :],
    vocabulary_size,
    dropout_rate,
    start_limit,
    uniform_cells,
    remat,
    bottom_context,
  )
