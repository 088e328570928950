"""Plain networks for images, which know nothing of hypernetworks.

Shapes: b batch, h height, w width, c channels.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

TRUNCATED_NORMAL = nn.initializers.truncated_normal(0.01)
HE_NORMAL = nn.initializers.he_normal()
BFLOAT16 = 'BF16_BF16_F32'  # JAX's name for bfloat16 factors, float32 sums


def in_precision(
  inputs: Array, kernel: Array, bias: Array | None, dtype: Any = None
) -> tuple[Array, Array, Array | None]:
  """Returns a convolution's arguments, factors in the precision of products.

  JAX gives bfloat16 factors to products of matrices alone where
  `jax.default_matmul_precision('BF16_BF16_F32')` asks for them. Here those of
  a convolution are cast, too. The bias is float32, and so is the sum with it.
  """
  del dtype
  asked_for = jax.config.jax_default_matmul_precision  # type: ignore
  if asked_for == BFLOAT16:
    return inputs.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), bias
  return inputs, kernel, bias


convolution = functools.partial(nn.Conv, promote_dtype=in_precision)


class MnistConvnet(nn.Module):
  """The convnet of section 4.1: two 7x7 convolutions of 16 channels.

  ReLU and 2x2 max pooling follow each convolution, and a softmax layer the last
  one. For MNIST there are 21,210 parameters, 12,544 of them in `conv2/kernel`.
  Initial values are those of the author's notebook: kernels truncated normal
  with deviation 0.01, softmax weights orthogonal, biases zero.

  Raises:
    ValueError: 4 does not divide the height or the width of the images.
  """

  kernel_init: Callable[..., Array] = TRUNCATED_NORMAL
  classes: int = 10

  @nn.compact
  def __call__(
    self, images: Float[Array, 'b h w c'], train: bool = False
  ) -> Float[Array, 'b classes']:
    """Returns the logits of `images` with values in [0, 1]; ignores `train`."""
    del train
    check_sides(*images.shape[1:3])
    x = images
    for name in ('conv1', 'conv2'):
      x = convolution(16, (7, 7), kernel_init=self.kernel_init, name=name)(x)
      x = max_pool(jax.nn.relu(x))
    x = x.reshape(x.shape[0], -1)
    return nn.Dense(
      self.classes, kernel_init=nn.initializers.orthogonal(), name='softmax'
    )(x)


def check_sides(height: int, width: int) -> None:
  """Raises a ValueError unless pixels can be pooled by 2x2 twice."""
  if height % 4 or width % 4:
    raise ValueError(
      f'The images are {height} x {width} pixels; 4 must divide both sides for '
      'two 2x2 poolings. Scale, crop or pad them, or take a perceptron '
      '(configs/mnist_mlp.py:images) or a wide residual network '
      '(configs/cifar10_wrn.py:images).'
    )


def max_pool(
  x: Float[Array, 'b h w c'],
) -> Float[Array, 'b half_h half_w c']:
  """Returns 2x2 max pooling of `x`, whose sides are even.

  On a CPU its gradient is three times as fast as that of flax's pooling.
  """
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


class Perceptron(nn.Module):
  """The network of appendix A.1: one hidden layer of ReLU.

  With 28x28 images `hidden/kernel` has 784 x 256 = 200,704 parameters. Pixels
  are numbered row by row. The hidden layer starts as in He et al. (2015), the
  softmax layer as flax's dense layers do (LeCun et al. 1998), and biases at 0.

  Attributes:
    hidden_units: the size of the hidden layer.
    classes: the number of classes.

  Raises:
    ValueError: `hidden_units` is not positive.
  """

  hidden_units: int = 256
  classes: int = 10

  def __post_init__(self) -> None:
    if self.hidden_units < 1:
      raise ValueError(
        f'hidden_units is {self.hidden_units}; it must be positive.'
      )
    super().__post_init__()

  @nn.compact
  def __call__(
    self, images: Float[Array, 'b h w c'], train: bool = False
  ) -> Float[Array, 'b classes']:
    """Returns the logits of standardised `images`; ignores `train`."""
    del train
    x = images.reshape(images.shape[0], -1)
    x = nn.Dense(self.hidden_units, kernel_init=HE_NORMAL, name='hidden')(x)
    return nn.Dense(self.classes, name='softmax')(jax.nn.relu(x))


class WideResNet(nn.Module):
  """The wide residual network 40-k of section 4.2 (Table 1).

  A 3x3 convolution of 16 channels comes first. Three groups follow, each of N
  blocks of two 3x3 convolutions, with 16 k, 32 k and 64 k channels; the second
  and the third group begin with stride 2. Average pooling over the whole map
  and a softmax layer come last. The parameters of the groups are under
  `conv2_1` to `conv4_N`.

  Deviation: the paper leaves the shortcuts, biases and batch norms open. The
  choices here give all four parameter counts that it prints (0.563M and 2.236M,
  and 0.097M and 0.148M with generated kernels); learned shortcuts would not.
  Blocks are pre-activated: batch norm, ReLU, convolution, twice. Shortcuts have
  no parameters. Every convolution has a bias. There is a batch norm right after
  conv1, and one, with ReLU, before the pooling. The norm after conv1 is the
  least certain choice: another 32 parameters elsewhere would give the same
  counts. The momentum of batch norm and the initialisation of convolutions (He
  et al. 2015) are those common for such networks; the softmax layer starts as
  flax's dense layers do.

  Attributes:
    blocks: N, the blocks in a group; the depth is 6 N + 4.
    width: k.
    classes: the number of classes.

  Raises:
    ValueError: `blocks` or `width` is not positive.
  """

  blocks: int = 6
  width: int = 1
  classes: int = 10

  def __post_init__(self) -> None:
    for name in ('blocks', 'width'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name} is {getattr(self, name)}; it must be > 0.')
    super().__post_init__()

  @nn.compact
  def __call__(
    self, images: Float[Array, 'b h w c'], train: bool = False
  ) -> Float[Array, 'b classes']:
    """Returns the logits of standardised `images`; batch norm reads `train`."""
    norm = functools.partial(batch_norm, train)
    x = norm('norm1')(conv3x3(16, 1, 'conv1')(images))
    for group, channels in ((2, 16), (3, 32), (4, 64)):
      for k in range(1, self.blocks + 1):
        stride = 2 if group > 2 and k == 1 else 1
        name = f'conv{group}_{k}'
        x = ResidualBlock(channels * self.width, stride, name=name)(x, train)
    x = jax.nn.relu(norm('norm')(x)).mean((1, 2))
    return nn.Dense(self.classes, name='softmax')(x)


class ResidualBlock(nn.Module):
  """Two pre-activated 3x3 convolutions beside a shortcut (He et al. 2016).

  The shortcut has no parameters. If the shape changes, it takes every
  stride-th pixel and adds channels of zeros.
  """

  channels: int
  stride: int

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b h w c'], train: bool
  ) -> Float[Array, 'b h2 w2 c2']:
    """Returns the shortcut plus the convolutions; batch norm reads `train`."""
    norm = functools.partial(batch_norm, train)
    y = jax.nn.relu(norm('norm1')(x))
    y = conv3x3(self.channels, self.stride, 'conv1')(y)
    y = jax.nn.relu(norm('norm2')(y))
    y = conv3x3(self.channels, 1, 'conv2')(y)
    shortcut = x[:, :: self.stride, :: self.stride]
    added = self.channels - x.shape[-1]
    return y + jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, added)))


def conv3x3(channels: int, stride: int, name: str) -> nn.Conv:
  """Returns a 3x3 convolution at the pixels that the shortcut takes."""
  return convolution(
    channels, (3, 3), stride, padding=1, kernel_init=HE_NORMAL, name=name
  )


def batch_norm(train: bool, name: str) -> nn.BatchNorm:
  """Returns batch norm, which uses running averages unless `train`."""
  return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name=name)
