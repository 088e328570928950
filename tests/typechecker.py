"""What checks annotations in the tests: beartype, as lenient as Python and JAX.

An int may stand for a float, and a NumPy array or number for one of JAX or
Python.
"""

import jax
import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

STANDS_FOR = FrozenDict(
  {
    int: int | np.integer,
    float: float | int | np.floating,
    jax.Array: jax.Array | np.ndarray,
  }
)
check = beartype(conf=BeartypeConf(hint_overrides=STANDS_FOR))
