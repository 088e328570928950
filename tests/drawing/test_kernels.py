"""Kernels as grids of filters, each in its place."""

import numpy as np

from hyper.drawing import kernels


def test_a_kernel_is_a_grid_of_inputs_down_and_outputs_across():
  kernel = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
  filters, labels = kernels.as_filters(kernel, (8, 8, 3))
  assert labels == ('input channel', 'output channel')
  picture = kernels.mosaic(filters)
  assert picture.shape == (4 * 3 - 1, 5 * 4 - 1)
  for i in range(4):
    for o in range(5):
      found = picture[3 * i : 3 * i + 2, 4 * o : 4 * o + 3]
      np.testing.assert_array_equal(found, kernel[:, :, i, o])
  assert np.isnan(picture[2]).all() and np.isnan(picture[:, 3]).all()


def test_a_matrix_over_pixels_is_a_grid_of_its_units():
  kernel = np.random.default_rng(0).normal(size=(12, 6)).astype('f')
  filters, labels = kernels.as_filters(kernel, (4, 3, 1))
  assert labels == ('row of units', 'unit of the row')
  picture = kernels.mosaic(filters)
  assert picture.shape == (2 * 5 - 1, 3 * 4 - 1)
  for unit in range(6):
    row, column = divmod(unit, 3)
    found = picture[5 * row : 5 * row + 4, 4 * column : 4 * column + 3]
    np.testing.assert_array_equal(found, kernel[:, unit].reshape(4, 3))


def test_another_matrix_stays_as_it_is():
  kernel = np.random.default_rng(0).normal(size=(12, 6)).astype('f')
  for shape in ((), (2, 2, 3), (5, 5, 1)):
    filters, labels = kernels.as_filters(kernel, shape)
    assert labels == ('input', 'unit')
    np.testing.assert_array_equal(kernels.mosaic(filters), kernel)


def test_filters_of_one_column_touch_from_side_to_side():
  picture = kernels.mosaic(np.ones((3, 1, 2, 5)))
  assert picture.shape == (2 * 4 - 1, 5) and np.isnan(picture[3]).all()


def test_panels_are_numbered_by_channel(tmp_path):
  filters, labels = kernels.as_filters(np.ones((3, 3, 4, 20), 'f'))
  panel = kernels.Panel('a_$b', filters, labels)
  path = tmp_path / 'x.svg'
  kernels.draw([[panel, panel]], str(path))
  svg = path.read_text(encoding='utf-8')
  assert svg.count('<!-- input channel -->') == 2
  assert '<!-- 18 -->' in svg and '<!-- 19 -->' not in svg
  assert '<!-- 3 x 3, black -1 to white 1 -->' in svg
