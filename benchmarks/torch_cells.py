"""Cells in plain PyTorch, to be timed beside ours.

They have the equations, and the names and shapes of parameters, of
`hyper.cells`, and are written in the usual way: a function for a step, and a
Python loop over time, with inputs multiplied before it. torch.compile makes one
program of the step.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, sigmoid, tanh
from torch.nn import functional

EPSILON = 0.001  # of layer norm
Weights = Mapping[str, Tensor]
Step = Callable[..., Any]


def lstm_state(
  gates: tuple[Tensor, ...], c: Tensor, w: Weights, forget_bias: float = 1.0
) -> tuple[Tensor, Tensor]:
  """Returns c and h of an LSTM, given its gates before their functions."""
  if 'gamma' in w:
    gates = tuple(
      functional.layer_norm(
        y, y.shape[-1:], w['gamma'][k], w['beta'][k], EPSILON
      )
      for k, y in enumerate(gates)
    )
  i, g, f, o = gates
  c = sigmoid(f + forget_bias) * c + sigmoid(i) * tanh(g)
  shown = c
  if 'gamma_c' in w:
    shown = functional.layer_norm(
      c, c.shape[-1:], w['gamma_c'], w['beta_c'], EPSILON
    )
  return c, sigmoid(o) * tanh(shown)


def lstm_step(w: Weights, carry: Any, x: Tensor) -> tuple[Any, Tensor]:
  """Takes a step of an LSTM; `x` is the input times w_x."""
  c, h = carry
  y = h @ w['w_h'] + x
  if 'b' in w:
    y = y + w['b']
  c, h = lstm_state(y.chunk(4, -1), c, w)
  return (c, h), h


def hyperlstm_step(w: Weights, carry: Any, x: Tensor) -> tuple[Any, Tensor]:
  """Takes a step of a HyperLSTM.

  `x` is the input times w_x and the input's part of hyper_w_x, side by side.
  """
  (c, h), (c_hyper, h_hyper) = carry
  hyper = {
    k.removeprefix('hyper_'): v for k, v in w.items() if k.startswith('hyper_')
  }
  n = h.shape[-1]
  x, hyper_x = x[:, : 4 * n], x[:, 4 * n :]
  y = h_hyper @ hyper['w_h'] + h @ hyper['w_x'][:n] + hyper_x
  if 'b' in hyper:
    y = y + hyper['b']
  c_hyper, h_hyper = lstm_state(y.chunk(4, -1), c_hyper, hyper)
  z_h = (h_hyper @ w['w_hh'] + w['b_hh']).chunk(4, -1)
  z_x = (h_hyper @ w['w_hx'] + w['b_hx']).chunk(4, -1)
  z_b = (h_hyper @ w['w_hb']).chunk(4, -1)
  from_h, from_x = (h @ w['w_h']).chunk(4, -1), x.chunk(4, -1)
  gates = tuple(
    (z_h[k] @ w['w_hz'][k]) * from_h[k]
    + (z_x[k] @ w['w_xz'][k]) * from_x[k]
    + z_b[k] @ w['w_bz'][k]
    + w['b'][k]
    for k in range(4)
  )
  main = {k: v for k, v in w.items() if not k.startswith('hyper_')}
  c, h = lstm_state(gates, c, main)
  return ((c, h), (c_hyper, h_hyper)), h


def zeros(w: Weights, batch: int) -> Any:
  """Returns the carry before the first step."""
  sizes = [w['w_h'].shape[0]]
  sizes += [w['hyper_w_h'].shape[0]] if 'hyper_w_h' in w else []
  carries = [
    tuple(w['w_h'].new_zeros(batch, size) for _ in range(2)) for size in sizes
  ]
  return tuple(carries) if len(carries) > 1 else carries[0]


def run(step: Step, w: Weights, inputs: Tensor) -> Tensor:
  """Returns the outputs [b, t, n] of all steps, of inputs [b, t, v]."""
  w_x = w['w_x']
  if 'hyper_w_x' in w:
    w_x = torch.cat([w_x, w['hyper_w_x'][w['w_h'].shape[0] :]], -1)
  xs = (inputs @ w_x).unbind(1)
  carry, outputs = zeros(w, len(inputs)), []
  for x in xs:
    carry, h = step(w, carry, x)
    outputs.append(h)
  return torch.stack(outputs, 1)
