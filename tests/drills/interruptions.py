"""Runs that are killed or told to stop, and are resumed."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

from hyper.runs.checkpoint import Checkpoints
from tests.drills.bench import RECIPES, STEPS, Bench, Outcome, is_equal


def kill(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Kills a run at random moments; the resumed run ends with equal bits."""
  for task in RECIPES:
    yield interrupted(bench, task, signal.SIGKILL, tries)


def stop(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Stops a run by SIGTERM and Ctrl-C; the resumed run ends with equal bits."""
  for number in (signal.SIGTERM, signal.SIGINT):
    yield interrupted(bench, 'char_lm', number, tries)


def interrupted(
  bench: Bench, task: str, number: signal.Signals, tries: int
) -> Outcome:
  """Sends a signal to a run in several starts, then lets it end."""
  run, draw = bench.folder / f'{number.name}_{task}', random.Random(0)
  whole, sent = bench.whole(task), 0
  for _ in range(tries):
    process = bench.start(*bench.train_command(run, task))
    wait_for_steps(run, process, draw.randrange(STEPS))
    time.sleep(draw.random() * 0.2)
    if process.poll() is None:
      process.send_signal(number)
      sent += 1
    bench.finish(process)
  ended = bench.train(run, task)
  held = ended.status == 0 and is_equal(run, whole)
  return Outcome(
    f'{number.name} x {sent}, {task}', held, '' if held else ended.errors[-300:]
  )


def wait_for_steps(
  run: pathlib.Path, process: subprocess.Popen, count: int
) -> None:
  """Waits until a run has `count` more lines of metrics, or has ended."""
  path = run / 'metrics.jsonl'
  wanted = size(path) + count
  while process.poll() is None and size(path) < wanted:
    time.sleep(0.02)


def size(path: pathlib.Path) -> int:
  """Returns the number of lines of a file; 0 if there is none."""
  return path.read_bytes().count(b'\n') if path.exists() else 0


def full_disk(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Fills the disk: the error is one line, and the saved state resumes."""
  del tries
  tried, place = 'disk full after the first save', bench.folder / 'small'
  place.mkdir()
  mount = ['mount', '-t', 'tmpfs', '-o', 'size=8m', 'drill', str(place)]
  if subprocess.run(mount, capture_output=True).returncode:
    yield Outcome(tried, None, 'mounting a small disk needs root')
    return
  try:
    yield filled(bench, place, tried)
  finally:
    subprocess.run(['umount', '--lazy', str(place)], check=True)


def filled(bench: Bench, place: pathlib.Path, tried: str) -> Outcome:
  """Fills a small disk while a run on it trains, and frees it again."""
  run, filler = place / 'run', place / 'filler'
  saved = Checkpoints(run / 'checkpoints', ('bpc', 'min'))
  process = bench.start(*bench.train_command(run))
  while process.poll() is None and not saved.saved_steps:
    time.sleep(0.02)
  with open(filler, 'wb', buffering=0) as file:
    try:
      while file.write(bytes(4096)):
        pass
    except OSError:
      pass
  ended = bench.finish(process)
  is_saved = bool(saved.saved_steps)
  filler.unlink()
  again = bench.train(run)
  held = (
    # Lines of orbax's threads about an unfinished write do not count.
    (ended.status == 0 or 'No space left' in ended.error)
    and is_saved
    and again.status == 0
    and is_equal(run, bench.whole())
  )
  return Outcome(
    tried, held, '' if held else ended.errors[-200:] + again.errors[-200:]
  )


def read_only(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Scores a run on a disk that cannot be written."""
  del tries
  run = bench.folder / 'read_only'
  shutil.copytree(bench.whole('handwriting'), run)
  bind = ['mount', '--bind', str(run), str(run)]
  remount = ['mount', '-o', 'remount,ro,bind', str(run)]
  if any(
    subprocess.run(step, capture_output=True).returncode
    for step in (bind, remount)
  ):
    yield Outcome('read-only folder', None, 'mounting needs root')
    return
  try:
    outcome = bench.evaluate(run).scored()
    yield Outcome('read-only folder', outcome.held, outcome.note)
  finally:
    subprocess.run(['umount', '--lazy', str(run)], check=True)


def no_handles(bench: Bench, tries: int) -> Iterator[Outcome]:
  """Allows too few file handles: the error says so, and nothing is renamed."""
  del tries
  run = bench.copy('no_handles')
  before = sorted(os.listdir(run / 'checkpoints'))
  code = (
    'import resource, runpy, sys; '
    'resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)); '
    "runpy.run_path('evaluate.py', run_name='__main__')"
  )
  flags = (f'--workdir={run}', f'--data_dir={bench.folder / "data"}')
  ended = bench.finish(bench.start('-c', code, *flags))
  held = (
    ended.status != 0
    and 'corrupt' not in ended.errors
    and sorted(os.listdir(run / 'checkpoints')) == before
  )
  yield Outcome('12 file handles', held, '' if held else ended.errors[-300:])
