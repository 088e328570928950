"""What a task shows of its model while it is trained."""

import importlib
import types

import jax
import pytest

from hyper.tasks import make_task

SMALL = {'model.cell.units': 8}


@pytest.mark.slow
@pytest.mark.parametrize(
  'name, fields, shown',
  [
    ('ptb_lstm', SMALL, 'text'),
    ('iam_lstm', SMALL, 'handwriting'),
    ('nmt_lstm', SMALL, 'translations'),
    ('mnist_hyper', {}, 'kernel'),
    ('mnist_mlp', {}, 'kernel'),
  ],
)
def test_every_task_shows_seeded_samples(name, fields, shown, tmp_path):
  config = importlib.import_module(f'configs.{name}').get_config('embedded')
  config = config.copy_and_resolve_references()
  config.update_from_flattened_dict(fields)
  task = make_task(config.lock(), str(tmp_path), str(tmp_path / 'run'))
  params, model_state = task.init(jax.random.key(0))
  state = types.SimpleNamespace(params=params, model_state=model_state, step=3)
  ((found, sample),) = task.samples(state).items()
  assert found == shown
  if isinstance(sample, bytes):
    assert sample.startswith(b'\x89PNG')
  else:
    assert len(sample) > 50
  assert task.samples(state)[shown] == sample  # the draws are seeded
