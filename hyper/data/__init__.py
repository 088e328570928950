"""Data sets: one file each, raw files or nothing in, NumPy arrays out."""

import os

# A module that moved says where it is now; see hyper/__init__.py.
__path__.append(os.path.join(os.path.dirname(__path__[0]), '_moved/data'))
