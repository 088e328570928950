"""Annotations of `hyper` are checked while the tests run."""

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from hyper import losses

LOGITS = jnp.zeros((4, 3))


def test_shapes_that_do_not_belong_together_are_refused():
  with pytest.raises(TypeCheckError, match="'targets'"):
    losses.cross_entropy(LOGITS, jnp.zeros((4, 1), int))


def test_an_array_of_another_kind_is_refused():
  with pytest.raises(TypeCheckError, match="'targets'"):
    losses.cross_entropy(LOGITS, np.zeros(4, int))
  with pytest.raises(TypeCheckError, match="'targets'"):
    losses.cross_entropy(LOGITS, jnp.zeros(4))


@pytest.mark.usefixtures('unchecked')
def test_a_test_may_switch_the_check_off():
  assert losses.cross_entropy(LOGITS, np.zeros(4, int)).shape == (4,)
