"""HyperNetworks (Ha, Dai & Le 2016): one network generates another's weights.

Import what you need from its own module, for example
`from hyper.cells import HyperLSTMCell`.
"""
