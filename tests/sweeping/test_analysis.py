"""Fields that vary, as parameters of Optuna, and Optuna's analysis of them."""

from sweep_cases import CONFIG, ROOT, open_study

from hyper.sweeping import analysis, journal, parameters, space
from hyper.sweeping.space import Point


def test_a_grid_has_its_values_as_parameters_of_optuna(tmp_path):
  baseline = f'{ROOT}/configs/mnist_cnn.py:embedded'
  study = open_study(tmp_path)
  grids = ['schedule.learning_rate=0.01,0.1', 'data.mean=(0.0,),(0.5,)']
  study.add(space.points([CONFIG, baseline], grids, ['l2_rate=1'], 0))
  first, *_, last = study.latest()
  assert first.params == {
    'config': CONFIG,
    'schedule.learning_rate': 0.01,
    'data.mean': '(0.0,)',
  }
  assert last.params['config'] == baseline
  assert last.distributions == first.distributions
  assert first.distributions['schedule.learning_rate'].log


def test_what_varies_has_one_name_and_the_value_of_the_config():
  fields = [{}, {'seed': 1}, {'model.hidden_units': 4, 'data.batch_size': 4}]
  assert parameters.vary([Point(CONFIG, x) for x in fields]) == [
    {'seed': 0, 'model.hidden_units': 256},
    {'seed': 1, 'model.hidden_units': 256},
    {'seed': 0, 'model.hidden_units': 4},
  ]


def make_study(place, count):
  """Returns a study whose trials score their seeds; the last is pruned."""
  study = open_study(place)
  grids = [f'seed={",".join(map(str, range(count)))}', 'l2_rate=0.1,0.2']
  study.add(space.points([CONFIG], grids, (), 0))
  for _ in range(2 * count - 1):
    with study.take() as trial:
      seed = study.point(trial).fields['seed']
      trial.report(seed + 1.0, 1)
      study.complete(trial, float(seed))
  with study.take() as trial:
    trial.report(9.0, 1)
    study.prune(trial)
  return study


def test_an_analysis_has_a_trial_for_each_folder_and_all_parameters(tmp_path):
  study = make_study(tmp_path, 3)
  study.add(space.points([CONFIG], ['model.hidden_units=4'], (), 0))
  with study.take():
    pass  # its worker ends
  with study.take() as trial:
    assert journal.folder_of(trial) == '0006'
    found = analysis.read(str(tmp_path))
  assert [t.state.name for t in found.trials] == [
    *(['COMPLETE'] * 5),
    'PRUNED',
    'RUNNING',
  ]
  assert found.trials[0].params == {
    **{'seed': 0, 'l2_rate': 0.1, 'model.hidden_units': 256}
  }
  assert found.trials[6].params['model.hidden_units'] == 4
  best = analysis.completed(found)
  assert [t.value for t in best] == [0.0, 0.0, 1.0, 1.0, 2.0]


def test_the_field_that_decides_has_the_importance(tmp_path):
  make_study(tmp_path, 4)
  found = analysis.importances(analysis.read(str(tmp_path)))
  assert list(found) == ['seed', 'l2_rate']
  assert found['seed'] > 0.8


def test_a_field_that_changes_nothing_has_little_importance(tmp_path):
  study = open_study(tmp_path)
  fields = [{}, {'l2_rate': 0.1}, {'data.flip': True}]
  fields += [{'data.batch_size': 50}, {'data.crop_padding': 1}]
  study.add(
    [Point(CONFIG, x | {'seed': seed}) for x in fields for seed in (0, 1)]
  )
  for k in range(2 * len(fields)):
    with study.take() as trial:
      study.complete(trial, study.point(trial).fields['seed'] + 0.01 * k)
  found = analysis.importances(analysis.read(str(tmp_path)))
  assert len(found) == 5 and found['seed'] > 0.9


def test_few_trials_have_no_importance(tmp_path):
  make_study(tmp_path, 1)
  study = analysis.read(str(tmp_path))
  assert not analysis.importances(study)
  assert set(analysis.drawings(study)) == {
    *('optimization_history', 'intermediate_values', 'timeline')
  }
