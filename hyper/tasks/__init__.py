"""Tasks: a config becomes data, a model and a loss.

A task is called as `TASKS[config.task](config, data_dir, workdir)`. It keeps in
`workdir` what a run needs besides parameters (a vocabulary, say), and offers:

  init(key) -> (params, model_state)
  batches(split, seed, start) -> iterator of dicts of fixed-shape NumPy arrays;
    'train' never ends, any other split is gone through once
  loss(params, model_state, batch, key, train) -> (loss, (model_state, sums));
    pure; sums is a dict of numbers that add up over batches
  eval_state(model_state) -> the model state before an evaluation
  summarize(sums) -> {name: float}, the means that people read
  selection: such as ('bpc', 'min'), what makes a checkpoint the best
  unit: what sums['count'] counts, such as 'characters'
  describe() -> lines that say at start what is trained on
  fingerprint() -> a string that is another one for other training data

and, where it has slow scores or samples, a report of them for evaluate.py, and
reported_split, where what the paper reports is not 'test'.
"""

from typing import Any

from ml_collections import ConfigDict

from hyper.tasks.char_lm import CharLM
from hyper.tasks.classify import Classify
from hyper.tasks.handwriting import Handwriting
from hyper.tasks.translate import Translate

TASKS: dict[str, Any] = {
  'char_lm': CharLM,
  'classify': Classify,
  'handwriting': Handwriting,
  'translate': Translate,
}


def make_task(config: ConfigDict, data_dir: str, workdir: str) -> Any:
  """The task that `config.task` names.

  Raises:
    ValueError: there is no such task, or the rest of the config does not fit.
    FileNotFoundError: the data are missing.
  """
  if config.task not in TASKS:
    raise ValueError(
      f'config.task is {config.task!r}; allowed: {", ".join(TASKS)}.'
    )
  return TASKS[config.task](config, data_dir, workdir)
