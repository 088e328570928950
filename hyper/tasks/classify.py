"""Image classification (4.1, 4.2 and A.1), scored by the error in percent."""

import functools
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import lax
from jaxtyping import Array, Float, Int, UInt8
from ml_collections import ConfigDict

from hyper.configuration import Fed, build, check_fields, splat
from hyper.coordinates import CoordinateHyperNetwork, Coordinates
from hyper.data import (
  batches,
  fingerprints,
)
from hyper.data.own_images import ImageKind
from hyper.drawing.kernels import Panel, as_filters, draw
from hyper.hypernetwork import HyperNetwork
from hyper.losses import cross_entropy
from hyper.models.classify import MnistConvnet, Perceptron, WideResNet
from hyper.runs import folder
from hyper.runs.numbers import NONE, Numbers, numbers_of
from hyper.runs.task import Outcome
from hyper.static import StaticHyperNetwork
from hyper.tasks.image_data import SPLITS, ImageData
from hyper.tiles import Tiles

NETWORKS = {
  'mnist_convnet': MnistConvnet,
  'perceptron': Perceptron,
  'wide_resnet': WideResNet,
}
HYPERNETWORKS: dict[str, Callable[..., HyperNetwork | None]] = {
  'none': lambda main: None,
  'static': StaticHyperNetwork,
  'coordinate': CoordinateHyperNetwork,
}


class Classify:
  """Predicts the class of an image.

  Images travel as bytes and are augmented inside the compiled step. The network
  is applied with the parameters that `main_params` returns. So kernels are
  generated once in a step, and the L2 loss covers all kernels of the network,
  free and generated.

  Attributes:
    kind: shape and classes of the images; the network is built for them.
    main: the network, which knows of no hypernetwork.
    l2_rate: the factor of half the squared kernels in the loss.
    hypernetwork: what generates some of its parameters, or None.

  Raises:
    ValueError: a field of the config does not fit, or does not fit the images.
    FileNotFoundError: the images are missing.
  """

  selection = ('error', 'min')
  unit = 'images'
  reported_split = 'test'
  has_streams = False
  has_buckets = False
  mean_over = 'count'
  large: dict[str, int] = {}  # kernels are small

  def __init__(self, config: ConfigDict, data_dir: str, workdir: str):
    check_fields(config, {'hypernetwork': dict, 'l2_rate': float})
    self.data: ImageData = splat(ImageData, 'config.data', config.data)
    is_own = self.data.source == 'images'
    saved = is_own and folder.read(
      workdir, folder.IMAGE_KIND, ImageKind.from_text
    )
    self.kind = saved or self.data.kind(data_dir)
    self.data.check(self.kind)
    self.main: nn.Module = build(
      NETWORKS, 'config.model', config.model, classes=len(self.kind.classes)
    )
    self.hypernetwork: HyperNetwork | None = build(
      HYPERNETWORKS,
      'config.hypernetwork',
      config.hypernetwork,
      main=self.main,
    )
    self.l2_rate = config.l2_rate
    if self.l2_rate < 0:
      raise ValueError(f'config.l2_rate is {self.l2_rate}; it cannot be < 0.')
    self.numbers = numbers_of(config, ('l2_rate',))
    self._arrays = functools.cache(
      functools.partial(self.data.load, data_dir, self.kind)
    )
    if is_own and not saved:
      folder.save(workdir, folder.IMAGE_KIND, self.kind.to_text())

  @staticmethod
  def sections() -> dict[str, Fed]:
    """Returns what the sections of the config feed, see `describe`."""
    return {
      '': (Classify,),
      'data': (ImageData,),
      'model': NETWORKS,
      'hypernetwork': HYPERNETWORKS
      | {
        'static': (StaticHyperNetwork, Tiles),
        'coordinate': (CoordinateHyperNetwork, Coordinates),
      },
    }

  def init(self, key: Array) -> tuple[Any, Any]:
    """Returns parameters, and the network's batch statistics if it has any."""
    network = self.hypernetwork or self.main
    collections = dict(network.init(key, self._image(), False))
    params = collections.pop('params')
    if self.hypernetwork is not None:
      collections = {k: x['network'] for k, x in collections.items()}
    return params, collections

  def main_params(self, params: Any) -> Any:
    """Returns the parameters of the network alone, its kernels generated."""
    if self.hypernetwork is None:
      return params
    variables = {'params': params}
    return self.hypernetwork.main_params(variables, self._image(), False)

  def batches(
    self, split: str, seed: int, start: int, once: bool = False
  ) -> Iterator[dict[str, np.ndarray]]:
    """Yields images and labels: all once, or of 'train' without end."""
    arrays = self._arrays(split)
    if split == 'train' and not once:
      return batches.shuffled(arrays, self.data.batch_size, seed, start)
    return batches.in_order(arrays, self.data.eval_batch_size)

  def loss(
    self,
    params: Any,
    model_state: Any,
    batch: Any,
    key: Array,
    train: bool,
    numbers: Numbers = NONE,
  ) -> Outcome:
    """Returns mean nats plus L2, the next batch statistics, and the sums."""
    augment_key, dropout_key = jax.random.split(key)
    images = self._standardise(batch['image'])
    if train:
      images = self._augment(augment_key, images)
    main_params = self.main_params(params)
    logits, updated = self.main.apply(
      {'params': main_params} | model_state,
      images,
      train,
      rngs={'dropout': dropout_key},
      mutable=list(model_state) if train else [],
    )
    mask = batch['mask']
    nats = jnp.where(mask, cross_entropy(logits, batch['label']), 0.0).sum()
    wrong = (mask & (logits.argmax(-1) != batch['label'])).sum()
    sums = {'nats': nats, 'wrong': wrong, 'count': mask.sum()}
    loss = nats / sums['count']
    if self.l2_rate:
      rate = numbers.get('l2_rate', self.l2_rate)
      loss += rate * half_squares(main_params)
    return loss, (model_state | updated, sums)

  def eval_state(self, model_state: Any) -> Any:
    """Returns the batch statistics of training, unchanged."""
    return model_state

  def summarize(self, sums: dict[str, float]) -> dict[str, float]:
    """Returns the error in percent, and the cross entropy in nats per image."""
    count = sums['count']
    return {'error': 100 * sums['wrong'] / count, 'nats': sums['nats'] / count}

  def describe(self) -> list[str]:
    """Returns the sizes of the splits, and the shape and classes of images."""
    sizes = [
      f'{split} {len(self._arrays(split)["label"]):,}' for split in SPLITS
    ]
    shape = ' x '.join(map(str, self.kind.shape))
    return [
      f'source {self.data.source}: {", ".join(sizes)}; {shape}, '
      f'{len(self.kind.classes)} classes'
    ]

  def fingerprint(self, split: str) -> str:
    """Returns a hash of the images and labels of a split."""
    return fingerprints.of_arrays(self._arrays(split).values())

  def samples(self, state: Any) -> dict[str, bytes]:
    """Returns a picture of the largest kernel, to be shown in training."""
    main_params = jax.device_get(self.main_params(state.params))
    found = flatten_dict(main_params, sep='/')
    name = max(found, key=lambda path: (found[path].ndim > 1, found[path].size))
    reads_images = not any(x.ndim == 4 for x in found.values())
    shape = self.kind.shape if reads_images else ()
    panel = Panel(name, *as_filters(found[name], shape))
    with tempfile.TemporaryDirectory() as folder:
      path = os.path.join(folder, 'kernel.png')
      draw([[panel]], path)
      return {'kernel': pathlib.Path(path).read_bytes()}

  def report(self, state: Any, split: str) -> dict[str, Any]:
    """Returns nothing: all scores are cheap."""
    del state, split
    return {}

  def _image(self) -> Float[Array, '1 h w c']:
    return jnp.zeros((1, *self.kind.shape))

  def _standardise(
    self, images: UInt8[Array, 'b h w c']
  ) -> Float[Array, 'b h w c']:
    mean, deviation = jnp.array(
      [
        self.data.mean or self.kind.mean,
        self.data.deviation or self.kind.deviation,
      ]
    )
    images = images.astype(jnp.float32) / 255
    return (images - mean[None, None, None]) / deviation[None, None, None]

  def _augment(
    self, key: Array, images: Float[Array, 'b h w c']
  ) -> Float[Array, 'b h w c']:
    crop_key, flip_key = jax.random.split(key)
    if self.data.crop_padding:
      images = random_crop(crop_key, images, self.data.crop_padding)
    return random_flip(flip_key, images) if self.data.flip else images


def half_squares(params: Any) -> Float[Array, '']:
  """Returns half the sum of squares of all kernels, generated ones included.

  Deviation: the paper prints an L2 rate of "0.0005 %". We read 0.0005, as wide
  residual networks have it, times half the squared norm, so that the rate is
  what an optimizer would decay the kernels by.
  """
  kernels = [
    x for path, x in flatten_dict(params).items() if path[-1] == 'kernel'
  ]
  return 0.5 * sum((jnp.sum(x**2) for x in kernels), jnp.zeros(()))


def random_crop(
  key: Array, images: Float[Array, 'b h w c'], padding: int
) -> Float[Array, 'b h w c']:
  """Pads each image with zeros and crops it at random to its own size."""
  count, height, width, _ = images.shape
  around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  corners = jax.random.randint(key, (count, 2), 0, 2 * padding + 1)
  return lax.platform_dependent(
    jnp.pad(images, around),
    corners,
    cpu=functools.partial(crops_by_slices, height, width),
    default=functools.partial(crops_by_selection, height, width),
  )


def crops_by_slices(
  height: int, width: int, images: Array, corners: Int[Array, 'b 2']
) -> Array:
  """Returns the height x width pixels of each image from its corner on."""
  shape = (height, width, images.shape[-1])

  def crop(image: Array, corner: Array) -> Array:
    return lax.dynamic_slice(image, (corner[0], corner[1], 0), shape)

  return jax.vmap(crop)(images, corners)


def crops_by_selection(
  height: int, width: int, images: Array, corners: Int[Array, 'b 2']
) -> Array:
  """Returns the same, selected from all crops, first of rows, then of columns.

  A TPU takes slices that differ from image to image one after another.
  """
  for axis, size in ((1, height), (2, width)):
    starts = range(images.shape[axis] - size + 1)
    crops = [lax.slice_in_dim(images, k, k + size, axis=axis) for k in starts]
    first = corners[:, axis - 1, None, None, None]
    images = lax.select_n(jnp.broadcast_to(first, crops[0].shape), *crops)
  return images


def random_flip(
  key: Array, images: Float[Array, 'b h w c']
) -> Float[Array, 'b h w c']:
  """Mirrors each image, left for right, with probability one half."""
  flips = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
  return jnp.where(flips, images[:, :, ::-1], images)
