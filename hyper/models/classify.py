"""Plain networks for images, which know nothing of hypernetworks.

Shapes: b batch, h height, w width, c channels.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

TRUNCATED_NORMAL = nn.initializers.truncated_normal(0.01)
HE_NORMAL = nn.initializers.he_normal()


class MnistConvnet(nn.Module):
  """The convnet of section 4.1: two 7x7 convolutions of 16 channels.

  Each is followed by ReLU and 2x2 max pooling, the last by a softmax layer:
  21,210 parameters for MNIST, of which `conv2/kernel` has 12,544.
  Initialised as in the author's notebook: kernels truncated normal of
  deviation 0.01, softmax weights orthogonal, biases zero.
  """

  kernel_init: Callable[..., Array] = TRUNCATED_NORMAL
  classes: int = 10

  @nn.compact
  def __call__(
    self, images: Float[Array, 'b h w c'], train: bool = False
  ) -> Float[Array, 'b classes']:
    """The logits of images with values in [0, 1]; `train` changes nothing."""
    del train
    x = images
    for name in ('conv1', 'conv2'):
      x = nn.Conv(16, (7, 7), kernel_init=self.kernel_init, name=name)(x)
      x = max_pool(jax.nn.relu(x))
    x = x.reshape(x.shape[0], -1)
    return nn.Dense(
      self.classes, kernel_init=nn.initializers.orthogonal(), name='softmax'
    )(x)


def max_pool(
  x: Float[Array, 'b h w c'],
) -> Float[Array, 'b half_h half_w c']:
  """2x2 max pooling; its gradient is three times as fast as flax's on CPU.

  Raises:
    ValueError: a side is odd.
  """
  b, h, w, c = x.shape
  if h % 2 or w % 2:
    raise ValueError(f'2x2 pooling needs even sides, not {h} x {w} pixels.')
  return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


class Perceptron(nn.Module):
  """The network of appendix A.1: one hidden layer of ReLU.

  With 28x28 images `hidden/kernel` has 784 x 256 = 200,704 parameters; pixels
  are numbered row by row. The hidden layer starts after He et al. (2015), the
  softmax layer as flax's dense layers do (LeCun et al. 1998), biases at zero.

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
    """The logits of standardised images; `train` changes nothing."""
    del train
    x = images.reshape(images.shape[0], -1)
    x = nn.Dense(self.hidden_units, kernel_init=HE_NORMAL, name='hidden')(x)
    return nn.Dense(self.classes, name='softmax')(jax.nn.relu(x))


class WideResNet(nn.Module):
  """The wide residual network 40-k of section 4.2 (Table 1).

  A 3x3 convolution of 16 channels, then three groups of N blocks of two 3x3
  convolutions, of 16 k, 32 k and 64 k channels; the second and third group
  begin with stride 2. Average pooling over the whole map, then softmax. The
  parameters of the groups stand under `conv2_1` to `conv4_N`.

  Deviation: the paper leaves the shortcuts, biases and batch norms open. What
  is done here gives all four parameter counts that it prints (0.563M and
  2.236M, and 0.097M and 0.148M with generated kernels), which learned
  shortcuts would not: blocks are pre-activated (batch norm, ReLU, convolution,
  twice), shortcuts have no parameters, every convolution has a bias, one batch
  norm stands right after conv1, and one, with ReLU, before the pooling. The
  norm after conv1 is the least certain part: another 32 parameters elsewhere
  would do as well. Batch norm's momentum and the convolutions' initialisation
  (He et al. 2015) are those common for such networks; the softmax layer starts
  as flax's dense layers do.

  Attributes:
    blocks: N, the blocks in a group; the depth is 6 N + 4.
    width: k.
    classes: to tell apart.

  Raises:
    ValueError: one of these is not positive.
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
    """The logits of standardised images; `train` is for batch norm."""
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

  The shortcut has no parameters: where the shape changes it takes every
  stride-th pixel and adds channels of zeros.
  """

  channels: int
  stride: int

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b h w c'], train: bool
  ) -> Float[Array, 'b h2 w2 c2']:
    """The sum of both ways; `train` is for batch norm."""
    norm = functools.partial(batch_norm, train)
    y = jax.nn.relu(norm('norm1')(x))
    y = conv3x3(self.channels, self.stride, 'conv1')(y)
    y = jax.nn.relu(norm('norm2')(y))
    y = conv3x3(self.channels, 1, 'conv2')(y)
    shortcut = x[:, :: self.stride, :: self.stride]
    added = self.channels - x.shape[-1]
    return y + jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, added)))


def conv3x3(channels: int, stride: int, name: str) -> nn.Conv:
  """A 3x3 convolution whose strides meet the pixels of the shortcut."""
  return nn.Conv(
    channels, (3, 3), stride, padding=1, kernel_init=HE_NORMAL, name=name
  )


def batch_norm(train: bool, name: str) -> nn.BatchNorm:
  """Batch norm, with running averages outside training."""
  return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name=name)
