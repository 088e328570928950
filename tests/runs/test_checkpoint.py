"""Checkpoints against damage, kills, donation, and a reader beside a writer."""

import errno
import functools
import hashlib
import logging
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from orbax.checkpoint import v1 as ocp

from hyper.runs import checkpoint_files, processes
from hyper.runs.checkpoint import Checkpoints, CorruptCheckpointError
from hyper.runs.checkpoint_arrays import copy_to_host

BPC = ('bpc', 'min')


class State(struct.PyTreeNode):
  """A state like that of a run: a dataclass, optimizer tuples, a raw key."""

  step: Any
  params: Any
  opt_state: Any
  model_state: Any
  key: Any


def make_state(step: int) -> State:
  key = jax.random.key(step)
  kernel = jax.random.normal(key, (40, 30))
  return State(
    step=jnp.asarray(step, jnp.int32),
    params={'cell': {'kernel': kernel, 'bias': jnp.full(3, step)}},
    opt_state=({'mu': kernel.astype(jnp.bfloat16)}, (), None),
    model_state={'reset': jnp.array([True, False]), 'scale': jnp.float16(step)},
    key=jax.random.key_data(key),
  )


def assert_same(actual: Any, expected: Any) -> None:
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for a, b in zip(
    jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
  ):
    assert isinstance(a, jax.Array)
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def save(
  checkpoints: Checkpoints,
  step: int,
  state: Any,
  metrics: dict[str, float] | None = None,
) -> None:
  checkpoints.write(step, copy_to_host(state), metrics)


def save_all(
  folder: pathlib.Path,
  scores: dict[int, float | None],
  selection: tuple[str, str] = BPC,
  keep_latest: int = 2,
) -> None:
  with Checkpoints(folder, selection, keep_latest) as checkpoints:
    for step, score in scores.items():
      metrics = None if score is None else {selection[0]: score}
      save(checkpoints, step, make_state(step), metrics)


def largest_file(folder: pathlib.Path) -> pathlib.Path:
  files = [path for path in folder.rglob('*') if path.is_file()]
  return max(files, key=lambda path: path.stat().st_size)


def flip(folder: pathlib.Path) -> None:
  path = largest_file(folder / 'state')
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def truncate(folder: pathlib.Path) -> None:
  path = largest_file(folder / 'state')
  os.truncate(path, path.stat().st_size // 2)


def remove(folder: pathlib.Path) -> None:
  largest_file(folder / 'state').unlink()


def lose_arrays(folder: pathlib.Path) -> None:
  shutil.rmtree(folder / 'state')


def lose_summary(folder: pathlib.Path) -> None:
  (folder / 'summary.json').unlink()


def falsify(folder: pathlib.Path) -> None:
  path = folder / 'summary.json'
  text = path.read_text()
  assert '2.5' in text
  path.write_text(text.replace('2.5', '0.5'))


DAMAGES = [flip, truncate, remove, lose_arrays, lose_summary, falsify]


@pytest.mark.parametrize('abstract', [False, True])
def test_restores_values_types_and_structure(tmp_path, abstract):
  state = make_state(7)
  save_all(tmp_path, {7: None})
  like = jax.eval_shape(lambda: state) if abstract else make_state(0)
  checkpoints = Checkpoints(tmp_path, BPC)
  for step, restored in (checkpoints.restore(like), checkpoints.resume(like)):
    assert step == 7
    assert not restored.step.committed  # it may join arrays of any mesh
    assert_same(restored, state)


def test_restored_state_can_be_donated_and_restored_again(tmp_path):
  save_all(tmp_path, {7: None})
  checkpoints = Checkpoints(tmp_path, BPC)
  _, state = checkpoints.restore(make_state(0))
  donate = jax.jit(
    lambda tree: jax.tree.map(jnp.negative, tree), donate_argnums=0
  )
  jax.block_until_ready(donate({'kernel': state.params['cell']['kernel']}))
  assert_same(checkpoints.restore(make_state(0))[1], make_state(7))


def test_restores_to_the_sharding_asked_for(tmp_path):
  mesh = jax.make_mesh(
    (1,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  sharding = jax.NamedSharding(mesh, jax.P('data'))
  save_all(tmp_path, {7: None})
  like = jax.eval_shape(lambda: make_state(0))
  like = like.replace(
    key=jax.ShapeDtypeStruct((2,), jnp.uint32, sharding=sharding)
  )
  _, restored = Checkpoints(tmp_path, BPC).restore(like)
  assert restored.key.sharding == sharding
  assert not restored.step.committed
  like = like.replace(key=jax.device_put(restored.key, sharding))
  _, restored = Checkpoints(tmp_path, BPC).restore(like)
  assert restored.key.sharding == sharding
  assert_same(restored, make_state(7))


def test_donation_after_save_does_not_change_what_is_written(tmp_path):
  @functools.partial(jax.jit, donate_argnums=0)
  def advance(tree):
    return jax.tree.map(lambda x: x + 1, tree)

  state = {str(i): jnp.full((500, 500), float(i)) for i in range(8)}
  on_host = np.zeros((500, 500), np.float32)
  expected = jax.tree.map(np.array, state | {'host': on_host})
  with Checkpoints(tmp_path, BPC) as checkpoints:
    save(checkpoints, 1, state | {'host': on_host})
    on_host += 1
    for _ in range(3):
      donated, state = state, advance(state)
    jax.block_until_ready(state)
  assert donated['0'].is_deleted()
  assert_same(checkpoints.restore(expected)[1], expected)


def test_what_is_written_is_a_copy(tmp_path, monkeypatch):
  """The copy is needed if orbax makes none and jax donates at once."""
  write = ocp.save_checkpointables_async
  given = {}

  def note_and_save(path, items):
    given.update(items['state'])
    return write(path, items)

  monkeypatch.setattr(ocp, 'save_checkpointables_async', note_and_save)
  state = {'device': jnp.ones(1000), 'host': np.ones(1000)}
  with Checkpoints(tmp_path, BPC) as checkpoints:
    save(checkpoints, 1, state)
  for name, array in state.items():
    assert not np.shares_memory(given[name], np.asarray(array))


@pytest.mark.parametrize(
  ('selection', 'keep_latest', 'scores', 'kept', 'best'),
  [
    (BPC, 2, {1: 3.0, 2: 1.0, 3: 2.0, 4: 2.0, 5: 4.0}, [2, 4, 5], 2),
    (('accuracy', 'max'), 1, {1: 3.0, 2: 5.0, 3: 4.0, 4: 1.0}, [2, 4], 2),
    (BPC, 2, {1: 1.0, 2: None, 3: None, 4: None}, [1, 3, 4], 1),
    (BPC, 2, {1: None, 2: None, 3: None}, [2, 3], None),
    (BPC, 1, {1: 2.0, 2: 2.0, 3: 2.0}, [1, 3], 1),  # the earliest of ties
    (BPC, 1, {1: float('nan'), 2: 5.0, 3: None}, [2, 3], 2),
    (BPC, 1, {1: 3.0, 2: 2.0, 3: 1.0}, [3], 3),
    (BPC, 1, {9: 1.0, 10: 2.0, 100: 3.0}, [9, 100], 9),  # numbers, not names
  ],
)
def test_keeps_the_latest_and_the_best(
  tmp_path, selection, keep_latest, scores, kept, best
):
  save_all(tmp_path, scores, selection, keep_latest)
  checkpoints = Checkpoints(tmp_path, selection, keep_latest)
  assert checkpoints.saved_steps == kept
  assert checkpoints.best_step == best
  assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
    map(str, kept)
  )
  assert checkpoints.restore(make_state(0))[0] == kept[-1]
  if best:
    step, state = checkpoints.restore(make_state(0), 'best')
    assert step == best
    assert_same(state, make_state(best))


def test_best_of_a_run_survives_its_interruption(tmp_path):
  save_all(tmp_path, {1: 1.0, 2: 2.0, 3: 3.0})
  save_all(tmp_path, {4: 2.0, 5: None, 6: None})
  assert Checkpoints(tmp_path, BPC).saved_steps == [1, 5, 6]


def test_nothing_is_deleted_before_the_next_is_complete(tmp_path, monkeypatch):
  save_all(tmp_path, {1: None}, keep_latest=1)
  seen = []

  class Failure:
    def result(self):
      seen.append(Checkpoints(tmp_path, BPC).saved_steps)
      raise OSError('disk full')

  monkeypatch.setattr(
    ocp, 'save_checkpointables_async', lambda path, items: Failure()
  )
  checkpoints = Checkpoints(tmp_path, BPC, keep_latest=1)
  save(checkpoints, 2, make_state(2))
  with pytest.raises(OSError, match=f'{tmp_path} .*not be written.*disk full'):
    save(checkpoints, 3, make_state(3))
  assert seen == [[1]]
  assert checkpoints.saved_steps == [1]


def test_write_that_fails_is_an_error(tmp_path):
  code = """
import resource, signal, sys
import numpy as np
from hyper.runs import checkpoint_files
from hyper.runs.checkpoint import Checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Checkpoints(sys.argv[1], ('bpc', 'min')) as checkpoints:
  checkpoints.write(1, {'x': np.ones(9)})
  checkpoints.wait()
  resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))
  checkpoints.write(2, {'x': np.random.default_rng(0).random(1 << 18)})
"""
  result = run_python(code, tmp_path)
  assert result.returncode == 1
  assert f'{tmp_path} could not be written' in result.stderr
  assert Checkpoints(tmp_path, BPC).saved_steps == [1]


@pytest.mark.parametrize('damage', DAMAGES)
def test_resume_sets_a_corrupt_newest_one_aside(tmp_path, caplog, damage):
  save_all(tmp_path, {1: 9.0, 2: 8.0, 3: 2.5})
  damage(tmp_path / '3')
  with Checkpoints(tmp_path, BPC) as checkpoints:
    with caplog.at_level(logging.WARNING, logger='absl'):
      step, state = checkpoints.resume(make_state(0))
    assert step == 2
    assert_same(state, make_state(2))
    (warning,) = caplog.messages
    assert f'{tmp_path}/3: ' in warning
    assert f'{tmp_path}/3.corrupt,' in warning
    assert checkpoints.saved_steps == [2]
    save(checkpoints, 3, make_state(3), {'bpc': 2.5})
    checkpoints.wait()
    assert checkpoints.best_step == 3
    damage(tmp_path / '3')
    assert checkpoints.resume(make_state(0))[0] == 2
  assert sorted(os.listdir(tmp_path)) == ['2', '3.corrupt', '3.corrupt-2']


@pytest.mark.parametrize('damage', [flip, truncate, lose_summary])
def test_reading_changes_nothing_even_if_the_newest_is_corrupt(
  tmp_path, caplog, damage
):
  save_all(tmp_path, {1: 1.0, 2: 2.0, 3: 2.5})
  damage(tmp_path / '3')
  (tmp_path / '4.orbax-checkpoint-tmp').mkdir()
  (tmp_path / '4.orbax-checkpoint-tmp' / 'under way').write_text('...')
  before = fingerprint(tmp_path)
  with Checkpoints(tmp_path, BPC) as checkpoints:
    assert checkpoints.restore(make_state(0))[0] == 2
    assert f'{tmp_path}/3' in caplog.text
    if damage is not lose_summary:
      assert checkpoints.restore(make_state(0), 'best')[0] == 1
    assert checkpoints.restore(make_state(0), 2)[0] == 2
    with pytest.raises(CorruptCheckpointError, match=f'{tmp_path}/3'):
      checkpoints.restore(make_state(0), 3)
  assert fingerprint(tmp_path) == before


def fingerprint(folder: pathlib.Path) -> dict[str, Any]:
  return {
    str(path.relative_to(folder)): (
      path.stat().st_mtime_ns,
      path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    for path in [folder, *folder.rglob('*')]
  }


def test_reading_an_absent_folder_does_not_make_it(tmp_path):
  checkpoints = Checkpoints(tmp_path / 'absent', BPC)
  assert checkpoints.saved_steps == []
  assert checkpoints.best_step is None
  for which in ('latest', 'best', 3):
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}/absent'):
      checkpoints.restore(make_state(0), which)
  assert not (tmp_path / 'absent').exists()
  with pytest.raises(FileNotFoundError):
    checkpoints.resume(make_state(0))


@pytest.mark.parametrize('damage', DAMAGES)
def test_best_is_never_silently_another_one(tmp_path, damage):
  save_all(tmp_path, {1: 2.5, 2: 3.0, 3: 4.0})
  damage(tmp_path / '1')
  checkpoints = Checkpoints(tmp_path, BPC)
  with pytest.raises(CorruptCheckpointError, match=f'{tmp_path}/1') as error:
    checkpoints.restore(make_state(0), 'best')
  assert 'Put back a copy' in str(error.value)
  with checkpoints:
    save(checkpoints, 5, make_state(5), {'bpc': 4.0})
  # A run does not delete a checkpoint that it cannot read.
  assert 1 in checkpoints.saved_steps


def test_all_corrupt_names_all_and_renames_none(tmp_path):
  save_all(tmp_path, {1: None, 2: None})
  flip(tmp_path / '1')
  remove(tmp_path / '2')
  with pytest.raises(CorruptCheckpointError) as error:
    Checkpoints(tmp_path, BPC).resume(make_state(0))
  assert re.search(
    f'{tmp_path}/1: .*state/.* is not what was', str(error.value)
  )
  assert re.search(f'{tmp_path}/2: .*state/.* is missing', str(error.value))
  assert Checkpoints(tmp_path, BPC).saved_steps == [1, 2]


def test_an_absent_step_lists_those_that_exist(tmp_path):
  save_all(tmp_path, {3: None, 5: None})
  checkpoints = Checkpoints(tmp_path, BPC)
  with pytest.raises(FileNotFoundError, match=r'step 4 .*\[3, 5\]'):
    checkpoints.restore(make_state(0), 4)


def test_the_best_of_a_run_without_scores_is_refused_with_a_remedy(tmp_path):
  save_all(tmp_path, {3: None, 5: None})
  with pytest.raises(FileNotFoundError) as error:
    Checkpoints(tmp_path, BPC).restore(make_state(0), 'best')
  for part in ('not been evaluated yet', '--checkpoint=latest', '[3, 5]'):
    assert part in str(error.value)


def without_bias(state: State) -> State:
  kernel = state.params['cell']['kernel']
  return state.replace(params={'cell': {'kernel': kernel}})


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      lambda state: state.replace(key=jnp.zeros(4, jnp.uint32)),
      r'key is uint32\[2\] in the checkpoint, and uint32\[4\]',
    ),
    (
      lambda state: state.replace(step=jnp.float32(0)),
      r'step is int32\[\] in the checkpoint, and float32\[\]',
    ),
    (
      lambda state: state.replace(model_state={}),
      'model_state/reset is bool.* in the checkpoint, and no such array',
    ),
    (without_bias, r'params/cell/bias is int32\[3\].*no such array'),
    (
      lambda state: state.replace(params={'cell': state.params}),
      r'params/cell/cell/bias is missing .*int32\[3\] is needed here',
    ),
  ],
)
def test_mismatch_names_the_leaf_and_is_not_corruption(
  tmp_path, change, message
):
  save_all(tmp_path, {1: None, 2: None})
  with pytest.raises(ValueError, match=message) as error:
    Checkpoints(tmp_path, BPC).resume(change(make_state(0)))
  assert not isinstance(error.value, CorruptCheckpointError)
  assert f'{tmp_path}/2' in str(error.value)
  assert Checkpoints(tmp_path, BPC).saved_steps == [1, 2]


def test_a_part_is_read_whatever_the_rest_is(tmp_path):
  save_all(tmp_path, {1: None})
  state = make_state(1)
  checkpoints = Checkpoints(tmp_path, BPC)
  step, found = checkpoints.restore({'params': make_state(0).params})
  assert step == 1
  assert_same(found, {'params': state.params})
  with pytest.raises(ValueError, match=r'params/cell/bias is .*no such array'):
    checkpoints.restore({'params': without_bias(state).params})
  with pytest.raises(ValueError, match=r'key is uint32\[2\] .*uint32\[4\]'):
    checkpoints.restore({'key': jnp.zeros(4, jnp.uint32)})


def test_what_no_run_has_made_is_named_once_and_left_alone(tmp_path, caplog):
  save_all(tmp_path, {1: 1.0, 2: 2.0, 3: 3.0})
  (tmp_path / '99').symlink_to('nowhere')
  (tmp_path / '98').symlink_to(tmp_path / '1')
  for name in ('97', '٣', '7.new'):
    (tmp_path / name).write_text('x')
  for name in ('007', 'notes', '95', '96'):
    (tmp_path / name).mkdir()
  (tmp_path / '96' / 'notes').write_text('x')
  left = ['007', '95', '96', '97', '98', '99', 'notes', '٣']
  assert Checkpoints(tmp_path, BPC).saved_steps == [1, 2, 3]
  for which, step in (('latest', 3), ('best', 1)):
    caplog.clear()
    found, _ = Checkpoints(tmp_path, BPC).restore(make_state(0), which)
    assert found == step
    assert caplog.text.count(', '.join(left)) == 1
  with Checkpoints(tmp_path, BPC, keep_latest=1) as checkpoints:
    assert checkpoints.resume(make_state(0))[0] == 3
    save(checkpoints, 4, make_state(4))
  names = ['1', '4', '7.new', *left]
  assert sorted(os.listdir(tmp_path)) == sorted(names)


def link(path: pathlib.Path) -> None:
  path.symlink_to('nowhere')


def fill(path: pathlib.Path) -> None:
  path.mkdir()
  (path / 'notes').write_text('x')


@pytest.mark.parametrize('make', [pathlib.Path.touch, link, fill])
def test_what_has_the_name_of_a_step_to_save_is_kept(make, tmp_path, caplog):
  make(tmp_path / '2')
  save_all(tmp_path, {1: 1.0, 2: 2.0})
  assert Checkpoints(tmp_path, BPC).restore(make_state(0))[0] == 2
  assert os.path.lexists(tmp_path / '2.foreign')
  assert (make is fill) == (tmp_path / '2.foreign' / 'notes').exists()
  assert '2 is no checkpoint; it is renamed' in caplog.text


@pytest.mark.parametrize(
  'place, error',
  [
    ('load', OSError(errno.EMFILE, 'Too many open files')),
    ('load', RuntimeError("Unable to initialize backend 'cuda'")),
    ('hash', OSError(errno.EMFILE, 'Too many open files')),
    ('hash', PermissionError(errno.EACCES, 'Permission denied')),
    ('summary', OSError(errno.EIO, 'Input/output error')),
  ],
)
def test_an_error_of_the_machine_is_not_called_corruption(
  place, error, tmp_path, monkeypatch
):
  save_all(tmp_path, {1: 1.0, 2: 2.0})

  def fail(*_):
    raise error

  module, name = {
    'load': (ocp, 'load_checkpointables'),
    'hash': (checkpoint_files, 'hash_files'),
    'summary': (pathlib.Path, 'read_bytes'),
  }[place]
  with monkeypatch.context() as patch:
    patch.setattr(module, name, fail)
    for read in (Checkpoints.resume, Checkpoints.restore):
      with pytest.raises(OSError, match=str(error.args[-1])) as caught:
        read(Checkpoints(tmp_path, BPC), make_state(0))
      assert 'corrupt' not in str(caught.value)
  assert sorted(os.listdir(tmp_path)) == ['1', '2']
  assert Checkpoints(tmp_path, BPC).resume(make_state(0))[0] == 2


@pytest.mark.parametrize('act', ['restore', 'save'])
def test_a_lack_of_memory_is_not_called_anything_else(
  act, tmp_path, monkeypatch
):
  def fail(*_):
    cause = RuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes')
    raise ValueError('in several lines') from cause

  save_all(tmp_path, {1: 1.0})
  monkeypatch.setattr(ocp, 'load_checkpointables', fail)
  monkeypatch.setattr(checkpoint_files, 'publish', fail)
  with pytest.raises(MemoryError, match='RESOURCE_EXHAUSTED: Out of memory'):
    if act == 'restore':
      Checkpoints(tmp_path, BPC).restore(make_state(0))
    else:
      save_all(tmp_path, {2: 1.0})
  assert Checkpoints(tmp_path, BPC).saved_steps == [1]


def test_too_few_file_handles_are_not_called_corruption(tmp_path):
  save_all(tmp_path, {1: 1.0, 2: 2.0})
  code = """
import os, resource, sys
import numpy as np
from hyper.runs.checkpoint import Checkpoints
with open(os.devnull) as file:
  lowest = file.fileno()
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 2, lowest + 2))
Checkpoints(sys.argv[1], ('bpc', 'min')).resume({'x': np.ones(9)})
"""
  result = run_python(code, tmp_path)
  assert result.returncode == 1
  assert 'OSError' in result.stderr and 'Too many open' in result.stderr
  assert 'CorruptCheckpointError' not in result.stderr
  assert sorted(os.listdir(tmp_path)) == ['1', '2']
  assert Checkpoints(tmp_path, BPC).resume(make_state(0))[0] == 2


def test_arrays_written_elsewhere_are_noticed(tmp_path, monkeypatch):
  write = ocp.save_checkpointables_async

  def save_elsewhere(path, items):
    path.mkdir(parents=True)
    return write(tmp_path / 'elsewhere', items)

  monkeypatch.setattr(ocp, 'save_checkpointables_async', save_elsewhere)
  checkpoints = Checkpoints(tmp_path / 'run', BPC)
  save(checkpoints, 1, make_state(1))
  with pytest.raises(OSError, match='1.new has no arrays'):
    checkpoints.close()
  assert checkpoints.saved_steps == []


@pytest.mark.parametrize('error', [OSError, MemoryError])
def test_a_failed_write_does_not_hide_the_error_before_it(
  error, tmp_path, monkeypatch, caplog
):
  def fail(*_):
    raise error('disk full')

  monkeypatch.setattr(checkpoint_files, 'publish', fail)
  with (
    pytest.raises(FloatingPointError, match='NaN'),
    Checkpoints(tmp_path, BPC) as checkpoints,
  ):
    save(checkpoints, 1, make_state(1))
    raise FloatingPointError('a loss of NaN')
  assert 'disk full' in caplog.text


def test_a_checkpoint_is_announced_once_it_is_complete(tmp_path):
  told = []
  with Checkpoints(
    tmp_path,
    BPC,
    published=lambda step: told.append((step, checkpoints.saved_steps)),
  ) as checkpoints:
    for step in (1, 2):
      save(checkpoints, step, make_state(step))
  assert told == [(1, [1]), (2, [1, 2])]


def test_saving_a_step_again_keeps_its_metrics(tmp_path):
  with Checkpoints(tmp_path, BPC, keep_latest=1) as checkpoints:
    save(checkpoints, 1, make_state(1), {'bpc': 1.0, 'loss': 2.0})
    save(checkpoints, 1, make_state(1))
    checkpoints.wait()
    written = fingerprint(tmp_path)
    save(checkpoints, 1, make_state(1), {'bpc': 1.0})
  assert fingerprint(tmp_path) == written
  save_all(tmp_path, {2: 3.0})
  assert checkpoints.best_step == 1


def test_metrics_can_be_added_to_a_step(tmp_path):
  save_all(tmp_path, {1: None, 2: None, 3: 5.0})
  with Checkpoints(tmp_path, BPC) as checkpoints:
    save(checkpoints, 3, make_state(3), {'bpc': 4.0})
    assert checkpoints.saved_steps == [2, 3]  # while it is being written too
    save(checkpoints, 2, make_state(2), {'bpc': 1.0})
  assert checkpoints.best_step == 2
  assert sorted(os.listdir(tmp_path)) == ['2', '3']
  assert_same(checkpoints.restore(make_state(0), 2)[1], make_state(2))


def test_another_state_of_the_same_step_replaces_it(tmp_path):
  save_all(tmp_path, {1: 5.0})
  with Checkpoints(tmp_path, BPC) as checkpoints:
    save(checkpoints, 1, make_state(2))
  assert checkpoints.best_step is None  # the metrics were not of this state
  assert_same(checkpoints.restore(make_state(0), 1)[1], make_state(2))


def test_leftovers_are_deleted_when_the_next_run_writes(tmp_path):
  save_all(tmp_path, {1: None})
  names = ['2.new', '3.new.orbax-checkpoint-tmp', '4.deleting']
  for name in names:
    (tmp_path / name / 'state').mkdir(parents=True)
  (tmp_path / 'notes').mkdir()
  checkpoints = Checkpoints(tmp_path, BPC)
  assert checkpoints.restore(make_state(0))[0] == 1
  assert sorted(os.listdir(tmp_path)) == ['1', *names, 'notes']
  assert checkpoints.resume(make_state(0))[0] == 1
  assert sorted(os.listdir(tmp_path)) == ['1', 'notes']


def test_arrays_that_orbax_writes_wrongly_are_noticed(tmp_path, monkeypatch):
  """The hashes are those of the arrays in memory, not only of the files."""
  write = ocp.save_checkpointables_async

  def save_something_else(path, items):
    kernel = items['state']['params/cell/kernel'] + 1
    state = items['state'] | {'params/cell/kernel': kernel}
    return write(path, {'state': state})

  monkeypatch.setattr(ocp, 'save_checkpointables_async', save_something_else)
  save_all(tmp_path, {1: None})
  with pytest.raises(CorruptCheckpointError, match='params/cell/kernel is not'):
    Checkpoints(tmp_path, BPC).restore(make_state(0))


@pytest.mark.parametrize(
  ('state', 'metrics', 'error', 'message'),
  [
    ({'a': np.ones(2)}, {'loss': 1.0}, ValueError, 'without bpc'),
    ({'a': np.ones((2, 0))}, None, ValueError, r'a is float64\[2, 0\]'),
    ({'a': 3}, None, TypeError, 'a is 3'),
    ({'a': {'b': np.ones(1)}, 'a/b': np.ones(1)}, None, ValueError, 'a/b'),
  ],
)
def test_refuses_what_it_cannot_save(tmp_path, state, metrics, error, message):
  with (
    Checkpoints(tmp_path, BPC) as checkpoints,
    pytest.raises(error, match=message),
  ):
    save(checkpoints, 1, state, metrics)
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
  ('arguments', 'message'), [((('bpc', 'low'),), 'low'), ((BPC, 0), '0')]
)
def test_refuses_impossible_arguments(tmp_path, arguments, message):
  with pytest.raises(ValueError, match=message):
    Checkpoints(tmp_path, *arguments)


def test_reader_looks_again_when_its_checkpoint_is_deleted(
  tmp_path, monkeypatch
):
  save_all(tmp_path, {1: 1.0})
  load = ocp.load_checkpointables
  deleted = []

  def delete_before_first_load(path, abstract):
    if not deleted:
      deleted.append(path)
      save_all(tmp_path, {2: 0.5}, keep_latest=1)
    return load(path, abstract)

  monkeypatch.setattr(ocp, 'load_checkpointables', delete_before_first_load)
  step, state = Checkpoints(tmp_path, BPC).restore(make_state(0), 'best')
  assert step == 2
  assert_same(state, make_state(2))


SAVE_UNTIL_KILLED = """
import sys
import numpy as np
from hyper.runs import checkpoint_files
from hyper.runs.checkpoint import Checkpoints
with Checkpoints(sys.argv[1], ('bpc', 'min')) as checkpoints:
  start = checkpoints.saved_steps[-1] if checkpoints.saved_steps else 0
  for step in range(start + 1, 1000):
    value = np.random.default_rng(step).random((8, 1 << 18), np.float32)
    state = {str(i): row * step for i, row in enumerate(np.tile(value, (5, 1)))}
    checkpoints.write(step, state, {'bpc': 1 / step})
    print(step, flush=True)
"""


@pytest.mark.slow
def test_a_killed_run_resumes(tmp_path):
  saved = []
  for delay in (0.0, 0.05, 0.2):
    process = start_python(SAVE_UNTIL_KILLED, tmp_path)
    for _ in range(2):
      step = int(process.stdout.readline())
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    saved.append(step)
    with Checkpoints(tmp_path, BPC) as checkpoints:
      like = jax.ShapeDtypeStruct((1 << 18,), jnp.float32)
      resumed, state = checkpoints.resume({str(i): like for i in range(40)})
      assert resumed >= step - 1  # the one before was waited for
      expected = np.random.default_rng(resumed).random(1 << 18, np.float32)
      np.testing.assert_array_equal(state['0'], expected * resumed)
    names = os.listdir(tmp_path)
    assert all(name.isdecimal() for name in names), names
  assert saved == sorted(set(saved))


def test_orbax_is_quiet_but_this_log_is_not(tmp_path):
  code = """
import sys
import numpy as np
from absl import logging
from hyper.runs import checkpoint_files
from hyper.runs.checkpoint import Checkpoints
logging.set_verbosity(logging.INFO)
with Checkpoints(sys.argv[1], ('bpc', 'min')) as checkpoints:
  for step in (1, 2, 3):
    checkpoints.write(step, {'x': np.ones(9)}, {'bpc': 1.0})
  checkpoints.restore({'x': np.ones(9)})
"""
  lines = run_python(code, tmp_path).stderr.splitlines()
  assert len(lines) == 3
  assert all('Saving checkpoint' in line for line in lines)


def start_python(code: str, folder: pathlib.Path) -> subprocess.Popen[str]:
  root = pathlib.Path(__file__).parents[2]
  return subprocess.Popen(
    [sys.executable, '-c', code, str(folder)],
    cwd=root,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def run_python(
  code: str, folder: pathlib.Path
) -> subprocess.CompletedProcess[str]:
  process = start_python(code, folder)
  output, errors = process.communicate()
  return subprocess.CompletedProcess(
    process.args, process.returncode, output, errors
  )


def test_a_full_disk_is_one_error_before_anything_is_written(
  tmp_path, monkeypatch
):
  usage = shutil.disk_usage(tmp_path)
  with Checkpoints(tmp_path / 'run', BPC) as checkpoints:
    save(checkpoints, 1, make_state(1))
    checkpoints.wait()
    with monkeypatch.context() as patch:
      patch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=1000))
      with pytest.raises(OSError, match='No space left: 0.3 MB') as error:
        save(checkpoints, 2, make_state(2))
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == str(tmp_path / 'run')
    assert checkpoints.saved_steps == [1]
    save(checkpoints, 2, make_state(2))


def test_a_disk_that_fills_while_a_checkpoint_is_written_is_named():
  error = ValueError("RESOURCE_EXHAUSTED: Error [os_error_code='28'] in pages")
  assert checkpoint_files.reason(error) == 'No space left on device'


def test_the_first_process_says_what_is_on_the_disk(tmp_path, monkeypatch):
  save_all(tmp_path, {1: 2.0})
  held = checkpoint_files.read_summary(tmp_path / '1')
  shutil.rmtree(tmp_path / '1')  # of which this process sees nothing
  monkeypatch.setattr(processes, 'of_first', lambda value: held)
  with Checkpoints(tmp_path, BPC) as checkpoints:
    save(checkpoints, 1, make_state(1), {'bpc': 2.0})
  assert os.listdir(tmp_path) == []


def test_processes_that_find_other_damage_refuse(tmp_path, monkeypatch):
  save_all(tmp_path, {1: None, 2: None})
  flip(tmp_path / '2')
  other = ['far', {'the step of the newest checkpoint': 2}]
  monkeypatch.setattr(processes, 'count', lambda: 2)
  monkeypatch.setattr(processes, 'together', lambda act: act())
  monkeypatch.setattr(processes, 'gather', lambda value: [value, other])
  with (
    Checkpoints(tmp_path, BPC) as checkpoints,
    pytest.raises(ValueError, match='far has the step .* = 2, .* has 1'),
  ):
    checkpoints.resume(make_state(0))
  assert checkpoints.saved_steps == [1, 2]
