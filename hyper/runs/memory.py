"""Explains errors that are raised when memory runs out."""

import contextlib
from collections.abc import Iterator

ADVICE = (
  'A smaller config.data.batch_size needs less (for text window_steps or '
  'batch_tokens too, for scores eval_batch_size or eval_streams), as do '
  "config.model.remat_steps or remat, which recompute, and a cell's dtype "
  'bfloat16. Checkpoints saved before are intact.'
)


@contextlib.contextmanager
def explained() -> Iterator[None]:
  """Turns an error of memory, of host or device, into one line with advice.

  Raises:
    MemoryError: NumPy, Python or a device could not allocate an array.
  """
  try:
    yield
  except (MemoryError, RuntimeError) as error:
    reason = str(error).strip().partition('\n')[0].rstrip('.')
    if isinstance(error, RuntimeError) and 'RESOURCE_EXHAUSTED' not in reason:
      raise
    raise MemoryError(f'out of memory: {reason}. {ADVICE}') from error
