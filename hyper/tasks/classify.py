"""Image classification (sections 4.1 and 4.2), in errors of 100 images."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from hyper.configuration import build, splat
from hyper.convnets import MnistConvnet
from hyper.data import batches, embedded, mnist
from hyper.losses import cross_entropy
from hyper.static import StaticHyperNetwork

IMAGES = {'mnist': mnist.load, 'embedded': embedded.load_digits}
NETWORKS = {'mnist_convnet': MnistConvnet}
GENERATORS = {'none': lambda main: main, 'static': StaticHyperNetwork}


@dataclasses.dataclass(frozen=True)
class ImageData:
  """The section config.data.

  Attributes:
    source: the images, a name of IMAGES.
    batch_size: images in a training step.
    eval_batch_size: images evaluated at once.
    crop_padding: pixels of zeros put on each side before a training image is
      cropped back to its size at random; 0 for no cropping.
  """

  source: str
  batch_size: int
  eval_batch_size: int
  crop_padding: int

  def __post_init__(self) -> None:
    if self.source not in IMAGES:
      raise ValueError(
        f'config.data.source is {self.source!r}; allowed: {", ".join(IMAGES)}.'
      )
    for name in ('batch_size', 'eval_batch_size'):
      if getattr(self, name) < 1:
        raise ValueError(
          f'config.data.{name} is {getattr(self, name)}; it must be positive.'
        )


class Classify:
  """Predicts the class of an image.

  Images travel as bytes and are augmented inside the jitted step.

  Raises:
    ValueError: the config or the images are not as they must be.
    FileNotFoundError: the images are missing.
  """

  selection = ('error', 'min')
  unit = 'images'

  def __init__(self, config: ConfigDict, data_dir: str, workdir: str):
    del workdir  # a run needs nothing besides its parameters
    self.data: ImageData = splat(ImageData, 'config.data', config.data)
    self.model = make_model(config)
    self._data_dir = data_dir

  def init(self, key: Array) -> tuple[Any, Any]:
    """Parameters and the other collections, such as batch statistics."""
    image = self._arrays('train')['image'][:1]
    variables = self.model.init(key, scale(image), False)
    params = variables.pop('params')
    return params, variables

  def batches(
    self, split: str, seed: int, start: int
  ) -> Iterator[dict[str, np.ndarray]]:
    """Images and labels: endless for 'train', else the split once."""
    arrays = self._arrays(split)
    if split == 'train':
      return batches.shuffled(arrays, self.data.batch_size, seed, start)
    return batches.in_order(arrays, self.data.eval_batch_size)

  def loss(
    self, params: Any, model_state: Any, batch: Any, key: Array, train: bool
  ) -> tuple[Array, tuple[Any, dict[str, Array]]]:
    """Mean cross entropy in nats; the next model state; the sums."""
    crop_key, dropout_key = jax.random.split(key)
    images = batch['image']
    if train and self.data.crop_padding:
      images = random_crop(crop_key, images, self.data.crop_padding)
    logits, updated = self.model.apply(
      {'params': params} | model_state,
      scale(images),
      train,
      rngs={'dropout': dropout_key},
      mutable=list(model_state) if train else [],
    )
    mask = batch['mask']
    nats = jnp.where(mask, cross_entropy(logits, batch['label']), 0.0).sum()
    wrong = (mask & (logits.argmax(-1) != batch['label'])).sum()
    sums = {'nats': nats, 'wrong': wrong, 'count': mask.sum()}
    return nats / sums['count'], (model_state | updated, sums)

  def eval_state(self, model_state: Any) -> Any:
    """Batch statistics are what training made of them."""
    return model_state

  def summarize(self, sums: dict[str, float]) -> dict[str, float]:
    """The error in percent, and the cross entropy in nats per image."""
    count = sums['count']
    return {'error': 100 * sums['wrong'] / count, 'nats': sums['nats'] / count}

  def describe(self) -> list[str]:
    """The number of images in each split."""
    sizes = [
      f'{split} {len(self._arrays(split)["label"]):,}'
      for split in ('train', 'validation', 'test')
    ]
    return [f'images {self.data.source}: {", ".join(sizes)}']

  @functools.cache  # noqa: B019 (one task a process)
  def _arrays(self, split: str) -> dict[str, np.ndarray]:
    return IMAGES[self.data.source](self._data_dir, split)


def make_model(config: ConfigDict) -> nn.Module:
  """The main network of config.model, under config.hypernetwork."""
  main = build(NETWORKS, 'config.model', config.model)
  return build(
    GENERATORS, 'config.hypernetwork', config.hypernetwork, main=main
  )


def scale(images: UInt8[Array, 'b h w c']) -> Float[Array, 'b h w c']:
  """Bytes to numbers in [0, 1]."""
  return images.astype(jnp.float32) / 255


def random_crop(
  key: Array, images: UInt8[Array, 'b h w c'], padding: int
) -> UInt8[Array, 'b h w c']:
  """Pads each image with zeros and cuts its size out at a random place."""
  count, *shape = images.shape
  around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  corners = jax.random.randint(key, (count, 2), 0, 2 * padding + 1)

  def cut(image: Array, corner: Array) -> Array:
    return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), shape)

  return jax.vmap(cut)(jnp.pad(images, around), corners)
