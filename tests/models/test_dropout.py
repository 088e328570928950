"""Dropout beside that of Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hyper.models.dropout import Dropout


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('rate', [0.3, jnp.float32(0.3)])
def test_it_drops_what_flax_drops(rate, dtype):
  x, rngs = jnp.ones((4, 9), dtype), {'dropout': jax.random.key(0)}
  found = Dropout(rate).apply({}, x, True, rngs=rngs)
  wanted = nn.Dropout(0.3, deterministic=False).apply({}, x, rngs=rngs)
  assert found.dtype == wanted.dtype == dtype
  assert 0 < (found == 0).sum() < x.size
  np.testing.assert_allclose(
    found.astype('f'), wanted.astype('f'), rtol=1e-2, atol=0
  )
