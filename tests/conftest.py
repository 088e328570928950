"""Strictness for every test, and less time spent on compiling.

Strictness: no implicit broadcasting of ranks. Compiling costs the tests more
than running does: XLA is told not to optimise, and what one test has compiled
serves the others of its process (and no other process: jax writes these files
without a lock). So the tests of a file run in one process.
"""

import importlib.metadata
import os
import shutil
import tempfile

FLAGS = [
  '--xla_backend_optimization_level=0',
  '--xla_llvm_disable_expensive_passes=true',
]
if importlib.metadata.version('jaxlib').startswith('0.10.'):
  FLAGS.append('--xla_cpu_use_fusion_emitters=false')  # unknown from 0.12 on
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), *FLAGS])

# Neither the tests nor the processes that they start use the user's cache.
os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'

import jax  # noqa: E402 (reads the variables above)
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

COMPILED = tempfile.mkdtemp(prefix='hyper_compiled_')
jax.config.update('jax_enable_compilation_cache', True)
jax.config.update('jax_compilation_cache_dir', COMPILED)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
jax.config.update('jax_numpy_rank_promotion', 'raise')


@pytest.fixture
def unchecked():
  """Switches the check of annotations off, for arguments that break them."""
  jaxtyping.config.update('jaxtyping_disable', True)
  yield
  jaxtyping.config.update('jaxtyping_disable', False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
  """Gives whole files to the processes of `-n`."""
  from xdist.scheduler import LoadFileScheduling

  return LoadFileScheduling(config, log)


def pytest_unconfigure() -> None:
  """Removes what was compiled."""
  shutil.rmtree(COMPILED, ignore_errors=True)
