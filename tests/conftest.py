"""Strictness for every test: no implicit broadcasting of ranks.

Compiling costs the tests more than running: XLA is told not to optimise.
"""

import os

os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '')
  + ' --xla_backend_optimization_level=0'
  + ' --xla_llvm_disable_expensive_passes=true'
)

import jax  # noqa: E402 (reads the flags above)

jax.config.update('jax_numpy_rank_promotion', 'raise')
