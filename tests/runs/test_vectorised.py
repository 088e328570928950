"""Runs that are trained together, compared with the same runs one by one."""

import contextlib
import importlib
import signal

import jax
import numpy as np
import pytest
from toy import KEPT, Toy, config_of, last_state, saved, train

from hyper.data import embedded
from hyper.runs import folder, lock, loop, metrics, opening, vectorised
from hyper.runs.compiled import CompiledCache
from hyper.runs.log import Interruption
from hyper.runs.vectorised import Given
from hyper.tasks import TASKS, make_task

RATES = (
  {'seed': 0},
  {'seed': 1, 'schedule.learning_rate': 0.3},
  {'seed': 2, 'l2_rate': 0.5, 'optimizer.clip_norm': 0.1},
)


@pytest.fixture(autouse=True)
def at_batch(monkeypatch):
  """Returns a dict for what happens while the batch of a step is drawn."""
  monkeypatch.setattr(Toy, 'at_batch', {})
  return Toy.at_batch


def together(place, configs, task=Toy, observe=None, kept=None, data_dir=''):
  """Trains runs in the folders 0, 1, ..., and returns how each ended."""
  workdirs = [str(place / str(k)) for k in range(len(configs))]
  with contextlib.ExitStack() as held:
    given = []
    for k, (workdir, config) in enumerate(zip(workdirs, configs, strict=True)):
      loop.check(config, workdir, '')
      held.enter_context(lock.hold(workdir))
      watch = (observe or {}).get(k, lambda step, scores: False)
      given.append(Given(config, workdir, watch, contextlib.nullcontext))
    return vectorised.run(task, given, data_dir, kept or KEPT, Interruption())


def lines(workdir):
  return [(x['step'], x['split']) for x in metrics.read(workdir)]


def assert_alike(one, two):
  """Checks that two runs have the same metrics, best step, and last state."""
  assert lines(one) == lines(two)
  for a, b in zip(metrics.read(one), metrics.read(two), strict=True):
    measured = {'time', 'vectors_per_second', 'seconds_per_step'}
    for name in a.keys() - measured - {'split'}:
      assert a[name] == pytest.approx(b[name], rel=1e-5), name
  assert saved(one).best_step == saved(two).best_step
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    *(last_state(one), last_state(two)),
  )


@pytest.fixture(scope='module')
def separate(tmp_path_factory):
  """Trains the runs of RATES, each on its own."""
  place = tmp_path_factory.mktemp('separate')
  for k, fields in enumerate(RATES):
    train(place / str(k), config_of(**fields))
  return place


def configs(**fields):
  return [config_of(**{**rates, **fields}) for rates in RATES]


def test_runs_together_are_the_runs_one_by_one(tmp_path, separate):
  assert together(tmp_path, configs()) == [0, 0, 0]
  for k, config in enumerate(configs()):
    assert_alike(tmp_path / str(k), separate / str(k))
    assert folder.load_config(str(tmp_path / str(k))) == config
  assert together(tmp_path, configs()) == [0, 0, 0]  # have all their steps
  assert lines(tmp_path / '0') == lines(separate / '0')


def test_runs_of_one_seed_share_their_batches(tmp_path, separate, monkeypatch):
  drawn = []
  batch = Toy._batch

  def count(self, step):
    drawn.append(step)
    return batch(self, step)

  monkeypatch.setattr(Toy, '_batch', count)
  assert together(tmp_path, [config_of(), config_of(l2_rate=0.5)]) == [0, 0]
  assert drawn[2:] == [*range(8)]  # each looks at its first batch before
  assert_alike(tmp_path / '0', separate / '0')


def test_a_signal_saves_all_and_each_is_resumed(tmp_path, separate, at_batch):
  at_batch[3] = lambda: signal.raise_signal(signal.SIGTERM)
  assert together(tmp_path, configs()) == [128 + signal.SIGTERM] * 3
  at_batch.clear()
  for k in range(3):
    assert saved(tmp_path / str(k)).saved_steps[-1] == 4
  train(tmp_path / '1', configs()[1])  # as train.py would
  assert together(tmp_path, configs()) == [0, 0, 0]
  for k in range(3):
    assert_alike(tmp_path / str(k), separate / str(k))


def test_a_run_that_is_not_finite_fails_alone(tmp_path, separate):
  broken = config_of(**{'schedule.learning_rate': 3e38})
  given = [broken, configs()[1], broken, broken]  # one row is left of four
  first, second, *_ = together(tmp_path, given)
  assert isinstance(first, FloatingPointError)
  assert 'There is no good checkpoint' in str(first)
  assert not folder.is_run(str(tmp_path / '0'))  # as for a run on its own
  assert second == 0
  assert_alike(tmp_path / '1', separate / '1')


def test_a_run_that_cannot_begin_fails_alone(tmp_path, separate):
  class Picky(Toy):
    def __init__(self, config, data_dir, workdir):
      if not config.seed:
        raise ValueError('of this seed')
      super().__init__(config, data_dir, workdir)

  error, *others = together(tmp_path, configs(), Picky)
  assert str(error) == 'of this seed' and others == [0, 0]
  assert_alike(tmp_path / '2', separate / '2')


def test_a_run_that_its_observer_stops_ends_alone(tmp_path, separate):
  observe = {1: lambda step, scores: step == 4}
  assert together(tmp_path, configs(), observe=observe) == [0, 0, 0]
  assert lines(tmp_path / '1')[-1] == (4, 'validation')
  assert saved(tmp_path / '1').saved_steps == [2, 4]
  for k in (0, 2):
    assert_alike(tmp_path / str(k), separate / str(k))


def test_an_error_of_the_common_step_ends_all(tmp_path, at_batch):
  def fails():
    raise OSError('no more data')

  at_batch[5] = fails
  outcomes = together(tmp_path, configs())
  assert [str(x) for x in outcomes] == ['no more data'] * 3
  assert saved(tmp_path / '2').saved_steps == [2, 4]


@pytest.mark.parametrize(
  'fields, traces',
  [
    ({}, 2),  # the training step and that of evaluation
    ({'schedule.learning_rate': 0.3}, 2),
    ({'l2_rate': 0.0}, 4),
    ({'train_steps': 6}, 2),  # one step serves both, but not together
  ],
)
def test_runs_of_one_structure_share_a_step(tmp_path, fields, traces):
  before = Toy.traces
  pair = [config_of(seed=1), config_of(**fields)]
  assert together(tmp_path, pair, kept=CompiledCache(8)) == [0, 0]
  assert Toy.traces - before == traces


def test_compiling_is_announced(tmp_path, caplog):
  kept, pair = CompiledCache(), [config_of(), config_of(seed=1)]
  with caplog.at_level('INFO', logger='absl'):
    for name in ('compiled', 'kept'):
      assert together(tmp_path / name, pair, kept=kept) == [0, 0]
  assert [x for x in caplog.messages if x.startswith('Compiling')] == [
    'Compiling the initial state.',
    'Compiling the training step of 2 runs.',
    'Compiling the evaluation step of 2 runs.',
  ]


def kinds(tmp_path, pair, task=Toy):
  kept = CompiledCache(8)
  with contextlib.ExitStack() as stack:
    return {
      vectorised.kind(
        stack.enter_context(
          opening.opened(task, config, str(tmp_path / str(k)), '', kept)
        )
      )
      for k, config in enumerate(pair)
    }


@pytest.mark.parametrize(
  'fields, has_buckets, count',
  [
    ({'l2_rate': 0.5}, True, 1),
    ({'seed': 1}, False, 1),
    ({'seed': 1}, True, 2),
    ({'l2_rate': 0.0}, False, 2),
    ({'size': 4}, False, 2),
    ({'save_every_steps': 3}, False, 2),
  ],
)
def test_runs_of_one_structure_train_together(
  tmp_path, monkeypatch, fields, has_buckets, count
):
  monkeypatch.setattr(Toy, 'has_buckets', has_buckets)
  pair = [config_of(), config_of(**fields)]
  assert len(kinds(tmp_path, pair)) == count


def test_runs_at_different_steps_train_apart(tmp_path):
  train(tmp_path / '0', config_of(train_steps=2))
  assert len(kinds(tmp_path, [config_of(), config_of(seed=1)])) == 2


# One experiment of each kind, shrunk.

STEPS = {
  **{'train_steps': 20, 'eval_every_steps': 10, 'save_every_steps': 0},
  'log_every_steps': 1,
}
CELL = {'model.cell.units': 12, 'model.cell.hyper_units': 6}
EXPERIMENTS = {  # fields of all runs, and of each
  'ptb_hyperlstm': (
    CELL | {'data.batch_size': 4, 'data.window_steps': 10},
    {'seed': 3, 'model.cell.dropout_rate': 0.3},
  ),
  'mnist_hyper': (
    {'data.batch_size': 20, 'l2_rate': 0.001},
    {'seed': 3, 'l2_rate': 0.01},
  ),
  'iam_hyperlstm': (
    CELL | {'data.batch_size': 4, 'data.buckets': 2},
    {'model.output_dropout_rate': 0.4, 'data.scale_range': 0.3},
  ),
  'nmt_lstm': (
    {'model.cell.units': 8, 'model.layers': 2, 'data.batch_size': 8}
    | {'data.bucket_lengths': (60,), 'data.batch_tokens': 480}
    | {'data.vocabulary_size': 34},
    {'model.dropout_rate': 0.3},
  ),
}


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Yields a folder for small embedded data sets, which are made once."""
  few = {'train': 60, 'validation': 9, 'test': 7}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(embedded, 'NUMBERS', few)
    patch.setattr(embedded, 'LINES', {'train': 20, 'validation': 6})
    patch.setattr(embedded, 'LINE_LETTERS', 1)
    yield str(tmp_path_factory.mktemp('data'))


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPERIMENTS)
def test_experiments_together_are_those_one_by_one(tmp_path, name, data_dir):
  module = importlib.import_module(f'configs.{name}')
  common, own = EXPERIMENTS[name]

  def make(**fields):
    config = module.get_config('embedded').unlock()
    config.update_from_flattened_dict(STEPS | common | fields)
    return config.lock()

  rates = {'schedule.learning_rate': 0.003, 'optimizer.clip_norm': 0.5}
  given = [make(), make(**own), make(**{k: rates[k] for k in rates})]
  assert together(tmp_path, given, make_task, data_dir=data_dir) == [0, 0, 0]
  kept = CompiledCache()
  for k, config in enumerate(given):
    alone = tmp_path / f'alone {k}'
    assert loop.train(make_task, config, str(alone), data_dir, kept=kept) == 0
    ours, theirs = metrics.read(tmp_path / str(k)), metrics.read(alone)
    assert len(ours) == len(theirs) == 22
    for one, other in zip(ours, theirs, strict=True):
      is_step = one['split'] == 'train'
      score = 'loss' if is_step else TASKS[config.task].selection[0]
      assert one[score] == pytest.approx(other[score], rel=1e-4)
