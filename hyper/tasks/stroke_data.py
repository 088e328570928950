"""The section config.data of handwriting: which lines, in what batches."""

import dataclasses

from hyper.cells import check_rate
from hyper.configuration import check_positive, check_source
from hyper.data import (
  embedded,
  iam,
  pen,
)

HANDS = {'iam': iam.load, 'pen': pen.load, 'embedded': embedded.load_strokes}


@dataclasses.dataclass(frozen=True)
class StrokeData:
  """The section config.data.

  Attributes:
    source: the handwriting, a name of HANDS.
    batch_size: lines in a training step.
    eval_batch_size: lines evaluated at once.
    buckets: the most different lengths of batches.
    scale_range: x and y of a training line are scaled by factors drawn between
      1 - scale_range and 1 + scale_range.
  """

  source: str
  batch_size: int
  eval_batch_size: int
  buckets: int
  scale_range: float

  def __post_init__(self) -> None:
    check_source(self, HANDS)
    check_positive(
      'config.data',
      batch_size=self.batch_size,
      eval_batch_size=self.eval_batch_size,
      buckets=self.buckets,
    )
    check_rate('config.data.scale_range', self.scale_range)
