"""Pictures of handwriting show every move, in the right place and colour."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from hyper import losses
from hyper.drawing import handwriting as pictures

OFFSETS = np.float32([[3, 4, 1], [7, 0, 1], [1, 1, 0], [1, 0, 1]])


def random_line(seed, t):
  rng = np.random.default_rng(seed)
  ends = rng.integers(0, 2, (t, 1))
  return np.concatenate([9 * rng.normal(size=(t, 2)), ends], -1).astype('f')


def make_mixture(t, m=2, seed=0):
  rng = np.random.default_rng(seed)
  outputs = 0.3 * rng.normal(size=(t, 6 * m + 1)).astype('f')
  mixture = jax.device_get(losses.to_mixture(jnp.asarray(outputs)))
  return outputs, {
    'weights': np.exp(mixture.log_pi),
    'means': mixture.mu,
    'deviations': np.exp(mixture.log_sigma),
    'correlations': np.tanh(mixture.rho_hat),
  }


def test_strokes_are_offsets_added_up():
  found = [x.tolist() for x in pictures.to_strokes(OFFSETS)]
  assert found == [[[0, 0], [3, 4]], [[10, 4]], [[11, 5], [12, 5]]]


def test_a_line_that_ends_within_a_stroke_keeps_the_part():
  assert [len(x) for x in pictures.to_strokes(OFFSETS[:3])] == [2, 1, 1]


def test_the_density_map_sums_to_one_for_each_step():
  _, mixture = make_mixture(6)
  low, high = np.array([-25.0, -25.0]), np.array([25.0, 12.5])
  density = pictures.density_map(
    0.1 * random_line(3, 6), low, high, **mixture, width=400
  )
  assert density.shape == (300, 400)
  np.testing.assert_allclose(density.sum() * 0.125**2, 6, rtol=0.01)


def test_a_gaussian_beyond_the_grid_adds_nothing():
  _, mixture = make_mixture(1)
  low = np.array([50.0, -70.0])
  line = np.zeros((1, 3), 'f')
  for sign in (1, -1):
    found = pictures.density_map(line, sign * low, sign * low + 9, **mixture)
    np.testing.assert_array_equal(found, 0)


def test_the_density_map_is_the_models_density():
  outputs, mixture = make_mixture(1)
  low = np.array([-3.0, -3.0])
  line = np.zeros((1, 3), 'f')
  density = pictures.density_map(line, low, -low, **mixture, width=300)
  nats_of = jax.jit(losses.mixture_density)
  for row, column in ((150, 150), (200, 130), (90, 190)):
    x, y = (-3 + 0.02 * (k + 0.5) for k in (column, row))
    # The map's y is upwards.
    both = [nats_of(outputs[0], jnp.float32([x, -y, end])) for end in (0, 1)]
    expected = sum(np.exp(-float(nats)) for nats in both)
    np.testing.assert_allclose(density[row, column], expected, rtol=0.01)


def svg_of(paths):
  assert [pathlib.Path(path).suffix for path in paths] == ['.svg', '.png']
  assert pathlib.Path(paths[1]).read_bytes().startswith(b'\x89PNG')
  return pathlib.Path(paths[0]).read_text(encoding='utf-8')


def test_a_page_shows_every_stroke_and_marks_the_prime(tmp_path):
  line = np.float32([[5, 5, 1], [3, -3, 1], [1, 1, 0], [2, 1, 1]])
  columns = {'a $x': [line], 'b': [line]}
  svg = svg_of(pictures.draw_page(columns, str(tmp_path / 'x'), 2))
  # Three strokes a column; two begin in the prime.
  assert svg.count('stroke: #1f77b4') == 4 and svg.count('stroke: #000000') == 2


def test_weight_changes_colour_each_step_of_each_gate(tmp_path):
  rows = np.zeros((7, 4))
  rows[3, 2] = 1.0  # only f, at one step
  paths = pictures.draw_weight_change(
    random_line(5, 7), rows, ('i', 'g', 'f', 'o'), str(tmp_path / 'x')
  )
  svg = svg_of(paths)
  assert svg.count('stroke: #377eb8') == 1
  assert svg.count('stroke: #d9d9d9') == 4 * 7 - 1
