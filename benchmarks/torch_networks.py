"""Image networks in plain PyTorch, to be timed beside ours.

They have the equations and the parameters of `hyper.models.classify` and of
`hyper.tiles`. A parameter is named by its path, such as conv1/kernel; kernels
have torch's axes, [outputs, inputs, height, width].
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-5  # of batch norm
Weights = Mapping[str, Tensor]


def mnist_convnet(w: Weights, images: Tensor) -> Tensor:
  """Returns the logits of images [b, c, h, w]; see `MnistConvnet`."""
  x = images
  for name in ('conv1', 'conv2'):
    x = functional.conv2d(x, w[f'{name}/kernel'], w[f'{name}/bias'], padding=3)
    x = functional.max_pool2d(functional.relu(x), 2)
  x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
  return x @ w['softmax/kernel'] + w['softmax/bias']


def wide_resnet(w: Weights, images: Tensor) -> Tensor:
  """Returns the logits of images in training; see `WideResNet`."""
  x = _norm(w, 'norm1', _conv(w, 'conv1', images))
  blocks = sum(name.startswith('conv2_') for name in w) // 8
  for group in (2, 3, 4):
    for k in range(1, blocks + 1):
      x = _block(w, f'conv{group}_{k}', x, 2 if group > 2 and k == 1 else 1)
  x = functional.relu(_norm(w, 'norm', x)).mean((2, 3))
  return x @ w['softmax/kernel'] + w['softmax/bias']


def _block(w: Weights, name: str, x: Tensor, stride: int) -> Tensor:
  y = functional.relu(_norm(w, f'{name}/norm1', x))
  y = _conv(w, f'{name}/conv1', y, stride)
  y = functional.relu(_norm(w, f'{name}/norm2', y))
  y = _conv(w, f'{name}/conv2', y)
  added = y.shape[1] - x.shape[1]
  shortcut = x[:, :, ::stride, ::stride]
  return y + functional.pad(shortcut, (0, 0, 0, 0, 0, added))


def _conv(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
  kernel, bias = w[f'{name}/kernel'], w[f'{name}/bias']
  return functional.conv2d(x, kernel, bias, stride, padding=1)


def _norm(w: Weights, name: str, x: Tensor) -> Tensor:
  scale, bias = w[f'{name}/scale'], w[f'{name}/bias']
  return functional.batch_norm(
    x, None, None, scale, bias, training=True, eps=EPSILON
  )


def generate(
  w: Weights, grids: Mapping[str, tuple[int, int]]
) -> dict[str, Tensor]:
  """Returns kernels made from tiles (eqs 2 and 3); see `hyper.tiles`.

  Args:
    w: z [k, e], and generator/w_in, b_in, w_out and b_out.
    grids: the number of tiles of each kernel, along inputs and outputs, in the
      order of the embeddings.
  """
  a = torch.einsum('ke,ied->kid', w['z'], w['generator/w_in'])
  a = a + w['generator/b_in']
  tiles = torch.tensordot(a, w['generator/w_out'], 1) + w['generator/b_out']
  kernels, first = {}, 0
  for name, (inputs, outputs) in grids.items():
    count = inputs * outputs
    x = tiles[first : first + count]  # [k, i, height, width, o]
    x = x.reshape(inputs, outputs, *x.shape[1:]).permute(1, 5, 0, 2, 3, 4)
    kernels[name] = x.flatten(2, 3).flatten(0, 1)
    first += count
  return kernels


def with_generated(
  w: Weights, grids: Mapping[str, tuple[int, int]]
) -> dict[str, Tensor]:
  """Returns the weights of the main network, with its kernels generated."""
  own = {k.removeprefix('network/'): x for k, x in w.items()}
  return own | generate(w, grids)
