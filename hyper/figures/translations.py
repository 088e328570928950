"""Attention of translation runs, and their translations side by side."""

from collections.abc import Sequence

from hyper import files, trained
from hyper.drawing import attention
from hyper.figures import run_names


def draw_attention(
  workdirs: Sequence[str],
  path: str,
  sentence: str,
  checkpoint: str | int = 'best',
) -> None:
  """Draws where each run looks while it translates a sentence.

  Args:
    workdirs: folders of translation runs.
    path: of the picture.
    sentence: in the source language.
    checkpoint: 'best', 'latest' or a step.

  Raises:
    ValueError: a run does not translate, or there is no sentence.
    FileNotFoundError: there is no run folder, or no checkpoint in it.
  """
  if not sentence.strip():
    raise ValueError('there is nothing to translate; give --sentence=TEXT.')
  alignments = []
  for workdir, name in zip(workdirs, run_names(workdirs), strict=True):
    run = trained.load(workdir, checkpoint, task='translate')
    aligned = run.task.align(run.params, sentence)
    alignments.append(attention.Alignment(name, *aligned))
  attention.draw(alignments, path)


def write_examples(
  workdirs: Sequence[str],
  path: str,
  data_dir: str = 'data',
  split: str = 'test',
  count: int = 6,
  checkpoint: str | int = 'best',
) -> None:
  """Writes a table of translations, as in appendix A.6, in Markdown.

  The sentences are taken evenly from a split of the first run's data. Each has
  its source, its reference, and the translation of each run.

  Args:
    workdirs: folders of translation runs.
    path: of the table.
    data_dir: the folder of the data sets.
    split: usually 'validation' or 'test'.
    count: the number of examples.
    checkpoint: 'best', 'latest' or a step.

  Raises:
    ValueError: a run does not translate, or there is no such split.
    FileNotFoundError: a run, its checkpoint or the data are missing.
  """
  runs = [
    trained.load(workdir, checkpoint, data_dir, 'translate')
    for workdir in workdirs
  ]
  pairs = runs[0].task.examples(split, count)
  sources, references = zip(*pairs, strict=True)
  rows: list[tuple[str, Sequence[str]]]
  rows = [('source', sources), ('reference', references)]
  rows += [
    (name, run.task.translate(run.params, sources))
    for name, run in zip(run_names(workdirs), runs, strict=True)
  ]
  lines = ['| | |', '| --- | --- |']
  for k in range(len(pairs)):
    lines += [f'| {label} | {_cell(texts[k])} |' for label, texts in rows]
    lines.append('| | |')
  files.write(path, '\n'.join(lines) + '\n')


def _cell(text: str) -> str:
  """Returns `text` as a table cell: in one line, and with bars escaped."""
  return ' '.join(text.split()).replace('|', '\\|')
