"""TensorBoard's event files of a run.

Training and validation are sub-runs with the same tags, so TensorBoard draws
them in one chart. The run itself has the config, samples, the best score, and
the hyper-parameters of the HPARAMS page.
"""

import os
import pathlib
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any


class EventFile:
  """One file of events, each written at once and whole.

  tensorboardX writes from a thread with a short queue, which blocks the run
  once the thread has died.

  Args:
    folder: of the file, made if it is missing.
    purge_step: TensorBoard forgets what was written before for this step and
      later ones; None forgets nothing.
  """

  def __init__(
    self, folder: str | os.PathLike[str], purge_step: int | None = None
  ):
    # Takes 0.2 s, which commands that only read the metrics need not spend.
    from tensorboardX.proto import event_pb2, summary_pb2
    from tensorboardX.record_writer import masked_crc32c

    self._event, self.summary = event_pb2.Event, summary_pb2.Summary
    self._checksum = masked_crc32c
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    host, now = socket.gethostname(), time.time_ns()
    # The last part keeps a quick restart from overwriting the file.
    name = f'events.out.tfevents.{now // 10**9}.{host}.{now}'
    self._path = path / name
    self.add(file_version='brain.Event:2')
    if purge_step is not None:
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self.add(step=purge_step, session_log=start)

  def add(self, **fields: Any) -> None:
    """Appends an event: its length, its bytes, and a checksum of each.

    Raises:
      OSError: the file cannot be written.
    """
    data = self._event(wall_time=time.time(), **fields).SerializeToString()
    size = struct.pack('<Q', len(data))
    record = b''.join(
      part + struct.pack('<I', self._checksum(part)) for part in (size, data)
    )
    with self._path.open('ab', buffering=0) as file:
      if file.write(record) != len(record):
        raise OSError(f'{self._path} cannot be written whole')


class TensorBoard:
  """Observes a run for TensorBoard, see `hyper.runs.observers.Observer`.

  A run that fails before it has anything to show leaves no file.

  Args:
    folder: of the event files.
    purge_step: see `EventFile`.
    config: value by path, for the page HPARAMS and as text.
    metric: the score whose best value stands in HPARAMS.
  """

  def __init__(
    self,
    folder: str | os.PathLike[str],
    purge_step: int | None,
    config: Mapping[str, Any],
    metric: str,
  ):
    self._folder, self._purge_step = pathlib.Path(folder), purge_step
    self._config, self._metric = config, metric
    self._files: dict[str, EventFile] = {}

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Writes scalars: of a split by their names, of the best as best/name."""
    is_best = split == 'best'
    file, prefix = self._file('' if is_best else split), 'best/' * is_best
    scalars = [
      file.summary.Value(tag=prefix + name, simple_value=value)
      for name, value in values.items()
    ]
    file.add(step=step, summary=file.summary(value=scalars))

  def show(self, step: int, name: str, sample: str | bytes) -> None:
    """Writes a text, or the bytes of a PNG picture."""
    from tensorboardX import summary

    file = self._file('')
    if isinstance(sample, str):
      shown = summary.text(name, in_markdown(sample))
    else:
      width, height = struct.unpack('>II', sample[16:24])
      picture = file.summary.Image(
        height=height, width=width, colorspace=4, encoded_image_string=sample
      )
      value = file.summary.Value(tag=name, image=picture)
      shown = file.summary(value=[value])
    file.add(step=step, summary=shown)

  def close(self) -> None:
    """Notes on the page HPARAMS that the run has ended."""
    if self._files:
      self._file('').add(summary=self._end)

  def _begin(self) -> None:
    """Writes the config; `add_hparams` of tensorboardX would open a new run."""
    from tensorboardX import summary

    plain = {
      name: value if isinstance(value, bool | int | float) else str(value)
      for name, value in self._config.items()
    }
    scores = {f'best/{self._metric}': 0}
    experiment, start, self._end = summary.hparams(plain, scores)
    lines = [f'{name} = {value!r}' for name, value in self._config.items()]
    text = summary.text('config', in_markdown('\n'.join(lines)))
    file = self._open('')
    for part in (experiment, start, text):
      file.add(step=0, summary=part)

  def _file(self, split: str) -> EventFile:
    if not self._files:
      self._begin()
    return self._files.get(split) or self._open(split)

  def _open(self, split: str) -> EventFile:
    place = self._folder / split if split else self._folder
    self._files[split] = EventFile(place, self._purge_step)
    return self._files[split]


def in_markdown(text: str) -> str:
  """Returns a text that Markdown leaves as it is: every line is indented."""
  return '\n'.join(f'    {line}' for line in text.splitlines())
