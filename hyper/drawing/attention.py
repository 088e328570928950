"""Attention: which pieces of a source each piece of its translation looks at.

Shapes: s and t word pieces of the source and of the translation.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hyper.drawing.canvas import make_figure


class Alignment(NamedTuple):
  """A translation and where the model looked while it wrote it.

  Attributes:
    title: written above the panel.
    source: the s pieces that were read.
    target: the t pieces that were written.
    weights: the attention of each target piece, in [0, 1].
  """

  title: str
  source: Sequence[str]
  target: Sequence[str]
  weights: Float[np.ndarray, 't s']


def draw(alignments: Sequence[Alignment], path: str) -> None:
  """Draws a panel for each alignment, darker where there is more attention.

  Args:
    alignments: from left to right; a row of a panel is a piece written, a
      column a piece of the source.
    path: the picture; its ending chooses the format.
  """
  width = sum(2 + 0.3 * len(x.source) for x in alignments)
  height = 2 + 0.25 * max(len(x.target) for x in alignments)
  figure = make_figure(width, height)
  panels = figure.subplots(1, len(alignments), squeeze=False)[0]
  for axes, (title, source, target, weights) in zip(
    panels, alignments, strict=True
  ):
    axes.imshow(weights, cmap='Greys', vmin=0, vmax=1, aspect='auto')
    axes.set_xticks(range(len(source)), source, rotation=90, parse_math=False)
    axes.set_yticks(range(len(target)), target, parse_math=False)
    axes.set(xlabel='source', ylabel='translation')
    axes.set_title(title, parse_math=False)
  figure.savefig(path)
