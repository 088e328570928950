"""Figures of recurrent character models while they read a text."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hyper import trained
from hyper.decode import weight_scalings
from hyper.drawing import saturation, weight_change
from hyper.figures import run_names
from hyper.tasks.char_lm import CharLM


class Text(NamedTuple):
  """The text of a figure: a given one, or one that each run generates.

  >>> Text('given'), Text(prompt='The ', temperature=0.5).length
  (Text(given='given', prompt='', length=500, temperature=1.0, seed=0), 500)

  Attributes:
    given: the text; if it is empty, the run generates one.
    prompt: the text that a generated one continues.
    length: the number of generated symbols.
    temperature: see `decode.sample_symbols`.
    seed: of the draws.
  """

  given: str = ''
  prompt: str = ''
  length: int = 500
  temperature: float = 1.0
  seed: int = 0

  def of(self, task: CharLM, params: Any) -> np.ndarray:
    """Returns the numbers of the text's symbols, int32 [t].

    Raises:
      ValueError: there is a prompt besides a given text, or a symbol is not in
        the vocabulary.
    """
    if self.given and self.prompt:
      raise ValueError('give --text or --prompt, not both.')
    if self.given:
      return task.encode(self.given, 'the text')
    drawn = task.sample(
      params, self.prompt, self.length, self.temperature, self.seed
    )
    prompt = task.encode(self.prompt, 'the prompt')
    return np.array([*prompt, *(x[0] for x in drawn)], np.int32)


OWN = Text()  # that each run generates


def draw_weight_change(
  workdir: str, path: str, text: Text = OWN, checkpoint: str | int = 'best'
) -> None:
  """Draws how a run's topmost cell changes its weights on a text (figure 4).

  Args:
    workdir: the folder of a character model's run.
    path: of the page, .html, or of the picture.
    text: the text to read.
    checkpoint: 'best', 'latest' or a step.

  Raises:
    ValueError: the run has another task, its cell does not scale its weights,
      or the text does not fit.
    FileNotFoundError: `workdir` is no run folder, or has no checkpoint.
  """
  run: trained.Run[CharLM] = trained.load(workdir, checkpoint, task='char_lm')
  task, params = run.task, run.params
  cell = task.model.cells[-1]
  if not cell.scaled_gates:
    raise ValueError(
      f'{workdir} is a run of {type(cell).__name__}, whose weights do not '
      'change; give a run of a cell with a hypernetwork.'
    )
  numbers = text.of(task, params)
  carries, _ = task.read(params, numbers)
  scaled = weight_scalings(task.model, params, carries)
  symbols = [
    task.vocabulary.to_bytes([k]).decode(errors='replace') for k in numbers
  ]
  # The first step reads the symbol before the text.
  rows = weight_change.intensities(*map(np.asarray, scaled))[1:]
  (name,) = run_names([workdir])
  title = f'{name} at step {run.step:,}'
  weight_change.draw_text(symbols, rows, cell.scaled_gates, title, path)


def draw_saturation(
  workdirs: Sequence[str],
  path: str,
  text: Text = OWN,
  checkpoint: str | int = 'best',
) -> None:
  """Draws a histogram of the hidden states of each run's topmost cell.

  Args:
    workdirs: the folders of character models' runs.
    path: of the picture.
    text: the text that each reads.
    checkpoint: 'best', 'latest' or a step.

  Raises:
    ValueError: a run has another task, or the text does not fit.
    FileNotFoundError: a folder is no run folder, or has no checkpoint.
  """
  values = {}
  for workdir, name in zip(workdirs, run_names(workdirs), strict=True):
    run: trained.Run[CharLM] = trained.load(workdir, checkpoint, task='char_lm')
    task, params = run.task, run.params
    carries, _ = task.read(params, text.of(task, params))
    weights = params[f'cells_{len(task.model.cells) - 1}']
    values[name] = np.asarray(task.model.cells[-1].hidden(weights, carries[-1]))
  saturation.draw(values, path)
