"""The parameters of a cell as the reference names them, and random ones.

The package packs the gates side by side in the last axis, and its matrices are
[inputs, outputs]; the reference has one W [outputs, inputs] for each gate.
`lstm_weights` and the like convert the former into the latter.
"""

import jax
import numpy as np
import reference


def gate_matrices(w, gates=reference.GATES):
  """Splits [inputs, gates k] into a [k, inputs] for each gate."""
  return gate_stack(np.stack(np.split(w, len(gates), -1)), gates)


def gate_stack(w, gates=reference.GATES):
  """Splits [gates, inputs, k] into a [k, inputs] for each gate."""
  return {y: w[k].T for k, y in enumerate(gates)}


def gate_vectors(x, gates=reference.GATES):
  """Splits [gates k] or [gates, k] into a [k] for each gate."""
  return dict(zip(gates, x.reshape(len(gates), -1), strict=True))


def gated_weights(params, prefix='', gates=reference.GATES):
  """Returns the matrices, vectors of gates, and other vectors of a cell."""
  weights = {
    'W_h': gate_matrices(params[prefix + 'w_h'], gates),
    'W_x': gate_matrices(params[prefix + 'w_x'], gates),
  }
  for name in ('b', 'gamma', 'beta'):
    if prefix + name in params:
      weights[name] = gate_vectors(params[prefix + name], gates)
  for name in ('gamma_c', 'beta_c', 'b_h'):
    if prefix + name in params:
      weights[name] = params[prefix + name]
  return weights


def scaled_weights(params, gates=reference.GATES):
  """Returns those of a main cell, its hyper cell, embeddings and scalings."""
  weights = gated_weights(params, '', gates)
  weights['hyper'] = gated_weights(params, 'hyper_', gates)
  weights['b_0'] = weights.pop('b')
  for name in ('hh', 'hx', 'hb'):
    weights['W_' + name] = gate_matrices(params['w_' + name], gates)
  for name in ('hz', 'xz', 'bz'):
    weights['W_' + name] = gate_stack(params['w_' + name], gates)
  for name in ('b_hh', 'b_hx'):
    weights[name] = gate_vectors(params[name], gates)
  return weights


lstm_weights, hyperlstm_weights = gated_weights, scaled_weights


def gru_weights(params):
  return gated_weights(params, '', reference.GRU_GATES)


def hypergru_weights(params):
  return scaled_weights(params, reference.GRU_GATES)


def rnn_weights(params, prefix=''):
  weights = {'b': params[prefix + 'b']}
  for name in ('h', 'x'):
    if f'{prefix}w_{name}' in params:  # the full form has none
      weights['W_' + name] = params[f'{prefix}w_{name}'].T
  return weights


def hyperrnn_weights(params):
  """Reverses the axes: [e, inputs, n] to [n, inputs, e], [e, n] to [n, e]."""
  weights = rnn_weights(params) | {'hyper': rnn_weights(params, 'hyper_')}
  weights['b_0'] = weights.pop('b')
  for name in ('hh', 'hx', 'hb', 'hz', 'xz', 'bz'):
    weights['W_' + name] = params['w_' + name].T
  return weights | {name: params[name] for name in ('b_hh', 'b_hx')}


def draw_like(shapes):
  """Draws parameters far from their initial values; gains stay near 1."""
  rng = np.random.default_rng(0)
  return jax.tree_util.tree_map_with_path(
    lambda path, x: (
      ('gamma' in str(path)) + 0.4 * rng.normal(size=x.shape).astype('f')
    ),
    shapes,
  )
