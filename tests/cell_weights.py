"""The parameters of a cell as the reference names them, and random ones.

The package packs the gates i, g, f, o side by side in the last axis, and its
matrices are [inputs, outputs]; the reference has one W [outputs, inputs] for
each gate. `reference_weights` turns the one into the other.
"""

import jax
import numpy as np
import reference

from hyper.cells import HyperRNNCell, LSTMCell, RNNCell


def gate_matrices(w):
  """[inputs, 4 k] -> a [k, inputs] for each gate."""
  return gate_stack(np.stack(np.split(w, 4, -1)))


def gate_stack(w):
  """[4, inputs, k] -> a [k, inputs] for each gate."""
  return {y: w[k].T for k, y in enumerate(reference.GATES)}


def gate_vectors(x):
  """[4 k] or [4, k] -> a [k] for each gate."""
  return dict(zip(reference.GATES, x.reshape(4, -1), strict=True))


def lstm_weights(params, prefix=''):
  weights = {
    'W_h': gate_matrices(params[prefix + 'w_h']),
    'W_x': gate_matrices(params[prefix + 'w_x']),
  }
  for name in ('b', 'gamma', 'beta'):
    if prefix + name in params:
      weights[name] = gate_vectors(params[prefix + name])
  for name in ('gamma_c', 'beta_c'):
    if prefix + name in params:
      weights[name] = params[prefix + name]
  return weights


def rnn_weights(params, prefix=''):
  weights = {'b': params[prefix + 'b']}
  for name in ('h', 'x'):
    if f'{prefix}w_{name}' in params:  # the full form has none
      weights['W_' + name] = params[f'{prefix}w_{name}'].T
  return weights


def hyperrnn_weights(params):
  """[e, inputs, n] -> [n, inputs, e], and [e, n] -> [n, e]."""
  weights = rnn_weights(params) | {'hyper': rnn_weights(params, 'hyper_')}
  weights['b_0'] = weights.pop('b')
  for name in ('hh', 'hx', 'hb', 'hz', 'xz', 'bz'):
    weights['W_' + name] = params['w_' + name].T
  return weights | {name: params[name] for name in ('b_hh', 'b_hx')}


def draw_like(shapes):
  """Parameters far from their initial values; gains stay near 1."""
  rng = np.random.default_rng(0)
  return jax.tree_util.tree_map_with_path(
    lambda path, x: (
      ('gamma' in str(path)) + 0.4 * rng.normal(size=x.shape).astype('f')
    ),
    shapes,
  )


def reference_weights(cell, params):
  if isinstance(cell, RNNCell):
    return rnn_weights(params)
  if isinstance(cell, HyperRNNCell):
    return hyperrnn_weights(params)
  weights = lstm_weights(params)
  if isinstance(cell, LSTMCell):
    return weights
  weights['hyper'] = lstm_weights(params, 'hyper_')
  weights['b_0'] = weights.pop('b')
  for name in ('hh', 'hx', 'hb'):
    weights['W_' + name] = gate_matrices(params['w_' + name])
  for name in ('hz', 'xz', 'bz'):
    weights['W_' + name] = gate_stack(params['w_' + name])
  for name in ('b_hh', 'b_hx'):
    weights[name] = gate_vectors(params[name])
  return weights
