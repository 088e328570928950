"""Trackers of experiments, which observe a run as TensorBoard does.

Each is imported only if it is chosen.
"""

import html
import importlib.util
import io
import os
import pathlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hyper import files
from hyper.runs.observers import Observer

PROJECT = 'hypernetworks'
SECONDS = 30  # that Weights & Biases may take to log in
ID = pathlib.Path('wandb', 'id.txt')  # in the run folder

# From the run folder, and the config's value by path.
Track = Callable[[str, Mapping[str, Any]], Observer]


class WandB:
  """Observes a run for Weights & Biases; a resumed run is the same one there.

  The variables of wandb hold, such as WANDB_MODE=offline and WANDB_PROJECT.

  Args:
    workdir: the run folder, whose name is that of the run.
    config: value by path.
  """

  def __init__(self, workdir: str, config: Mapping[str, Any]):
    import wandb

    path = workdir / ID
    if not path.exists():
      files.write(path, secrets.token_hex(4))
    self._wandb = wandb
    self._run = wandb.init(
      project=os.environ.get('WANDB_PROJECT', PROJECT),
      name=os.path.basename(os.path.abspath(workdir)),
      id=path.read_text('utf-8'),
      resume='allow',
      dir=workdir,
      config=dict(config),
      settings=wandb.Settings(
        console='off', login_timeout=SECONDS, reinit='create_new'
      ),
    )
    self._run.define_metric('*', step_metric='step')

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Logs the values as split/name."""
    named = {f'{split}/{name}': value for name, value in values.items()}
    self._run.log({'step': step, **named})

  def show(self, step: int, name: str, sample: str | bytes) -> None:
    """Logs a text, or the bytes of a PNG picture."""
    from PIL import Image

    if isinstance(sample, str):
      shown: Any = self._wandb.Html(f'<pre>{html.escape(sample)}</pre>')
    else:
      shown = self._wandb.Image(Image.open(io.BytesIO(sample)))
    self._run.log({'step': step, name: shown})

  def close(self) -> None:
    """Ends the run there."""
    self._run.finish()


TRACKERS: dict[str, Track] = {'wandb': WandB}


def find(names: Sequence[str]) -> list[Track]:
  """Returns functions that make the trackers called `names`.

  Raises:
    ValueError: the package of one is not installed.
  """
  for name in names:
    if importlib.util.find_spec(name) is None:
      raise ValueError(
        f'--tracker={name}: the package {name} is not installed; run pip '
        f'install {name}.'
      )
  return [TRACKERS[name] for name in names]
