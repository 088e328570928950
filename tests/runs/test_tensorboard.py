"""TensorBoard's files, and observers that fail."""

import io

import pytest
from PIL import Image
from toy import Toy, config_of, train

from hyper.runs import loop, metrics
from hyper.runs.tensorboard import TensorBoard

CONFIG = {'seed': 3, 'model.name': 'lstm', 'split': (0.9, 0.1), 'flip': True}


def events(folder):
  """Yields the events of a folder: size, checksum, message, checksum."""
  from tensorboardX.proto.event_pb2 import Event

  for path in sorted(folder.glob('events*'), key=lambda x: x.name):
    data = path.read_bytes()
    while data:
      size = int.from_bytes(data[:8], 'little')
      yield Event.FromString(data[12 : 12 + size])
      data = data[12 + size + 4 :]


def values(folder):
  """Returns the summaries by step and tag, as TensorBoard keeps them."""
  shown = {}
  for event in events(folder):
    if event.HasField('session_log'):  # TensorBoard purges in this way
      shown = {key: v for key, v in shown.items() if key[0] < event.step}
    for value in event.summary.value:
      shown[event.step, value.tag] = value
  return shown


def scalars(folder):
  return {key: x.simple_value for key, x in values(folder).items()}


def test_it_has_the_metrics_and_forgets_what_is_repeated(tmp_path):
  train(tmp_path, config_of(train_steps=5))
  train(tmp_path)
  for split in ('train', 'validation'):
    found = scalars(tmp_path / 'tensorboard' / split)
    expected = {
      (line['step'], name): line[name]
      for line in metrics.read(tmp_path)
      for name in line
      if line['split'] == split and name not in metrics.RESERVED
    }
    assert found == pytest.approx(expected)
    assert any(tag == 'distance' for _, tag in found)  # one chart for both


def test_it_has_the_best_score(tmp_path):
  train(tmp_path)
  found = scalars(tmp_path / 'tensorboard')
  scores = {
    line['step']: line['distance']
    for line in metrics.read(tmp_path)
    if line['split'] == 'validation'
  }
  assert found[4, 'best/distance'] == pytest.approx(scores[4])
  assert found[8, 'best/distance'] == pytest.approx(min(scores.values()))


def test_it_has_the_config_and_the_hyper_parameters(tmp_path):
  from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

  board = TensorBoard(tmp_path, 1, CONFIG, 'bpc')
  board.write(1, 'best', {'bpc': 2.0})
  board.close()
  plugins = {}
  for event in events(tmp_path):
    for value in event.summary.value:
      content = value.metadata.plugin_data.content
      plugins[value.tag] = content, value
  text = plugins['config/text_summary'][1].tensor.string_val[0].decode()
  assert "    model.name = 'lstm'\n" in text
  start, experiment, end = (
    HParamsPluginData.FromString(plugins[f'_hparams_/{name}'][0])
    for name in ('session_start_info', 'experiment', 'session_end_info')
  )
  given = start.session_start_info.hparams
  assert given['seed'].number_value == 3 and given['flip'].bool_value
  assert given['model.name'].string_value == 'lstm'
  assert given['split'].string_value == '(0.9, 0.1)'
  (metric,) = experiment.experiment.metric_infos
  assert metric.name.tag == 'best/bpc'
  assert end.session_end_info.status
  assert len(list(tmp_path.iterdir())) == 1  # no second run


def test_it_has_texts_and_pictures(tmp_path):
  png = io.BytesIO()
  Image.new('RGB', (30, 20)).save(png, 'PNG')
  board = TensorBoard(tmp_path, None, {}, 'bpc')
  board.show(5, 'text', 'to *be*\nor not')
  board.show(5, 'kernel', png.getvalue())
  found = values(tmp_path)
  text = found[5, 'text/text_summary'].tensor.string_val[0]
  assert text == b'    to *be*\n    or not'
  image = found[5, 'kernel'].image
  assert (image.width, image.height) == (30, 20)
  assert image.encoded_image_string == png.getvalue()


class Seen:
  """An observer that keeps what it is told."""

  def __init__(self, told):
    self.told = told

  def write(self, step, split, values):
    self.told.append(('write', step, split))

  def show(self, step, name, sample):
    self.told.append(('show', step, name, sample))

  def close(self):
    self.told.append(('close',))


class Showing(Toy):
  """A toy with samples."""

  def samples(self, state):
    return {'text': f'of step {int(state.step)}'}


def observed(workdir, task, **fields):
  told = []
  loop.train(
    *(task, config_of(**fields), str(workdir), ''),
    trackers=[lambda workdir, config: Seen(told)],
  )
  return told


def test_samples_are_shown_at_evaluations(tmp_path):
  fields = {'eval_every_steps': 2, 'sample_every_steps': 3}
  told = observed(tmp_path, Showing, **fields)
  assert [x[1:] for x in told if x[0] == 'show'] == [
    *((4, 'text', 'of step 4'), (6, 'text', 'of step 6'))
  ]
  assert ('write', 8, 'best') in told and told[-1] == ('close',)


def test_a_task_without_samples_shows_none(tmp_path):
  told = observed(tmp_path, Toy, sample_every_steps=1)
  assert 'show' not in {x[0] for x in told}


def test_samples_that_fail_are_a_warning(tmp_path, monkeypatch, caplog):
  class Broken(Toy):
    def samples(self, state):
      raise RuntimeError('no pen')

  told = observed(tmp_path, Broken, sample_every_steps=1)
  assert ('write', 8, 'train') in told
  assert sum('no pen' in text for text in caplog.messages) == 2


@pytest.mark.parametrize('broken', ['write', 'show', 'close', 'start'])
def test_a_tracker_that_fails_never_hurts_a_run(broken, tmp_path, caplog):
  def fails(*args):
    raise OSError(28, 'No space left on device')

  def make(workdir, config):
    if broken == 'start':
      fails()
    tracker = Seen([])
    setattr(tracker, broken, fails)
    return tracker

  status = loop.train(
    *(Showing, config_of(sample_every_steps=4), str(tmp_path), ''),
    trackers=[make],
  )
  assert status == 0 and len(metrics.read(tmp_path)) == 10
  warnings = [x for x in caplog.messages if 'continues without' in x]
  assert len(warnings) == 1 and 'No space left' in warnings[0]
  assert warnings[0].startswith('make ' if broken == 'start' else 'Seen ')
  assert scalars(tmp_path / 'tensorboard')[8, 'best/distance']
