"""Starts and scores runs on made-up data as large as enwik8 and WMT'14.

  python -m benchmarks.whole_data --place=DIR --output=FILE.json

Neither may be passed on, so random text takes their place: 99,999,999 bytes of
205 values, and archives with the layout of WMT'14, some 40 million pairs whose
words are as often and as rare as those of a language. DIR needs 0.3 GB for
enwik8 (`--data=enwik8`) and 24 GB for WMT'14. A small network is started
twice and takes two steps, the first time without prepared data and JAX's
compilation cache; its second run is scored. Printed are the seconds and the
most memory that each process has held.
"""

import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from benchmarks import measure, startup
from hyper.data import wmt
from hyper.runs import commands

ENWIK8 = {'bytes': 99_999_999, 'values': 205}  # the whole file is verified
SHARES = (0.049, 0.079, 0.316, 0.005, 0.551)  # of pairs, in wmt.ARCHIVES' order
SCORED = 3003  # pairs of a file for validation or test
POOL = 100_000  # sentences; each repetition gets rare words of its own
WORDS = 200_000
BLOCK = 20  # sentences for each rare word
FEW_STEPS = (
  *('--config.train_steps=2', '--config.eval_every_steps=2'),
  *('--config.save_every_steps=2', '--config.log_every_steps=1'),
)
SMALL = ('--config.model.cell.units=64',)
RUNS = {
  'enwik8': (
    *('--config=configs/enwik8_lstm.py', *SMALL),
    f'--config.data.prefix_bytes={ENWIK8["bytes"]}',
  ),
  'wmt14': (
    *('--config=configs/nmt_lstm.py', *SMALL),
    *('--config.model.layers=2', '--config.decoding.beam_size=2'),
  ),
}


def main() -> None:
  """Makes data, starts and scores, and prints a line for each process."""
  args = flags.FLAGS
  commands.prepare_output(args.output, ('json',))
  place = pathlib.Path(args.place).resolve()
  made: dict[str, tuple[pathlib.Path, Callable[[pathlib.Path], None]]] = {
    'enwik8': (place / 'enwik8', write_enwik8),
    'wmt14': (
      place / f'wmt14_{args.pairs}',
      lambda folder: write_wmt(folder, args.pairs),
    ),
  }
  measure.measure_each(
    'whole_data',
    args.data,
    lambda name: figures(name, *made[name]),
    args.output,
  )


def figures(
  name: str, place: pathlib.Path, make: Callable[[pathlib.Path], None]
) -> dict[str, dict[str, float]]:
  """Returns the seconds and the memory of two starts and of an evaluation.

  Args:
    name: of the data.
    place: a folder for them and the runs; only data are kept from before.
    make: writes the data into a folder.
  """
  raw = place / 'data' / name
  if not raw.exists():
    part = raw.with_name(f'{name}.part')
    shutil.rmtree(part, ignore_errors=True)  # of a command that was interrupted
    make(part)
    part.rename(raw)
  for old in ('data/prepared', 'cache', 'runs'):
    shutil.rmtree(place / old, ignore_errors=True)
  environment = os.environ | {'XDG_CACHE_HOME': str(place / 'cache')}
  environment.pop('JAX_COMPILATION_CACHE_DIR', None)
  data, found = f'--data_dir={place / "data"}', {}
  for start in ('first start', 'second start'):
    workdir = place / 'runs' / start
    found[start] = process(
      ['train.py', *RUNS[name], *FEW_STEPS, f'--workdir={workdir}', data],
      environment,
    )
    print(f'{name}, {start}: {found[start]}', flush=True)
  found['evaluation'] = process(
    ['evaluate.py', f'--workdir={workdir}', data], environment
  )
  print(f'{name}, evaluation: {found["evaluation"]}', flush=True)
  return found


def process(
  command: Sequence[str], environment: Mapping[str, str] = os.environ
) -> dict[str, float]:
  """Runs a command to its end, and returns its figures.

  Raises:
    RuntimeError: it failed.
  """
  began = time.perf_counter()
  started = subprocess.Popen(
    [sys.executable, *command], cwd=startup.ROOT, env=environment
  )
  used = startup.ended(started)
  if started.returncode:
    raise RuntimeError(f'{command} ended with {started.returncode}.')
  return {
    'seconds': round(time.perf_counter() - began, 1),
    'processor_seconds': round(used.ru_utime + used.ru_stime, 1),
    'most_megabytes': round(used.ru_maxrss / 1e3),
  }


def write_enwik8(folder: pathlib.Path) -> None:
  """Writes bytes whose frequencies fall with their rank."""
  folder.mkdir(parents=True)
  left, values = ENWIK8['bytes'], ENWIK8['values']
  rng, frequencies = np.random.default_rng(0), zipf(values)
  with open(folder / f'enwik8.first{left}', 'wb') as file:
    while left:  # in parts, since a process reports the memory of its parent
      drawn = rng.choice(values, min(left, 2**20), p=frequencies)
      file.write(drawn.astype(np.uint8).tobytes())
      left -= len(drawn)


def zipf(size: int) -> np.ndarray:
  """Returns frequencies that fall with the rank, as those of words."""
  weights = 1 / (np.arange(size) + 2.7)
  return weights / weights.sum()


def write_wmt(folder: pathlib.Path, pairs: int) -> None:
  """Writes archives with the layout of WMT'14 and `pairs` for training."""
  folder.mkdir(parents=True)
  pools = [pool(seed, mean) for seed, mean in ((1, 26), (2, 30))]
  training = dict(zip(wmt.ARCHIVES['train'], SHARES, strict=True))
  first = 0
  for (archive, names), share in training.items():
    count = round(pairs * share)
    texts = [sentences(x, first, count) for x in pools]
    write_archive(folder / archive, dict(zip(names, texts, strict=True)))
    first += count
  for split in ('validation', 'test'):
    for archive in {archive for archive, _ in wmt.ARCHIVES[split]}:
      files = {
        name: sentences(pools[k], first, SCORED)
        for found, names in wmt.ARCHIVES[split]
        for k, name in enumerate(names)
        if found == archive
      }
      write_archive(folder / archive, files)


def pool(seed: int, mean: int) -> list[list[bytes]]:
  """Returns blocks of sentences of made-up words, `mean` long on average."""
  rng = np.random.default_rng(seed)
  letters = np.array(list('etaoinshrdlucmfwypvbgk'))
  lengths = rng.integers(2, 12, WORDS)
  drawn = ''.join(rng.choice(letters, lengths.sum()))
  ends = np.cumsum(lengths)
  words = [drawn[e - n : e] for e, n in zip(ends, lengths, strict=True)]
  counts = 1 + rng.geometric(1 / (mean - 1), POOL)
  ranks = iter(rng.choice(WORDS, counts.sum(), p=zipf(WORDS)).tolist())
  made = [
    ' '.join(words[next(ranks)] for _ in range(count)).encode()
    for count in counts.tolist()
  ]
  return [made[k : k + BLOCK] for k in range(0, POOL, BLOCK)]


def sentences(
  blocks: list[list[bytes]], first: int, count: int
) -> Iterator[bytes]:
  """Yields lines, together `count` of them, with a rare word in each block."""
  whole = [b'\n'.join(block) for block in blocks]
  for k in range(first, first + count - BLOCK + 1, BLOCK):
    yield b'%s %s\n' % (whole[k // BLOCK % len(blocks)], rare_word(k))
  yield b''.join(line + b'\n' for line in blocks[0][: count % BLOCK])


def rare_word(number: int) -> bytes:
  """Returns a word that belongs to a number.

  >>> rare_word(26 * 26 + 2)
  b'bac'
  """
  letters = bytearray()
  while number or not letters:
    number, letter = divmod(number, 26)
    letters.append(ord('a') + letter)
  return bytes(reversed(letters))


def write_archive(
  path: pathlib.Path, files: dict[str, Iterator[bytes]]
) -> None:
  """Writes a tar archive; its files are packed if their names say so."""
  mode = 'w' if path.suffix == '.tar' else 'w:gz'
  level = {'compresslevel': 1} if mode == 'w:gz' else {}
  with tarfile.open(path, mode, **level) as archive:  # type: ignore[call-overload]
    for name, lines in files.items():
      part = path.with_name(f'{path.name}.part')
      opened: Any = gzip.open if name.endswith('.gz') else open
      packed = {'compresslevel': 1} if name.endswith('.gz') else {}
      with opened(part, 'wb', **packed) as file:
        is_marked = name.endswith('.sgm')
        for text in lines:
          file.write(marked(text) if is_marked else text)
      archive.add(part, name)
      part.unlink()


def marked(text: bytes) -> bytes:
  """Returns lines as segments of an .sgm file."""
  lines = text.splitlines()
  return b''.join(b'<seg id="1">%s</seg>\n' % line for line in lines)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  flags.DEFINE(commands.PATH, 'place', None, 'Folder for data and runs.')
  flags.mark_flag_as_required('place')
  flags.DEFINE_multi_enum('data', list(RUNS), list(RUNS), 'What is measured.')
  flags.DEFINE_integer('pairs', 40_000_000, 'For training.', lower_bound=1000)
  flags.DEFINE(commands.PATH, 'output', '', 'A JSON file to write.')


if __name__ == '__main__':
  commands.start(main, define_flags)
