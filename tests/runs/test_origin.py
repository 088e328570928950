"""A run begins with parameters of another run or of a file, and only those."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
from toy import KEPT, Toy, config_of, last_state, saved

from hyper import weights
from hyper.runs import folder, loop
from hyper.runs.checkpoint import Checkpoints
from hyper.runs.checkpoint_arrays import by_path
from hyper.runs.origin import Origin, choose, read_file, read_run

BEST = Toy.selection


def train(workdir, origin=None, **fields):
  return loop.train(
    *(Toy, config_of(train_steps=1, **fields), str(workdir), ''),
    kept=KEPT,
    begin_from=origin,
  )


def starts(workdir):
  text = (workdir / folder.STARTS).read_text()
  return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def other(tmp_path):
  """Returns the folder of a trained run."""
  place = tmp_path / 'other'
  assert train(place) == 0
  return place


STILL = {'schedule.learning_rate': 0.0}  # keeps the first parameters


def test_the_best_parameters_of_a_run_are_taken_and_step_0_begins(
  other, tmp_path
):
  origin = Origin(str(other))
  assert train(tmp_path / 'new', origin, seed=1, **STILL) == 0
  (line,) = starts(tmp_path / 'new')
  found = line['init_from']
  assert (line['step'], found['step'], found['paths']) == (0, 1, [])
  summary = other / 'checkpoints' / '1' / 'summary.json'
  assert found['path'] == str(other)
  assert found['sha256'] == folder.sha256(summary.read_bytes())
  step, state = last_state(tmp_path / 'new')
  _, before = last_state(other)
  assert step == 1
  np.testing.assert_array_equal(state.params['w'], before.params['w'])


def test_of_a_run_without_scores_the_newest_parameters_are_taken(
  tmp_path, caplog
):
  with Checkpoints(tmp_path / 'other' / 'checkpoints', BEST) as checkpoints:
    for step in (1, 2):
      checkpoints.write(step, {'params/w': np.full(3, step, np.float32)})
  folder.save_config(str(tmp_path / 'other'), config_of())
  with caplog.at_level('INFO', 'absl'):
    found = read_run(str(tmp_path / 'other'), 'toy', BEST)
  assert found.step == 2
  np.testing.assert_array_equal(found.arrays['w'], np.full(3, 2))
  assert 'has no score yet; its newest checkpoint is taken' in caplog.text


def test_a_file_is_taken_and_a_resumed_run_does_not_need_it(tmp_path):
  path = tmp_path / 'x.safetensors'
  w = jnp.array([5.0, 6.0, 7.0])
  weights.save({'params': {'w': w}}, str(path), {'step': '40'})
  origin = Origin(str(path))
  train(tmp_path / 'new', origin, **STILL)
  np.testing.assert_array_equal(last_state(tmp_path / 'new')[1].params['w'], w)
  found = starts(tmp_path / 'new')[0]['init_from']
  assert found['step'] == 40
  assert found['sha256'] == folder.sha256(path.read_bytes())
  path.unlink()
  for given in (origin, None):
    config = config_of(**STILL)
    loop.train(Toy, config, str(tmp_path / 'new'), '', begin_from=given)
  assert saved(tmp_path / 'new').saved_steps[-1] == 8
  assert 'init_from' not in starts(tmp_path / 'new')[1]


def test_a_run_with_steps_takes_no_parameters(other, tmp_path):
  train(tmp_path / 'new')
  with pytest.raises(ValueError, match='has 1 steps already; --init_from='):
    train(tmp_path / 'new', Origin(str(other)))


def test_a_run_that_was_killed_before_its_first_checkpoint_asks_again(
  other, tmp_path
):
  new = tmp_path / 'new'
  new.mkdir()
  folder.save_config(str(new), config_of(train_steps=1))
  entry = Origin(str(other)).entry()
  (new / folder.STARTS).write_text(json.dumps({'init_from': entry}) + '\n')
  with pytest.raises(ValueError, match='no checkpoint yet. Give --init_from'):
    train(new)
  assert train(new, Origin(str(other))) == 0


@pytest.mark.parametrize('name', ['none', 'none.safetensors'])
def test_a_path_that_leads_nowhere_is_named(name, tmp_path):
  with pytest.raises(FileNotFoundError, match=f'--init_from=.*{name}'):
    train(tmp_path / 'new', Origin(str(tmp_path / name)))
  assert not (tmp_path / 'new').exists()


def test_a_run_of_another_task_is_refused(other, tmp_path):
  folder.save_config(str(other), config_of(task='other'))
  with pytest.raises(ValueError, match="task 'other', and this is one of 'toy"):
    train(tmp_path / 'new', Origin(str(other)))


OWN = {'cells_0/w_h': np.zeros((2, 3)), 'cells_0/b': np.zeros(3)}


def found_of(tmp_path, tree):
  path = str(tmp_path / 'x.safetensors')
  weights.save(tree, path)
  return read_file(path)


def test_all_that_differs_is_listed(tmp_path):
  tree = {'cells_0': {'w_h': np.zeros((2, 4), 'f')}, 'new': np.zeros(1, 'f')}
  own = {name: x.astype('f') for name, x in OWN.items()}
  with pytest.raises(ValueError) as error:
    choose(own, found_of(tmp_path, tree), ())
  for line in (
    'cells_0/w_h: float32[2, 4] there, float32[2, 3] here',
    'cells_0/b: absent there, float32[3] here',
    'new: float32[1] there, absent here',
    'They share no parameter of one name and shape.',
  ):
    assert line in str(error.value)
  assert '--init_from_paths' not in str(error.value)


def test_the_flags_advised_for_another_vocabulary_take_all_that_fits(tmp_path):
  def of(symbols):
    first = {'w_x': np.ones((symbols, 3), 'f'), 'w_h': np.ones((2, 3), 'f')}
    first['w_hz'] = np.ones(3, 'f')
    second = {'w_x': np.ones((2, 3), 'f'), 'w_h': np.ones((2, 3), 'f')}
    softmax = {'kernel': np.ones((2, symbols), 'f')}
    return {'cells_0': first, 'cells_1': second, 'softmax': softmax}

  own, found = by_path(of(5)), found_of(tmp_path, {'params': of(7)})
  with pytest.raises(ValueError, match='What both have') as error:
    choose(own, found, ('cells_*',))
  advised = re.findall("--init_from_paths='(.*?)'", str(error.value))
  assert advised == ['cells_0/w_h*', 'cells_1/*']
  taken = choose(own, found, tuple(advised))
  names = 'cells_0/w_h', 'cells_0/w_hz', 'cells_1/w_h', 'cells_1/w_x'
  assert {*taken} == {*names}


def test_patterns_choose_what_is_taken(tmp_path):
  tree = {'cells_0': {'b': np.ones(3, 'f')}, 'new': np.zeros(1, 'f')}
  found = found_of(
    tmp_path, {'params': tree, 'batch_stats': {'m': np.ones(2, 'f')}}
  )
  own = {name: x.astype('f') for name, x in OWN.items()}
  assert choose(own, found, ('*/b',)) == ['cells_0/b']
  with pytest.raises(ValueError, match='cells_0/w_h: absent there'):
    choose(own, found, ('cells_*',))
  message = 'init_from_paths=nothing/[*] matches no parameter; there are: cells'
  with pytest.raises(ValueError, match=message):
    choose(own, found, ('*/b', 'nothing/*'))


def test_another_vocabulary_is_a_warning(other, tmp_path, caplog):
  for place, text in ((other, '["a"]'), (tmp_path / 'new', '["b"]')):
    folder.save(str(place), folder.VOCABULARY, text)
  with caplog.at_level('WARNING', 'absl'):
    train(tmp_path / 'new', Origin(str(other)))
  assert 'vocabulary.json of' in caplog.text
