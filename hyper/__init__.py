"""HyperNetworks (Ha, Dai & Le 2016): one network generates another's weights.

Import what you need from its own module, for example
`from hyper.cells import HyperLSTMCell`.
"""

import os

# Python looks for `hyper.NAME` here too, where modules that moved raise an
# ImportError that names their new place.
__path__.append(os.path.join(os.path.dirname(__file__), '_moved'))
