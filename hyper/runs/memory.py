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
    if not is_lack(error):
      raise
    reason = str(error).strip().partition('\n')[0].rstrip('.')
    raise MemoryError(f'out of memory: {reason}. {ADVICE}') from error


def is_lack(error: BaseException | None) -> bool:
  """Returns whether an error, or one that caused it, is a lack of memory."""
  while error is not None:
    if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error):
      return True
    error = error.__cause__ or error.__context__
  return False
