"""The section config.data of classification: which images, in what batches."""

import dataclasses
from collections.abc import Callable

import numpy as np

from hyper.configuration import check_positive, check_source
from hyper.data import (
  cifar10,
  embedded,
  mnist,
  own_images,
)
from hyper.data.own_images import Arrays, ImageKind

TEN = tuple('0123456789')
IMAGES: dict[str, Callable[..., dict[str, np.ndarray]]] = {
  'mnist': mnist.load,
  'cifar10': cifar10.load,
  'images': own_images.load,
  'embedded': embedded.load_digits,
}
KINDS = {
  'mnist': ImageKind(mnist.SHAPE, TEN),
  'cifar10': ImageKind(cifar10.SHAPE, TEN),
  'embedded': ImageKind(embedded.DIGIT_SHAPE, TEN),
}
# The fields of config.data that only one source reads, by that source.
FIELDS = {'images': ('path', 'split')}
SPLITS = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True)
class ImageData:
  """The section config.data.

  Attributes:
    source: the images, a name of IMAGES.
    batch_size: images in a training step.
    eval_batch_size: images evaluated at once.
    mean: of each channel, in [0, 1]; it is subtracted. () means the mean of the
      training images, which is known for the source 'images' only.
    deviation: of each channel, in [0, 1]; images are divided by it. () means
      the deviation of the training images, likewise.
    crop_padding: pixels of zeros (the mean) added on each side before a
      training image is cropped at random to its own size; 0 disables cropping.
    flip: whether a training image is mirrored, with probability one half.
    path, split: of the source 'images', see `own_images.load`.
  """

  source: str
  batch_size: int
  eval_batch_size: int
  mean: tuple[float, ...]
  deviation: tuple[float, ...]
  crop_padding: int
  flip: bool
  path: str = ''
  split: tuple[float, ...] = (0.9, 0.05, 0.05)

  def __post_init__(self) -> None:
    check_source(self, IMAGES, FIELDS)
    check_positive(
      'config.data',
      batch_size=self.batch_size,
      eval_batch_size=self.eval_batch_size,
    )
    if min(self.deviation, default=1) <= 0:
      raise ValueError(
        f'config.data.deviation is {self.deviation}; it must be positive.'
      )

  def kind(self, data_dir: str) -> ImageKind:
    """Returns the shape, classes and statistics of the images."""
    if self.source == 'images':
      return own_images.kind_of(data_dir, self.path, self.split)
    return KINDS[self.source]

  def check(self, kind: ImageKind) -> None:
    """Raises a ValueError unless the fields fit images of this kind."""
    channels, pixels = kind.shape[-1], min(kind.shape[:2])
    for name in ('mean', 'deviation'):
      numbers = getattr(self, name) or getattr(kind, name)
      if len(numbers) != channels:
        raise ValueError(
          f'config.data.{name} is {getattr(self, name)}; {self.source} has '
          f'{channels} channels, each needs one number.'
        )
    if not 0 <= self.crop_padding < pixels:
      raise ValueError(
        f'config.data.crop_padding is {self.crop_padding}; it must be at least '
        f'0 and below the {pixels} pixels of an image.'
      )

  def load(self, data_dir: str, kind: ImageKind, split: str) -> Arrays:
    """Returns the images and labels of a split.

    Raises:
      ValueError: they are of another kind than `kind`.
    """
    fields = {name: getattr(self, name) for name in FIELDS.get(self.source, ())}
    arrays = IMAGES[self.source](data_dir, split, **fields)
    shape, count = arrays['image'].shape[1:], int(arrays['label'].max()) + 1
    if shape != kind.shape or count > len(kind.classes):
      raise ValueError(
        f'the {split} images of {self.source} are {shape}, of {count} classes; '
        f'the network is for {kind.shape} and {len(kind.classes)} classes.'
      )
    return arrays
