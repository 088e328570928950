"""Handwriting as pen strokes: readings of a pen to lines of offsets.

A stroke is an array [n, 3] of readings: x, y (downwards) and the time in
seconds, NaN where it is not known. A line of handwriting is a list of strokes,
or, for a network, float32 offsets [t, 3]: how far the pen moved in x and y
since the reading before, and 1 where this reading is the last of its stroke.
The offsets leave out the first reading, which has none before it.
"""

import dataclasses
import json
from collections.abc import Iterable

import numpy as np

Arrays = dict[str, np.ndarray]
SPLITS = ('train', 'validation')


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of handwriting.

  Attributes:
    name: what the line is called in its source.
    text: what is written, '' where that is not known.
    offsets: float32 [t, 3].
  """

  name: str
  text: str
  offsets: np.ndarray


def check_split(split: str, source: str) -> None:
  """Raises a ValueError unless a source of handwriting has this split."""
  if split not in SPLITS:
    raise ValueError(
      f'{source} has no {split} part: all its lines are for training or for '
      'validation, and what the paper reports is validation. Use '
      '--split=validation.'
    )


def to_offsets(strokes: list[np.ndarray]) -> np.ndarray:
  """Returns strokes [n, 2 or more] as offsets, float32 [t, 3].

  First strokes of a single reading are left out: their ends have no offset
  that could tell of them.
  """
  while len(strokes) > 1 and len(strokes[0]) == 1:
    strokes = strokes[1:]
  places = np.concatenate([stroke[:, :2] for stroke in strokes])
  is_last = np.concatenate([np.arange(len(s)) == len(s) - 1 for s in strokes])
  moves = np.diff(places, axis=0)
  return np.column_stack([moves, is_last[1:]]).astype(np.float32)


def fill_gaps(
  stroke: np.ndarray, interval: float, shortest: float, longest: float
) -> np.ndarray:
  """Interpolates the missing readings of a stroke on straight lines.

  Args:
    stroke: readings [n, 3].
    interval: seconds between readings where none is missing.
    shortest: the shortest gap, in seconds, that is filled.
    longest: the longest one; what is longer is no gap but a wrong clock.
  """
  gaps = np.diff(stroke[:, 2])
  is_gap = (gaps >= shortest) & (gaps <= longest)
  if not is_gap.any():
    return stroke
  counts = np.where(is_gap, np.rint(gaps / interval), 1)
  old = np.concatenate([[0], np.cumsum(np.maximum(counts, 1))])
  new = np.arange(old[-1] + 1)
  return np.column_stack([np.interp(new, old, values) for values in stroke.T])


def remove_long_steps(offsets: np.ndarray, longest: float) -> np.ndarray:
  """Removes offsets longer than `longest`, so that the rest moves closer.

  A stroke whose last step is removed ends with the step before.
  """
  is_long = np.hypot(offsets[:, 0], offsets[:, 1]) > longest
  offsets = offsets.copy()
  for k in np.flatnonzero(is_long)[::-1]:
    if k:
      offsets[k - 1, 2] = max(offsets[k - 1, 2], offsets[k, 2])
  return offsets[~is_long]


def pack(lines: Iterable[Line]) -> Arrays:
  """Packs lines into arrays that can be stored side by side.

  Returns:
    'offsets' float32 [all steps, 3]; 'length' int32 [lines]; 'label' uint8,
    the UTF-8 bytes of name, tab, text and line end of each line.
  """
  lines = list(lines)
  labels = [f'{line.name}\t{line.text}\n' for line in lines]
  return {
    'offsets': np.concatenate([line.offsets for line in lines]),
    'length': np.array([len(line.offsets) for line in lines], np.int32),
    'label': np.frombuffer(''.join(labels).encode(), np.uint8),
  }


def unpack(arrays: Arrays) -> list[Line]:
  """Returns the lines that `pack` was given."""
  ends = np.cumsum(arrays['length'])[:-1]
  labels = arrays['label'].tobytes().decode().split('\n')[:-1]
  every = np.split(arrays['offsets'], ends)
  lines = []
  for label, offsets in zip(labels, every, strict=True):
    name, text = label.split('\t')
    lines.append(Line(name, text, offsets))
  return lines


@dataclasses.dataclass(frozen=True)
class Normalisation:
  """Scale on which the offsets of training lines have mean 0, deviation 1.

  Attributes:
    mean: of x and y, in the source's unit, float32 [2].
    deviation: likewise the standard deviation.
  """

  mean: np.ndarray
  deviation: np.ndarray

  def apply(self, offsets: np.ndarray) -> np.ndarray:
    """Turns offsets [..., 3] of the source into what the network reads."""
    moves = (offsets[..., :2] - self.mean) / self.deviation
    return np.concatenate([moves, offsets[..., 2:]], -1, dtype=np.float32)

  def invert(self, steps: np.ndarray) -> np.ndarray:
    """Turns what the network draws [..., 3] into offsets of the source."""
    moves = steps[..., :2] * self.deviation + self.mean
    return np.concatenate([moves, steps[..., 2:]], -1, dtype=np.float32)

  def fit(self, offsets: np.ndarray) -> np.ndarray:
    """Scales offsets [t, 3] of any unit to steps as long as in training.

    So the writing gets their size where the pen is read about as often for each
    letter; a pen that is read twice as often makes it twice as large.

    Raises:
      ValueError: the pen does not move.
    """
    size = np.hypot(offsets[:, 0], offsets[:, 1])
    own = float(np.sqrt((size.astype(np.float64) ** 2).mean()))
    usual = float(np.sqrt((self.mean**2 + self.deviation**2).sum()))
    if not own > 0:  # nor NaN, of no steps
      raise ValueError('the line to go on from is a single point.')
    return offsets * np.array([usual / own, usual / own, 1], np.float32)

  def to_text(self) -> str:
    """Returns JSON that `from_text` reads."""
    fields = {'mean': self.mean.tolist(), 'deviation': self.deviation.tolist()}
    return json.dumps(fields)

  @classmethod
  def from_text(cls, text: str) -> 'Normalisation':
    """Returns the normalisation that `to_text` wrote."""
    fields = json.loads(text)
    mean, deviation = (
      np.array(fields[name], np.float32) for name in ('mean', 'deviation')
    )
    return cls(mean, deviation)


def normalisation_of(lines: Iterable[Line]) -> Normalisation:
  """Returns mean and deviation over all steps of lines, computed in float64.

  Deviation: the paper does not say whether the lines that it leaves out for
  being short count here; those of `hyper/data/iam.py` are without them.

  Raises:
    ValueError: no line goes in one of the two directions.
  """
  moves = np.concatenate([line.offsets[:, :2] for line in lines])
  moves = moves.astype(np.float64)
  deviation = moves.std(0).astype(np.float32)
  if not deviation.all():
    raise ValueError(
      'all steps of the training lines are alike in x or in y; handwriting '
      'goes both ways.'
    )
  return Normalisation(moves.mean(0).astype(np.float32), deviation)
