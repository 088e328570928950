"""Attention of translation runs, and their translations side by side."""

from collections.abc import Sequence

import matplotlib
import numpy as np

from hyper import trained
from hyper.figures import run_names


def draw(workdirs: Sequence[str], sentence: str, which: str, path: str) -> None:
  """Draws where each run looks while it translates a sentence.

  A panel for each run: a row for each piece written, a column for each piece
  of the source, the darker the more attention.

  Args:
    workdirs: folders of translation runs.
    sentence: in the source language.
    which: checkpoint, 'best' or 'latest'.
    path: of the picture, .png or .svg.

  Raises:
    ValueError: a run does not translate, or there is no sentence.
    FileNotFoundError: it is no run folder, or has no checkpoint.
  """
  matplotlib.use('agg')
  from matplotlib import pyplot

  if not sentence.strip():
    raise ValueError('there is nothing to translate; give --sentence=TEXT.')
  panels = []
  for workdir, name in zip(workdirs, run_names(workdirs), strict=True):
    task, params = trained.load_translator(workdir, which)
    panels.append((name, task.align(params, sentence)))
  width = sum(2 + 0.3 * len(source) for _, (source, _, _) in panels)
  height = 2 + 0.25 * max(len(target) for _, (_, target, _) in panels)
  figure, axes = pyplot.subplots(
    *(1, len(panels)), figsize=(width, height), layout='constrained'
  )
  for axis, (name, (source, target, weights)) in zip(
    np.atleast_1d(axes), panels, strict=True
  ):
    axis.imshow(weights, cmap='Greys', vmin=0, vmax=1, aspect='auto')
    axis.set_xticks(range(len(source)), source, rotation=90)
    axis.set_yticks(range(len(target)), target)
    axis.set_title(name)
  figure.savefig(path, dpi=120)
  pyplot.close(figure)


def write_examples(
  workdirs: Sequence[str],
  data_dir: str,
  split: str,
  count: int,
  which: str,
  path: str,
) -> None:
  """Writes a table of translations, as in appendix A.6, in Markdown.

  Sentences are those of the first run's data, taken evenly from the split:
  source, reference, and the translation of each run.

  Args:
    workdirs: folders of translation runs.
    data_dir: of the data sets.
    split: 'validation' or 'test', usually.
    count: of the examples.
    which: checkpoint, 'best' or 'latest'.
    path: of the table.

  Raises:
    ValueError: a run does not translate, or there is no such split.
    FileNotFoundError: a run, its checkpoint or the data are missing.
  """
  runs = [
    (name, *trained.load_translator(workdir, which, data_dir))
    for workdir, name in zip(workdirs, run_names(workdirs), strict=True)
  ]
  pairs = runs[0][1].examples(split, count)
  sources, references = zip(*pairs, strict=True)
  rows: list[tuple[str, Sequence[str]]]
  rows = [('source', sources), ('reference', references)]
  rows += [(name, task.translate(x, sources)) for name, task, x in runs]
  lines = ['| | |', '| --- | --- |']
  for k in range(len(pairs)):
    lines += [f'| {label} | {_cell(texts[k])} |' for label, texts in rows]
    lines.append('| | |')
  with open(path, 'w', encoding='utf-8') as file:
    file.write('\n'.join(lines) + '\n')


def _cell(text: str) -> str:
  return ' '.join(text.split()).replace('|', '\\|')
