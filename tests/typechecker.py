"""Checks annotations in the tests: beartype, as lenient as Python and JAX.

An int is accepted for a float, and a NumPy array or number for one of JAX or
Python. Streams are not checked: those of pytest and of a terminal's bars behave
like files but have other classes.
"""

from typing import TextIO

import jax
import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

STANDS_FOR = FrozenDict(
  {
    int: int | np.integer,
    float: float | int | np.floating,
    jax.Array: jax.Array | np.ndarray,
    TextIO: object,
  }
)
check = beartype(conf=BeartypeConf(hint_overrides=STANDS_FOR))
