"""Fingerprints: other data, another fingerprint."""

import numpy as np

from hyper.data import fingerprints


def test_other_arrays_have_another_fingerprint():
  x = np.arange(6, dtype=np.int32)
  others = [x + 1, x[:5], x.reshape(2, 3), x.astype(np.uint32), x[::-1]]
  found = {fingerprints.of_arrays([y]) for y in [x, *others]}
  assert len(found) == 6 and {len(y) for y in found} == {16}
  assert fingerprints.of_arrays([x[:3], x[3:]]) not in found
  assert fingerprints.of_arrays(iter([x.copy()])) in found
