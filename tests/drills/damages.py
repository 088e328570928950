"""Run folders in which something was changed, removed or added."""

import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

from hyper import trained
from hyper.runs.checkpoint import Checkpoints, CorruptCheckpointError
from tests.drills.bench import STEPS, Bench, Outcome, is_equal


def flip(path: pathlib.Path) -> None:
  """Changes one bit in the middle of a file."""
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def cut(path: pathlib.Path) -> None:
  """Removes the second half of a file."""
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, Callable[[pathlib.Path], None]] = {
  'a bit flipped': flip,
  'half cut off': cut,
  'removed': pathlib.Path.unlink,
}


def checkpoints(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Checks that every damaged file of a checkpoint is detected."""
  del tries
  source = bench.whole()
  data_dir = str(bench.folder / 'data')
  like = {'params': trained.load(str(source), 'latest', data_dir).params}
  run = bench.copy('damaged')
  step = run / 'checkpoints' / str(STEPS)
  files = [x for x in sorted(step.rglob('*')) if x.is_file()]
  for kind, damage in DAMAGE.items():
    missed = []
    for path in files:
      if not path.stat().st_size and kind != 'removed':
        continue
      content = path.read_bytes()
      damage(path)
      try:
        Checkpoints(run / 'checkpoints', ('bpc', 'min')).restore(like, STEPS)
        missed.append(path.relative_to(step).as_posix())
      except CorruptCheckpointError:
        pass
      path.write_bytes(content)
    note = f'not detected: {", ".join(missed)}' if missed else ''
    yield Outcome(f'{len(files)} files, {kind}', not missed, note)


def resumes(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Checks that a run with a damaged newest checkpoint resumes from another."""
  del tries
  run = bench.copy('newest_damaged')
  flip(run / 'checkpoints' / str(STEPS) / 'summary.json')
  ended = bench.train(run)
  held = ended.status == 0 and is_equal(run, bench.whole())
  yield Outcome(
    'newest checkpoint damaged', held, ended.errors[-300:] * (not held)
  )


def strangers(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Checks that what no run wrote among the checkpoints is left alone."""
  del tries
  run = bench.copy('strangers')
  (run / 'checkpoints' / '99').symlink_to('nowhere')
  (run / 'checkpoints' / '98').write_text('a file')
  (run / 'checkpoints' / '97').mkdir()
  outcome = bench.evaluate(run, '--checkpoint=latest').scored()
  there = {'97', '98', '99'} <= set(os.listdir(run / 'checkpoints'))
  yield Outcome(
    'a link, a file and an empty folder', outcome.held and there, outcome.note
  )


def records(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Checks that a damaged file of a run folder is harmless or named."""
  del tries
  run = bench.copy('half_a_start')
  cut(run / 'starts.jsonl')
  again = bench.train(run), bench.train(run)
  yield Outcome(
    'half a line in starts.jsonl',
    not any(x.status for x in again),
    again[-1].error,
  )
  for name, damage, parts in (
    ('config.json', pathlib.Path.unlink, ('config.json',)),
    ('config.json', cut, ('config.json',)),
    ('vocabulary.json', flip, ('vocabulary.json',)),
    ('checkpoints', shutil.rmtree, ('had checkpoints',)),
  ):
    run = bench.copy(f'{name}_{damage.__name__}')
    damage(run / name)
    outcome = bench.train(run).refused(*parts)
    yield Outcome(f'{name}, {damage.__name__}', outcome.held, outcome.note)


def places(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Checks that a path unfit for a run is refused before anything is made."""
  del tries
  for place in ('gs://bucket/run', str(bench.folder / 'back\\slash')):
    command = bench.train_command(bench.folder)
    command[-2] = f'--workdir={place}'  # a Path would drop a slash
    outcome = bench.finish(bench.start(*command)).refused('--workdir')
    yield Outcome(place.rpartition('/')[-1], outcome.held, outcome.note)


def machines(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Reads a trained run under other settings of JAX and matplotlib."""
  del tries
  run = bench.whole()
  for name, value in (
    ('JAX_DEFAULT_PRNG_IMPL', 'rbg'),
    ('JAX_ENABLE_X64', '1'),
    ('MPLBACKEND', 'module://matplotlib_inline.backend_inline'),
  ):
    outcome = bench.evaluate(run, **{name: value}).scored()
    yield Outcome(f'{name}={value}', outcome.held, outcome.note)
  changed = bench.evaluate(run, '--set=data.batch_size=1').scored()
  yield Outcome('another batch size', changed.held, changed.note)
  absent = bench.evaluate(run, JAX_PLATFORMS='cuda').refused('cuda')
  yield Outcome('a platform that is not there', absent.held, absent.note)
