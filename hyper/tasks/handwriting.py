"""Handwriting (section 4.5), in nats per line.

Shapes: b lines, t moves of the pen.
"""

import functools
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from hyper.cells import CELLS, Rate
from hyper.cells.cell import LARGE
from hyper.configuration import Fed, build, check_positive, splat
from hyper.data import (
  buckets,
  fingerprints,
  strokes,
)
from hyper.decode import move_sampler, read_symbols
from hyper.drawing.handwriting import draw_page
from hyper.losses import mixture_density, to_mixture
from hyper.models.handwriting import HandwritingModel, shifted
from hyper.runs import folder
from hyper.runs.numbers import NONE, Numbers, numbers_of, with_numbers
from hyper.runs.task import Outcome
from hyper.tasks.stroke_data import HANDS, StrokeData

NUMBERS = (  # arguments of the compiled training step
  'data.scale_range',
  'model.output_dropout_rate',
  'model.cell.dropout_rate',
  'model.cell.hyper_dropout_rate',
)
SAMPLE_MOVES = 500  # of the pen, on a page that is shown in training
PAGE_LINES = 8  # in each column of the page that a report draws


class Handwriting:
  """Predicts each move of a pen from all moves before it in the line.

  Lines are padded at their end to the length of their bucket. A line's nats
  are the sum over its moves of minus the log density, for offsets normalised to
  mean 0 and deviation 1 over the training lines. The score is the mean over
  lines.

  Raises:
    ValueError: a field of the config does not fit, or the handwriting is
      damaged.
    FileNotFoundError: the handwriting is missing.
  """

  selection = ('nats', 'min')
  unit = 'points'
  reported_split = 'validation'  # the data have no test part
  has_streams = False
  has_buckets = True
  mean_over = 'lines'
  large = LARGE

  def __init__(self, config: ConfigDict, data_dir: str, workdir: str):
    self.data: StrokeData = splat(StrokeData, 'config.data', config.data)
    self._fields = config.model.to_dict()
    self.model = self._make_model()
    self.numbers = numbers_of(config, NUMBERS)
    self._data_dir = data_dir
    self._lines: dict[str, list[strokes.Line]] = {}
    self._ends: dict[str, np.ndarray] = {}
    saved = folder.read(
      workdir, folder.NORMALISATION, strokes.Normalisation.from_text
    )
    self.normalisation = saved or strokes.normalisation_of(self.lines('train'))
    if saved is None:
      text = self.normalisation.to_text()
      folder.save(workdir, folder.NORMALISATION, text)

  @staticmethod
  def sections() -> dict[str, Fed]:
    """Returns what the sections of the config feed, see `describe`."""
    return {
      'data': (StrokeData,),
      'model': (HandwritingModel, make_model),
      'model.cell': CELLS,
    }

  def init(self, key: Array) -> tuple[Any, Any]:
    """Returns parameters; every line starts from the zero carry."""
    carries = self.model.zeros(1)
    return self.model.init(key, carries, jnp.zeros((1, 1, 3)))['params'], {}

  def batches(
    self, split: str, seed: int, start: int, once: bool = False
  ) -> Iterator[dict[str, np.ndarray]]:
    """Yields lines of like length: all once, or of 'train' without end."""
    offsets = [line.offsets for line in self.lines(split)]
    ends = self._bucket_ends(split)
    if split == 'train' and not once:
      return buckets.shuffled(offsets, ends, self.data.batch_size, seed, start)
    return buckets.in_order(offsets, ends, self.data.eval_batch_size)

  def loss(
    self,
    params: Any,
    model_state: Any,
    batch: Any,
    key: Array,
    train: bool,
    numbers: Numbers = NONE,
  ) -> Outcome:
    """Returns the mean nats per line, an empty model state, and the sums.

    Deviation: the paper does not say whether x and y are scaled by one factor;
    here each has its own.
    """
    scale_key, dropout_key = jax.random.split(key)
    offsets, length = batch['offsets'], batch['length']
    if train and self.data.scale_range:
      scale_range = numbers.get('data.scale_range', self.data.scale_range)
      offsets = random_scale(scale_key, offsets, scale_range)
    moves = self._normalise(offsets)
    model = self._make_model(numbers, len(moves))
    _, outputs = model.apply(
      {'params': params},
      model.zeros(len(moves)),
      shifted(moves),
      train,
      rngs={'dropout': dropout_key},
    )
    mask = jnp.arange(moves.shape[1])[None] < length[:, None]
    nats = jnp.where(mask, mixture_density(outputs, moves), 0.0).sum()
    lines = (length > 0).sum()
    sums = {
      'nats': nats,
      'lines': lines,
      'count': mask.sum(),
      'padding': (~mask).sum(),
    }
    return nats / jnp.maximum(lines, 1), (model_state, sums)

  def eval_state(self, model_state: Any) -> Any:
    """Returns the model state, which is empty."""
    return model_state

  def summarize(self, sums: dict[str, float]) -> dict[str, float]:
    """Returns nats per line and per point, and the share of padding."""
    return {
      'nats': sums['nats'] / sums['lines'],
      'nats_per_point': sums['nats'] / sums['count'],
      'padding': sums['padding'] / (sums['padding'] + sums['count']),
    }

  def describe(self) -> list[str]:
    """Returns the sizes of the splits, padding, and what nats mean."""
    described = []
    for split in strokes.SPLITS:
      lengths = self._lengths(split)
      size = self.data.batch_size
      size = size if split == 'train' else self.data.eval_batch_size
      share = buckets.padding_share(lengths, self._bucket_ends(split), size)
      described.append(
        f'{split} {len(lengths):,} lines of {lengths.mean():.0f} points '
        f'({lengths.min()} to {lengths.max()}), padding {100 * share:.1f} %'
      )
    return [
      f'source {self.data.source}: {"; ".join(described)}; no test part',
      'nats per line are minus the log of a density, so they may be negative; '
      'lower is better',
    ]

  def fingerprint(self, split: str) -> str:
    """Returns a hash of the lines of a split."""
    return fingerprints.of_arrays(x.offsets for x in self.lines(split))

  def samples(self, state: Any) -> dict[str, bytes]:
    """Returns a page that the model writes, to be shown while it is trained."""
    drawn = self.sample(state.params, PAGE_LINES, SAMPLE_MOVES, 0.0, seed=0)
    with tempfile.TemporaryDirectory() as folder:
      page = {f'samples at step {int(state.step):,}': drawn}
      path = draw_page(page, os.path.join(folder, 'page'))[-1]
      return {'handwriting': pathlib.Path(path).read_bytes()}

  def report(self, state: Any, split: str) -> dict[str, str]:
    """Draws samples beside real lines of a split, in the folder of `state`.

    Returns:
      The path of the page, or why it could not be written.
    """
    real = [line.offsets for line in self.lines(split)]
    typical = int(np.median([len(offsets) for offsets in real]))
    chosen = np.linspace(0, len(real) - 1, PAGE_LINES).astype(int)
    drawn = self.sample(state.params, PAGE_LINES, typical, bias=0.0, seed=0)
    columns = {
      f'real ({split})': [real[k][:typical] for k in chosen],
      f'samples at step {int(state.step):,}': drawn,
    }
    path = os.path.join(state.workdir, f'samples_{split}')
    try:
      return {'samples': draw_page(columns, path)[-1]}
    except OSError as error:
      return {'samples': f'not written: {error}'}

  def sample(
    self,
    params: Any,
    count: int,
    length: int,
    bias: float,
    seed: int,
    prime: np.ndarray | None = None,
  ) -> list[np.ndarray]:
    """Returns lines drawn from a trained model, as offsets [length, 3].

    Args:
      params: of the model.
      count: the number of lines.
      length: the moves of each.
      bias: see `losses.to_mixture`.
      seed: of the draws.
      prime: offsets [p, 3] that all lines continue; not part of the result.
    """
    first = np.zeros((1, 3), np.float32)
    if prime is not None:
      first = np.concatenate([first, self.normalisation.apply(prime)])
    logging.log_first_n(logging.INFO, 'Compiling what draws moves.', 1)
    moves = self._sample(
      {'params': params},
      self.model.zeros(count),
      jnp.broadcast_to(jnp.asarray(first), (count, *first.shape)),
      length,
      bias,
      seed,
    )
    return list(self.normalisation.invert(np.asarray(moves)))

  @functools.cached_property
  def _sample(self) -> Any:
    return move_sampler(self.model.apply)

  def read(self, params: Any, offsets: np.ndarray) -> tuple[Any, Array]:
    """Reads the null move and then a line of offsets [t, 3], move by move.

    Returns:
      The carries after each move, with time as the first axis, and the outputs
      [t + 1, 6 m + 1] for the move that follows each.
    """
    moves = self.normalisation.apply(offsets)
    return read_symbols(
      lambda carry, x: self.model.apply({'params': params}, carry, x),
      self.model.zeros(1),
      jnp.concatenate([jnp.zeros((1, 3)), moves]),
    )

  def expected(self, outputs: Array, bias: float) -> dict[str, np.ndarray]:
    """Returns the mixtures of outputs [t, 6 m + 1] in the source's unit.

    These are the weights and correlations [t, m] and the means and deviations
    [t, m, 2]; `drawing.handwriting.draw_density` takes them.
    """
    mixture = jax.device_get(to_mixture(outputs, bias))
    unit = self.normalisation
    return {
      'weights': np.exp(mixture.log_pi),
      'means': mixture.mu * unit.deviation + unit.mean,
      'deviations': np.exp(mixture.log_sigma) * unit.deviation,
      'correlations': np.tanh(mixture.rho_hat),
    }

  def find(self, name: str) -> strokes.Line:
    """Returns the line called `name`, of any split.

    Raises:
      ValueError: no line has this name.
    """
    every = [line for split in strokes.SPLITS for line in self.lines(split)]
    for line in every:
      if line.name == name:
        return line
    raise ValueError(
      f'{self.data.source} has no line {name!r} (short ones are left out); '
      f'there are for example {every[0].name} and {every[-1].name}.'
    )

  def lines(self, split: str) -> list[strokes.Line]:
    """Returns the lines of a split, offsets in the unit of their source."""
    if split not in self._lines:
      load = HANDS[self.data.source]
      self._lines[split] = strokes.unpack(load(self._data_dir, split))
    return self._lines[split]

  def _lengths(self, split: str) -> np.ndarray:
    return np.array([len(line.offsets) for line in self.lines(split)])

  def _bucket_ends(self, split: str) -> np.ndarray:
    if split not in self._ends:
      lengths = self._lengths(split)
      self._ends[split] = buckets.choose_ends(lengths, self.data.buckets)
    return self._ends[split]

  def _make_model(
    self, numbers: Numbers = NONE, lines: int = 1
  ) -> HandwritingModel:
    return splat(
      make_model,
      'config.model',
      with_numbers(self._fields, 'model', numbers),
      lines=lines,
    )

  def _normalise(self, offsets: Array) -> Float[Array, 'b t 3']:
    mean, deviation = self.normalisation.mean, self.normalisation.deviation
    xy = (offsets[..., :2] - mean[None, None]) / deviation[None, None]
    return jnp.concatenate([xy, offsets[..., 2:]], -1)


def make_model(
  cell: Any,
  layers: int,
  mixtures: int,
  output_dropout_rate: Rate,
  derivative_limit: float,
  lines: int,
) -> HandwritingModel:
  """Returns the model of the section config.model: `layers` cells of one kind.

  `derivative_limit` applies to the nats of a line. The loss is their mean over
  the `lines` of a batch, so it is divided by `lines`; see `Recurrence`.

  Args:
    cell: the section config.model.cell, see `CELLS`.
    layers: the number of layers.
    mixtures: see `HandwritingModel`.
    output_dropout_rate: see there.
    derivative_limit: see there.
    lines: of a batch.

  Raises:
    ValueError: a field does not fit.
  """
  check_positive('config.model', layers=layers, mixtures=mixtures)
  if derivative_limit < 0:
    raise ValueError(
      f'config.model.derivative_limit is {derivative_limit}; it cannot be < 0.'
    )
  cells = [build(CELLS, 'config.model.cell', cell) for _ in range(layers)]
  return HandwritingModel(
    cells, mixtures, output_dropout_rate, derivative_limit / lines
  )


def random_scale(
  key: Array, offsets: Float[Array, 'b t 3'], scale_range: Rate
) -> Float[Array, 'b t 3']:
  """Scales x and y of each line by factors within 1 +- `scale_range`."""
  low, high = 1 - scale_range, 1 + scale_range
  factors = jax.random.uniform(
    key, (len(offsets), 1, 2), minval=low, maxval=high
  )
  return jnp.concatenate([offsets[..., :2] * factors, offsets[..., 2:]], -1)
