"""The Protocol of a task: data, a loss, and scores.

To add a task, write one class with these members; `hyper.tasks` has four. The
loop, evaluation and checkpoints use nothing else of a task.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from hyper.configuration import Fed
from hyper.runs.numbers import Numbers

Batch = Mapping[str, np.ndarray]
Sums = dict[str, Array]
Outcome = tuple[Float[Array, ''], tuple[Any, Sums]]


@runtime_checkable  # annotations are checked in the tests
class Task(Protocol):
  """A config's data, model and loss.

  Attributes:
    selection: the score that makes a checkpoint the best, and 'min' or 'max',
      such as ('bpc', 'min').
    unit: what `sums['count']` counts, such as 'characters'.
    reported_split: the split whose scores the paper reports.
    has_streams: whether the model state has a row for each row of a batch, as
      the carries of text streams have; otherwise it is the model's, as batch
      statistics are, or empty.
    has_buckets: whether the shapes of training batches differ from seed to
      seed, as those of examples sorted by length do.
    mean_over: the entry of `sums` that the loss is a mean over, such as
      'count'.
    large: the matrices that the axis `model` of a mesh splits, by the ends of
      their paths, and which of their axes; empty if there are none.
    numbers: the config's numbers that `loss` takes as an argument, see
      `numbers_of`.
  """

  selection: tuple[str, str]
  unit: str
  reported_split: str
  has_streams: bool
  has_buckets: bool
  mean_over: str
  large: dict[str, int]
  numbers: dict[str, Any]

  def __init__(self, config: ConfigDict, data_dir: str, workdir: str):
    """Makes the task of a run folder.

    Raises:
      ValueError: the config does not fit.
      FileNotFoundError: data are missing.
    """

  @staticmethod
  def sections() -> dict[str, Fed]:
    """Returns what each section of the config feeds, for its description.

    The keys are paths in the config, and '' is the whole: {'data': TextData}
    says that `config.data` becomes a TextData, whose docstring describes the
    fields. A section that is left out has no descriptions; may be {}.
    """

  def init(self, key: Array) -> tuple[Any, Any]:
    """Returns the initial parameters and the initial model state."""

  def batches(
    self, split: str, seed: int, start: int, once: bool = False
  ) -> Iterator[Batch]:
    """Yields batches, the first of which is that of step `start`.

    The first axis of each array is that of the batch's rows. A batch is a
    function of the split, the seed and the step. The batches of 'train' never
    end, unless `once`; any other split is read once.
    """

  def loss(
    self,
    params: Any,
    model_state: Any,
    batch: Any,
    key: Array,
    train: bool,
    numbers: Numbers,
  ) -> Outcome:
    """Returns the loss of a batch, and `(model_state, sums)` after it.

    The function is pure. `sums` are numbers that add up over batches. `train`
    switches dropout and augmentation on. A value in `numbers` replaces the one
    at its path in the config.
    """

  def eval_state(self, model_state: Any) -> Any:
    """Returns the model state that an evaluation starts from."""

  def summarize(self, sums: dict[str, float]) -> dict[str, float]:
    """Returns the scores, given `sums` added up over batches."""

  def describe(self) -> list[str]:
    """Returns lines that describe the data; reads all splits."""

  def fingerprint(self, split: str) -> str:
    """Returns a hash of the data of a split."""

  def samples(self, state: Any) -> Mapping[str, str | bytes]:
    """Returns samples of a state, texts or PNG pictures by name; may be {}."""

  def report(self, state: Any, split: str) -> dict[str, Any]:
    """Returns further scores, too slow for validation, or makes samples.

    `state` is a trained run: it has `params`, `model_state`, `step` and
    `workdir`.
    """


MakeTask = Callable[[ConfigDict, str, str], Task]  # config, data_dir, workdir
