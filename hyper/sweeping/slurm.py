"""Workers as jobs of Slurm, by submitit."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import submitit

from hyper.sweeping.workers import LOST, Job


class Submitted:
  """A job that submitit has submitted."""

  def __init__(self, job: submitit.Job[int]):
    self._job = job

  def poll(self) -> int | None:
    """Returns the worker's exit status; None while it waits or runs."""
    if not self._job.done():
      return None
    try:
      return self._job.result()
    except Exception:  # the job was cancelled, or its node is lost
      return LOST

  def terminate(self) -> None:
    """Cancels the job, whose processes get SIGTERM."""
    self._job.cancel(check=False)


def launcher(
  command: Sequence[str], folder: str, options: Mapping[str, Any]
) -> Callable[[int], Job]:
  """Returns a function that submits a worker.

  A worker saves and exits before the limit of its job, and is then submitted
  again.

  Args:
    command: of a worker.
    folder: for submitit's files and the logs of the jobs.
    options: of submitit's AutoExecutor, such as `timeout_min` (60 by default),
      `gpus_per_node` and `slurm_partition`; `cluster` 'local' runs the jobs as
      processes of this machine, for a try.

  Raises:
    ValueError: there is no Slurm here, or no such option.
  """
  given = {'timeout_min': 60, **options}
  cluster = given.pop('cluster', 'slurm')
  limit = f'--time_limit={60 * given["timeout_min"]}'
  try:
    executor = submitit.AutoExecutor(folder, cluster)
    executor.update_parameters(**given)
  except (RuntimeError, NameError, AssertionError) as error:
    raise ValueError(f'--launcher=slurm: {error}') from error
  return lambda number: Submitted(executor.submit(run, [*command, limit]))


def run(command: Sequence[str]) -> int:
  """Returns the exit status of a command; an interrupt ends that, too."""
  with subprocess.Popen(command) as process:
    try:
      return process.wait()
    except BaseException:
      process.terminate()
      raise
