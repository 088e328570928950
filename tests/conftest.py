"""Strictness for every test: no implicit broadcasting of ranks."""

import jax

jax.config.update('jax_numpy_rank_promotion', 'raise')
