"""Makes tasks and batches at full size without reading any data."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from hyper.data.strokes import Normalisation
from hyper.data.vocabulary import Vocabulary
from hyper.data.word_pieces import SPECIAL
from hyper.runs import folder
from hyper.runs.task import Task
from hyper.tasks import make_task

CONFIGS = (
  *('mnist_cnn', 'mnist_hyper', 'mnist_mlp', 'mnist_coordinate'),
  *('cifar10_wrn', 'cifar10_hyper_wrn', 'ptb_lstm', 'ptb_hyperlstm'),
  *('enwik8_lstm', 'enwik8_hyperlstm', 'iam_lstm', 'iam_hyperlstm'),
  *('nmt_lstm', 'nmt_hyperlstm'),
)
SYMBOLS = {'ptb': 50, 'enwik8': 205}  # of a text
PIECES = 32_000
PEN_STEPS = 1024  # of a line; IAM-OnDB's are shorter but for a few


def make(config: ConfigDict, workdir: str) -> Task:
  """Returns the task of a config, as if its run had begun in `workdir`.

  Args:
    config: of a run. A text has SYMBOLS, a corpus of sentence pairs PIECES.
    workdir: an empty folder.
  """
  folder.rebuild(workdir, config, kept(config))
  return make_task(config, '', workdir)


def kept(config: ConfigDict) -> dict[str, str]:
  """Returns the files that a run keeps of its data, by name."""
  if config.task == 'char_lm':
    symbols = np.arange(SYMBOLS[config.data.source], dtype=np.uint8)
    return {folder.VOCABULARY: Vocabulary(symbols).to_text()}
  if config.task == 'handwriting':
    unit = Normalisation(np.zeros(2, 'f'), np.ones(2, 'f'))
    return {folder.NORMALISATION: unit.to_text()}
  if config.task == 'translate':
    return {folder.WORD_PIECES: tokenizer()}
  return {}


def tokenizer() -> str:
  """Returns the JSON of a tokenizer whose pieces are numbers."""
  from tokenizers import Tokenizer, models, pre_tokenizers

  pieces = [*SPECIAL, *map(str, range(len(SPECIAL), PIECES))]
  numbers = {piece: k for k, piece in enumerate(pieces)}
  made = Tokenizer(models.WordPiece(numbers, unk_token=SPECIAL[-1]))
  made.pre_tokenizer = pre_tokenizers.Sequence([])
  return made.to_str()


def shapes(config: ConfigDict) -> dict[str, Any]:
  """Returns the shapes of a batch, the longest of handwriting or sentences."""
  data, rows = config.data, config.data.batch_size
  struct = jax.ShapeDtypeStruct
  if config.task == 'char_lm':
    window = (rows, data.window_steps)
    return {
      'inputs': struct(window, jnp.int32),
      'targets': struct(window, jnp.int32),
      'mask': struct(window, jnp.bool_),
      'reset': struct((rows,), jnp.bool_),
    }
  if config.task == 'handwriting':
    return {
      'offsets': struct((rows, PEN_STEPS, 3), jnp.float32),
      'length': struct((rows,), jnp.int32),
    }
  if config.task == 'translate':
    length = data.bucket_lengths[-1]
    rows = min(rows, data.batch_tokens // length)
    names = ('source', 'inputs', 'targets')
    return dict.fromkeys(names, struct((rows, length), jnp.int32))
  side, channels = (28, 1) if data.source == 'mnist' else (32, 3)
  return {
    'image': struct((rows, side, side, channels), jnp.uint8),
    'label': struct((rows,), jnp.int32),
    'mask': struct((rows,), jnp.bool_),
  }


def batch(config: ConfigDict) -> dict[str, np.ndarray]:
  """Returns a random batch of those shapes, with nothing masked."""
  rng = np.random.default_rng(0)
  most = {
    'image': 256,
    'label': 10,
    'length': PEN_STEPS + 1,
    **dict.fromkeys(('source', 'inputs', 'targets'), PIECES),
  }
  if config.task == 'char_lm':
    most |= dict.fromkeys(('inputs', 'targets'), SYMBOLS[config.data.source])

  def draw(name: str, x: jax.ShapeDtypeStruct) -> np.ndarray:
    if x.dtype == jnp.bool_:
      return np.full(x.shape, name == 'mask')
    if x.dtype == jnp.float32:
      return rng.normal(size=x.shape).astype(np.float32)
    least = PEN_STEPS if name == 'length' else 0
    least = len(SPECIAL) if most[name] == PIECES else least
    return rng.integers(least, most[name], x.shape, x.dtype)

  return {name: draw(name, x) for name, x in shapes(config).items()}
