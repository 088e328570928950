"""One run on several devices: the same numbers, and which meshes fit."""

import importlib
import json
import os

import jax
import many_devices as devices
import numpy as np
import pytest
from toy import Toy, config_of

from hyper.configuration import from_json, to_json
from hyper.runs import metrics, parallel
from hyper.runs.parallel import Layout, axes, make_layout

pytestmark = pytest.mark.timeout(1800)  # compilations on a busy machine
NEEDED = 'HYPER_TEST_DEVICES'
MESHES = {
  'one': {'mesh.data': 1},
  '8x1': {'mesh.data': 8},
  '4x2': {'mesh.data': 4, 'mesh.model': 2},
}
FSDP = {'mesh.fsdp': True, 'mesh.data': 4, 'mesh.model': 2}


def devices_are_compiled_for(test):
  """Marks a test of eight devices; it runs only if NEEDED is set."""
  reason = f'{NEEDED} is not set: eight devices take a quarter of an hour'
  skip = pytest.mark.skipif(NEEDED not in os.environ, reason=reason)
  return pytest.mark.slow(skip(test))


@pytest.fixture
def eight(monkeypatch, unchecked):
  """Pretends that there are eight devices, on which nothing is computed."""
  monkeypatch.setattr(jax, 'device_count', lambda: 8)
  monkeypatch.setattr(
    parallel, 'make_mesh', lambda *shape: dict(enumerate(shape))
  )


def layout(rows, parts=1, **mesh):
  fields = {'mesh': {'data': 0, **mesh}, 'accumulate_steps': parts}
  config = config_of(**{'data.batch_size': rows}, **fields)
  return make_layout(config, Toy(config, '', ''))


@pytest.mark.parametrize(
  'rows, parts, mesh, shape',
  [
    (128, 1, {}, (8, 1)),
    (85, 1, {}, (5, 1)),
    (12, 1, {}, (6, 1)),
    (12, 2, {}, (6, 1)),
    (32, 8, {}, (4, 1)),
    (128, 1, {'model': 4}, (2, 4)),
    (128, 1, {'model': 3}, (2, 3)),
    (128, 1, {'data': 2}, (2, 1)),
  ],
)
def test_as_many_devices_as_divide_the_batch(rows, parts, mesh, shape, eight):
  assert tuple(layout(rows, parts, **mesh).mesh.values()) == shape


@pytest.mark.parametrize(
  'mesh, message',
  [
    ({'data': 12}, 'asks for 12 x 1 devices, and there are 8'),
    ({'data': 4, 'model': 4}, 'asks for 4 x 4 devices, and there are 8'),
    ({'model': 16}, 'asks for 1 x 16 devices, and there are 8'),
    ({'data': 5}, r'batch of 12 rows cannot .* may be 1, 2, 3, 4, 6 or 12'),
    ({'data': 4, 'model': 2, 'parts': 2}, r'in 2 parts .* be 1, 2, 3 or 6'),
    ({'parts': 5}, r'accumulate_steps is 5; it must divide .* 4, 6 or 12\.'),
    ({'parts': 0}, r'accumulate_steps is 0; it must divide'),
    ({'data': -1}, r'config.mesh.data is -1; it must be at least 0'),
    ({'model': 0}, r'config.mesh.model is 0; it must be at least 1'),
    ({'modle': 2}, 'modle, which is not among its fields'),
    ({'fsdp': 1}, 'must be of type bool'),
  ],
)
def test_impossible_meshes_are_refused(mesh, message, eight):
  with pytest.raises(ValueError, match=message):
    layout(12, **mesh)


@pytest.mark.parametrize(
  'rows, hosts, fields, remedy',
  [
    (6, 4, {}, 'batch_size is 6, .* Give a batch_size that is a multiple of 4'),
    (6, 4, {'model': 2, 'parts': 2}, 'accumulate_steps 2 .* a multiple of 4'),
    (9, 8, {'model': 3}, 'model 3, which 8 .* a smaller config.mesh.model'),
  ],
)
def test_a_batch_that_the_hosts_do_not_divide_is_named(
  rows, hosts, fields, remedy, eight, monkeypatch
):
  monkeypatch.setattr(jax, 'process_count', lambda: hosts)
  with pytest.raises(ValueError, match=remedy):
    layout(rows, **fields)
  multiple = rows * hosts
  if 'multiple' in remedy:
    assert layout(multiple, **fields).mesh


def test_one_device_needs_no_mesh():
  assert layout(16) == Layout()
  batch = {'x': np.ones(3)}
  for method in ('place', 'begun', 'carried', 'whole', 'state'):
    assert getattr(Layout(has_streams=True), method)(batch) is batch


def test_an_axis_that_the_devices_do_not_divide_is_refused():
  with pytest.raises(ValueError, match='the axis of 9 of a/w_h; it may be 1.'):
    axes('a/w_h', (4, 9), {'w_h': 1}, {'data': 1, 'model': 2}, False)


def test_axes_are_split_by_mesh_and_fsdp():
  sizes, large = {'data': 4, 'model': 2}, {'w_h': 1, 'softmax/kernel': 1}
  for name, shape, fsdp, expected in (
    ('0/mu/cell/w_h', (8, 32), False, [None, 'model']),
    ('cell/w_h', (8, 32), True, ['data', 'model']),
    ('cell/hyper_w_h', (8, 32), False, [None, None]),
    ('other/kernel', (8, 32), True, [None, 'data']),
    ('other/kernel', (32, 8), True, ['data', None]),
    ('other/bias', (6,), True, [None]),
    ('count', (), True, []),
  ):
    assert axes(name, shape, large, sizes, fsdp) == expected


def test_a_config_without_a_mesh_is_upgraded():
  config = importlib.import_module('configs.ptb_lstm').get_config()
  fields = json.loads(to_json(config))
  assert fields.pop('mesh') == {'data': 0, 'model': 1, 'fsdp': False}
  again = from_json(json.dumps(fields))
  assert again.mesh.to_dict() == {'data': 1, 'model': 1, 'fsdp': False}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """Trains each task on each mesh; returns the output, metrics and jobs."""
  folder = tmp_path_factory.mktemp('devices')
  meshes = [(name, MESHES) for name in devices.SMALL]
  meshes.append(('ptb_hyperlstm', {'fsdp': FSDP}))
  jobs = {
    (name, mesh): [name, str(folder / f'{name} {mesh}'), fields]
    for name, chosen in meshes
    for mesh, fields in chosen.items()
  }
  printed = devices.train(folder / 'data', [*jobs.values()])
  return printed, {key: metrics.read(job[1]) for key, job in jobs.items()}, jobs


@devices_are_compiled_for
@pytest.mark.parametrize('name', devices.SMALL)
def test_losses_and_metrics_are_those_of_one_device(name, trained):
  lines = trained[1]
  for mesh in ('8x1', '4x2'):
    assert_same(lines[name, mesh], lines[name, 'one'])


@devices_are_compiled_for
def test_losses_and_metrics_of_two_processes(trained, tmp_path):
  names = ('ptb_hyperlstm', 'mnist_hyper', 'iam_hyperlstm', 'nmt_hyperlstm')
  jobs = [[name, str(tmp_path / name), {}] for name in names]
  both = devices.start_two(tmp_path / 'data', jobs)
  first, second = [devices.printed_by(process) for process in both]
  assert first.count('8 of 8 devices, a batch of 8 x 2') == len(jobs)
  assert 'step 1/20 ' in first and 'step 1/20 ' not in second
  for name, workdir, _ in jobs:
    assert_same(metrics.read(workdir), trained[1][name, 'one'])


@devices_are_compiled_for
def test_losses_are_the_same_where_parameters_are_split(trained):
  lines = trained[1]
  assert_same(lines['ptb_hyperlstm', 'fsdp'], lines['ptb_hyperlstm', 'one'])


def assert_same(lines, expected):
  """Compares lines: losses within 1e-4, other values within 2 %."""
  for line, other in zip(lines, expected, strict=True):
    assert line.keys() == other.keys()
    assert (line['step'], line['split']) == (other['step'], other['split'])
    for key in line.keys() - {'time', 'seconds_per_step'}:
      if not key.endswith('_per_second') and key != 'split':
        limit = 1e-4 if key == 'loss' else 0.02
        np.testing.assert_allclose(line[key], other[key], limit, err_msg=key)


@devices_are_compiled_for
def test_the_devices_are_logged(trained):
  printed = trained[0]
  assert '1 of 8 devices, a batch of 1 x 16' in printed
  assert '8 of 8 devices, a batch of 8 x 2' in printed
  assert '8 of 8 devices, a batch of 4 x 4, each part on 2' in printed
  assert 'each part on 2, parameters and optimizer split' in printed


@devices_are_compiled_for
def test_a_run_resumes_on_another_mesh(trained, tmp_path):
  _, lines, jobs = trained
  name, workdir, fields = jobs['ptb_hyperlstm', 'fsdp']
  longer = {'train_steps': 25}
  whole = [name, str(tmp_path / 'whole'), MESHES['8x1'] | longer]
  resumed = [name, workdir, {'mesh.data': 2} | longer]
  devices.train(tmp_path / 'data', [whole, resumed])
  assert_same(metrics.read(workdir), metrics.read(whole[1]))
