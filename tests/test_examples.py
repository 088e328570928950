"""Every example keeps the bound that it prints."""

import numpy as np
import pytest
from PIL import Image

from examples import auto_decoder, continual, few_shot, lora, nnx_loop

pytestmark = pytest.mark.slow


def test_a_penalty_keeps_tasks_from_being_forgotten():
  lost = continual.main()
  assert lost['with'] < continual.BOUND
  assert lost['without'] > 4 * continual.BOUND


def test_weights_from_a_few_points_fit_the_others():
  assert few_shot.main() < few_shot.BOUND


def test_images_are_drawn_from_their_embeddings(tmp_path):
  path = tmp_path / 'strip.png'
  assert auto_decoder.main(str(path)) < auto_decoder.BOUND
  side, images = auto_decoder.SIDE, auto_decoder.IMAGES
  strip = np.asarray(Image.open(path), 'f').reshape(side, images, side) / 255
  first, second = auto_decoder.PIXELS[:2].reshape(2, side, side)
  for k, wanted in ((0, first), (-1, second)):
    error = np.sqrt(np.mean((strip[:, k] - wanted) ** 2))
    assert error < 2 * auto_decoder.BOUND


def test_deltas_of_low_rank_adapt_a_frozen_network():
  errors = lora.main()
  assert errors['after'] < lora.BOUND
  assert errors['before'] > 2 * lora.BOUND


def test_a_hyperlstm_learns_in_a_loop_of_nnx():
  assert nnx_loop.main() < nnx_loop.BOUND
