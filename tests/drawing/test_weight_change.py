"""Weight changes: the page and the picture of a text."""

import numpy as np
import pytest

from hyper.drawing import weight_change

GATES = ('i', 'g', 'f', 'o')


def test_intensities_are_those_of_the_whole_matrices():
  rng = np.random.default_rng(0)
  d_h, w_h = rng.normal(size=(6, 4, 5)), rng.normal(size=(5, 20))
  wanted = np.zeros((6, 4))
  for t in range(1, 6):
    for k in range(4):
      effective = [
        np.diag(d_h[s, k]) @ w_h[:, 5 * k : 5 * k + 5].T for s in (t - 1, t)
      ]
      wanted[t, k] = np.linalg.norm(effective[1] - effective[0])
  found = weight_change.intensities(d_h, w_h)
  np.testing.assert_allclose(found, wanted / wanted.max(0), rtol=1e-12)


def test_weights_that_do_not_change_have_no_intensity():
  found = weight_change.intensities(np.ones((3, 4, 2)), np.ones((2, 8)))
  np.testing.assert_array_equal(found, 0)


def test_the_page_shows_each_symbol_with_its_rows():
  rows = np.array([[0, 0, 0, 0], [0.25, 0.5, 0.75, 1.0]])
  page = weight_change.to_html(['<', '\n'], rows, GATES, 'a & b at step 1,000')
  assert '<title>Weight changes: a &amp; b at step 1,000</title>' in page
  assert '<h1>Weight changes: a &amp; b at step 1,000</h1>' in page
  assert (
    '<b>&lt;</b>' in page and '<b>↵</b>' in page and page.count('<br>') == 1
  )
  assert page.count('<span') == 2 and page.count('<u ') == 8
  assert 'aria-label="↵  i 0.25  g 0.50  f 0.75  o 1.00"' in page
  for opacity in (0, 1):  # over the 95th percentile of the gate
    assert f'<i class="c2"><u style="opacity:{opacity}.000"></u></i>' in page
  assert 'prefers-color-scheme: dark' in page
  for k, gate in enumerate(GATES):
    assert f'.c{k} {{ --c: {weight_change.COLORS[k]}; }}' in page
    assert f'<dd>gate {gate}</dd>' in page


def test_lines_end_at_line_ends_and_when_they_are_full():
  symbols = [*'ab\n', *'x' * 81]
  found = [(part.start, part.stop) for part in weight_change._lines(symbols)]
  assert found == [(0, 3), (3, 83), (83, 84)]
  assert weight_change._lines(['\n']) == [slice(0, 1)]


@pytest.mark.parametrize('ending', ['svg', 'png', 'pdf'])
def test_the_picture_holds_any_symbol(ending, tmp_path):
  path = tmp_path / f'x.{ending}'
  rows = np.random.default_rng(0).random((4, 3))
  weight_change.draw_text(
    ['$', '\n', '\ufffd', '_'], rows, ('r', 'u', 'g'), 'a $ b', str(path)
  )
  start = {'svg': b'<?xml', 'png': b'\x89PNG', 'pdf': b'%PDF'}
  assert path.read_bytes().startswith(start[ending])
