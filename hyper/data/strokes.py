"""Handwriting as pen strokes: readings of a pen to lines of offsets.

A stroke is an array [n, 3] of readings: x, y (downwards) and the time in
seconds, NaN if it is unknown. A line of handwriting is a list of strokes. A
network reads it as float32 offsets [t, 3], one for each move of the pen: the
distance in x and y from the reading before, and 1 if this reading is the last
of its stroke. The first reading has no offset.
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
    name: of the line in its source.
    text: of the line; '' if it is unknown.
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

  Strokes of a single reading at the beginning are left out, since they have no
  offset to mark their end.
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
    interval: the seconds between two readings if none is missing.
    shortest: the shortest gap, in seconds, that is filled.
    longest: the longest one; a longer gap is an error of the clock.
  """
  gaps = np.diff(stroke[:, 2])
  is_gap = (gaps >= shortest) & (gaps <= longest)
  if not is_gap.any():
    return stroke
  counts = np.where(is_gap, np.rint(gaps / interval), 1)
  old = np.concatenate([[0], np.cumsum(np.maximum(counts, 1))])
  new = np.arange(old[-1] + 1)
  return np.column_stack([np.interp(new, old, values) for values in stroke.T])


def remove_long_moves(offsets: np.ndarray, longest: float) -> np.ndarray:
  """Removes offsets longer than `longest`, so that the line closes up.

  A stroke whose last move is removed ends with the move before.
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
    'offsets' float32 [all moves, 3]; 'length' int32 [lines]; 'label' uint8,
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
  """Maps the offsets of training lines to mean 0 and deviation 1.

  Attributes:
    mean: of x and y, in the source's unit, float32 [2].
    deviation: the standard deviation, likewise.
  """

  mean: np.ndarray
  deviation: np.ndarray

  def apply(self, offsets: np.ndarray) -> np.ndarray:
    """Returns normalised moves [..., 3] of `offsets` in the source's unit."""
    xy = (offsets[..., :2] - self.mean) / self.deviation
    return np.concatenate([xy, offsets[..., 2:]], -1, dtype=np.float32)

  def invert(self, moves: np.ndarray) -> np.ndarray:
    """Returns offsets in the source's unit of normalised `moves` [..., 3]."""
    xy = moves[..., :2] * self.deviation + self.mean
    return np.concatenate([xy, moves[..., 2:]], -1, dtype=np.float32)

  def fit(self, offsets: np.ndarray) -> np.ndarray:
    """Scales offsets [t, 3] of any unit to moves as long as in training.

    The writing then has the size of the training lines, if its pen was read
    about as often for each letter. A pen that is read twice as often makes it
    twice as large.

    Raises:
      ValueError: the pen does not move.
    """
    size = np.hypot(offsets[:, 0], offsets[:, 1])
    own = float(np.sqrt((size.astype(np.float64) ** 2).mean()))
    usual = float(np.sqrt((self.mean**2 + self.deviation**2).sum()))
    if not own > 0:  # 0, or NaN for no moves
      raise ValueError('the line to continue is a single point.')
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
  """Returns mean and deviation over all moves of lines, computed in float64.

  Deviation: the paper does not say whether the lines that it leaves out for
  being short count here; those of `hyper/data/iam.py` are without them.

  Raises:
    ValueError: all moves are equal in x or in y.
  """
  moves = np.concatenate([line.offsets[:, :2] for line in lines])
  moves = moves.astype(np.float64)
  deviation = moves.std(0).astype(np.float32)
  if not deviation.all():
    raise ValueError(
      'all moves of the training lines are equal in x or in y; handwriting '
      'moves in both directions.'
    )
  return Normalisation(moves.mean(0).astype(np.float32), deviation)
