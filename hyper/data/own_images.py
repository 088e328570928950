"""Images of your own by class, as a folder of pictures or an .npz file.

A folder holds `train`, and optionally `validation` and `test`; each of these
has a folder of pictures for every class. If a folder has only the class
folders, all of it is for training. An .npz file has the arrays x_train and
y_train, and optionally those of validation and test. Missing parts are drawn
from the training images.

Pictures are decoded once, into a prepared copy. The copy is found by the names,
sizes and times of all files. An .npz file is read at each start.
"""

import dataclasses
import json
import os
from typing import Any

import numpy as np

from hyper.data import fingerprints, npz, prepared, raw_files
from hyper.data.own_text import check_shares
from hyper.data.prepared import SPLITS
from hyper.terminal import track

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.gif', '.webp', '.tif', '.tiff')
LARGEST_NPZ = 2**34  # bytes of its arrays, unpacked
SEED = 1609_09106  # for drawing missing parts
SHOWN = 5  # pictures that do not fit, in a message

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class ImageKind:
  """The properties of images that a network is built for.

  Attributes:
    shape: height, width and channels.
    classes: their names, in the order of the labels.
    mean: of each channel over the training images, in [0, 1]; () if unknown.
    deviation: the standard deviation, likewise.
  """

  shape: tuple[int, int, int]
  classes: tuple[str, ...]
  mean: tuple[float, ...] = ()
  deviation: tuple[float, ...] = ()

  def to_text(self) -> str:
    """Returns JSON that `from_text` reads."""
    return json.dumps(dataclasses.asdict(self))

  @classmethod
  def from_text(cls, text: str) -> 'ImageKind':
    """Returns what `to_text` wrote."""
    fields = json.loads(text)
    return cls(**{name: tuple(value) for name, value in fields.items()})


def load(
  data_dir: str, part: str, path: str, split: tuple[float, ...]
) -> Arrays:
  """Returns 'image', uint8 [n, h, w, c], and 'label', int32 [n].

  Args:
    data_dir: what `path` is relative to.
    part: 'train', 'validation' or 'test'.
    path: of a folder, or of a file whose name ends in .npz.
    split: the shares of the three parts where validation or test is missing.

  Raises:
    FileNotFoundError: there is no such folder or file.
    OSError: data_dir cannot be written.
    ValueError: no such part, or a file does not fit; it is named.
  """
  prepared.check_split(part, SPLITS)
  check_shares(split)
  place = _place(data_dir, path)
  if not os.path.isdir(place):
    return _complete(_read_npz(place), split, place)[part]
  pictures = _find(place)
  paths = [path for found in pictures.values() for path, _ in found]
  stamp = fingerprints.of_stamps(paths, place)
  shares = '_'.join(f'{share:g}' for share in split).replace('.', '')
  source = prepared.Source(
    name=f'hyper_images_{stamp}_{shares}',
    version='1.1.0',
    read=lambda _: _complete(_decode(pictures), split, place),
    description='Images of the user, by class.',
  )
  return prepared.load(source, data_dir, part)


def kind_of(data_dir: str, path: str, split: tuple[float, ...]) -> ImageKind:
  """Returns the kind of the images at `path`; arguments as of `load`.

  Raises:
    ValueError: of a class no image was left for training; or as `load` does.
  """
  place = _place(data_dir, path)
  if os.path.isdir(place):
    train = load(data_dir, 'train', path, split)
    classes = _classes(_parts(place)['train'])
  else:
    parts = _read_npz(place)
    largest = int(parts['train']['label'].max())
    train = _complete(parts, split, place)['train']
    classes = [str(label) for label in range(largest + 1)]
  _check_trained(train['label'], classes, split, place)
  images = train['image']
  mean, deviation = _statistics(images)
  height, width, channels = images.shape[1:]
  return ImageKind(
    (height, width, channels),
    tuple(classes),
    tuple(mean.round(4).tolist()),
    tuple(np.where(deviation > 0, deviation, 1).round(4).tolist()),
  )


def _check_trained(
  labels: np.ndarray, classes: list[str], split: tuple[float, ...], place: str
) -> None:
  """Raises a ValueError unless some of `labels` are of each of `classes`."""
  counts = np.bincount(labels, minlength=len(classes)).tolist()
  if 0 in counts:
    lost = [name for name, n in zip(classes, counts, strict=True) if not n]
    raise ValueError(
      f'{place} has no training image of {len(lost)} of its {len(classes)} '
      f'classes, such as {lost[0]}: all were drawn for validation and test. '
      'Give more images of the class, or validation and test images apart from '
      f'those of training, or another config.data.split, which is {split}.'
    )


def _statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns mean and deviation of each channel, in [0, 1], by exact sums."""
  count = images[..., 0].size
  mean = images.sum((0, 1, 2), dtype=np.int64) / count
  square = np.einsum('nhwc,nhwc->c', images, images, dtype=np.int64) / count
  return mean / 255, np.sqrt(np.maximum(square - mean**2, 0)) / 255


def _place(data_dir: str, path: str) -> str:
  if not path:
    raise ValueError(
      "config.data.path is ''; give a folder of images by class, or an .npz "
      'file.'
    )
  place = os.path.join(os.path.expanduser(data_dir), os.path.expanduser(path))
  if os.path.isfile(place) and not place.endswith('.npz'):
    raise ValueError(
      f'{place} is neither a folder of images by class nor an .npz file.'
    )
  if not os.path.exists(place):
    raise raw_files.missing(
      'Images of your own',
      [place],
      [data_dir],
      'Give a folder of images by class, or an .npz file, as '
      '--config.data.path, relative to --data_dir.',
    )
  return place


def _parts(place: str) -> dict[str, str]:
  """Returns the folder of each part; without any, all images are 'train'."""
  found = {part: os.path.join(place, part) for part in SPLITS}
  found = {part: path for part, path in found.items() if os.path.isdir(path)}
  if not found:
    return {'train': place}
  if 'train' not in found:
    part = next(iter(found))
    raise ValueError(f'{place} has a folder {part}, but no folder train.')
  if others := [name for name in _classes(place) if name not in SPLITS]:
    raise ValueError(
      f'{place} has a folder {others[0]} beside train; the folders there are '
      'train, validation and test.'
    )
  return found


def _classes(folder: str) -> list[str]:
  return sorted(
    name
    for name in os.listdir(folder)
    if not name.startswith('.') and os.path.isdir(os.path.join(folder, name))
  )


def _find(place: str) -> dict[str, list[tuple[str, int]]]:
  """Returns path and label of each picture, for each part that exists."""
  parts = _parts(place)
  classes = _classes(parts['train'])
  found: dict[str, list[tuple[str, int]]] = {}
  for part, folder in parts.items():
    if others := sorted(set(_classes(folder)) - set(classes)):
      raise ValueError(
        f'{folder} has the class {others[0]!r}, which {parts["train"]} lacks.'
      )
    found[part] = [
      (os.path.join(folder, name, picture), label)
      for label, name in enumerate(classes)
      if os.path.isdir(os.path.join(folder, name))
      for picture in sorted(os.listdir(os.path.join(folder, name)))
      if picture.lower().endswith(SUFFIXES) and not picture.startswith('.')
    ]
    if len(classes) < 2 or not found[part]:
      raise ValueError(
        f'{folder} has {len(found[part])} pictures of {len(classes)} classes; '
        'it needs a folder of pictures for each of two classes or more. Names '
        f'of pictures end in {", ".join(SUFFIXES)}.'
      )
  full = {label for _, label in found['train']}
  for label, name in enumerate(classes):
    if label not in full:
      raise ValueError(
        f'{os.path.join(parts["train"], name)} has no pictures; remove it, or '
        f'add some. Names of pictures end in {", ".join(SUFFIXES)}.'
      )
  return found


def _decode(pictures: dict[str, list[tuple[str, int]]]) -> dict[str, Arrays]:
  parts: dict[str, Arrays] = {}
  shapes: dict[tuple[int, ...], list[str]] = {}  # and the pictures of each
  for part, found in pictures.items():
    images = []
    action = f'Reading the {part} images'
    for path, _ in track(found, action, len(found)):
      image = _pixels(path)
      shapes.setdefault(image.shape, []).append(path)
      if len(shapes) == 1:  # else the rest is read for the message alone
        images.append(image)
    if len(shapes) == 1:
      labels = np.array([label for _, label in found], np.int32)
      parts[part] = {'image': np.stack(images), 'label': labels}
  _check_shapes(shapes)
  return parts


def _check_shapes(shapes: dict[tuple[int, ...], list[str]]) -> None:
  """Raises a ValueError unless all pictures have one shape."""
  if len(shapes) == 1:
    return
  common = max(shapes, key=lambda shape: len(shapes[shape]))
  others = [
    f'  {path}: {shape}'
    for shape, paths in shapes.items()
    for path in paths
    if shape != common
  ]
  lines = others[:SHOWN] + ['  ...'] * (len(others) > SHOWN)
  count = sum(map(len, shapes.values()))
  raise ValueError(
    f'{len(others):,} of {count:,} pictures have another shape (height, width, '
    f'channels) than {common}, as {shapes[common][0]} has:\n'
    + '\n'.join(lines)
    + '\nAll must have one: crop or resize them to one size, and convert them '
    'to one mode, such as RGB.'
  )


def _pixels(path: str) -> np.ndarray:
  """Returns a picture, uint8 [h, w, c]: grey, colours, or colours and alpha.

  It is turned upright where a camera noted that it lies. Of the pictures in a
  photo with several (MPO), such as a preview or depths, the first is the photo.
  """
  from PIL import Image, ImageOps  # slow, and only pictures need it

  try:
    with Image.open(path) as picture:
      if picture.mode.startswith(('I', 'F')):
        raise ValueError(
          f'its mode is {picture.mode}; 8 bits a channel are read'
        )
      is_photo = picture.format == 'MPO'
      frames = 1 if is_photo else getattr(picture, 'n_frames', 1)
      if frames > 1:
        raise ValueError(f'it has {frames} frames; it must have one')
      mode = {'1': 'L', 'L': 'L'}.get(picture.mode, 'RGB')
      if picture.has_transparency_data:
        mode = 'RGBA'
      pixels = np.array(ImageOps.exif_transpose(picture).convert(mode))
  except MemoryError:
    raise
  except Exception as error:  # Pillow raises all sorts for a damaged picture
    if getattr(error, 'errno', None) is not None:  # it is the machine's
      raise
    raise ValueError(f'{path} cannot be read as a picture: {error}') from error
  return pixels.reshape(*pixels.shape[:2], -1)


def _read_npz(path: str) -> dict[str, Arrays]:
  wanted = [f'{axis}_{part}' for part in SPLITS for axis in ('x', 'y')]
  arrays, others = npz.read(path, wanted, LARGEST_NPZ)
  for name in others:
    if name.startswith(('x_', 'y_')):
      raise ValueError(
        f'{path} has an array {name}; its parts are called train, validation '
        'and test, such as x_train and y_train.'
      )
  parts = {part: _part(arrays, part, path) for part in SPLITS}
  if parts['train'] is None:
    raise ValueError(
      f'{path} has the arrays ({", ".join([*arrays, *others])}); it needs '
      'x_train and y_train, and may have those of validation and test.'
    )
  shape = parts['train']['image'].shape[1:]
  _check_labels(parts, path)
  for part, found in parts.items():
    if found and found['image'].shape[1:] != shape:
      raise ValueError(
        f'{path}: x_{part} has images of {found["image"].shape[1:]}, but '
        f'x_train of {shape}.'
      )
  return {part: found for part, found in parts.items() if found}


def _check_labels(parts: dict[str, Any], path: str) -> None:
  """Raises a ValueError unless training has every label from 0 on."""
  trained = set(np.unique(parts['train']['label']).tolist())
  for part, found in parts.items():
    largest = int(found['label'].max()) if found else 0
    if missing := set(range(largest + 1)) - trained:
      raise ValueError(
        f'{path}: y_{part} has the label {largest}, but y_train has none of '
        f'{min(missing)}; training needs images of every class, counted from 0.'
      )


def _part(arrays: Arrays, part: str, path: str) -> Any:
  """Returns images and labels of a part, or None if it is missing."""
  x, y = arrays.get(f'x_{part}'), arrays.get(f'y_{part}')
  if x is None and y is None:
    return None
  if x is None or y is None:
    given, missing = ('x', 'y') if y is None else ('y', 'x')
    raise ValueError(f'{path} has {given}_{part}, but no {missing}_{part}.')
  if x.dtype != np.uint8 or x.ndim not in (3, 4) or 0 in x.shape[1:]:
    raise ValueError(
      f'{path}: x_{part} is {x.dtype} {list(x.shape)}; it must be uint8 '
      '[n, height, width] or [n, height, width, channels], none of them 0.'
    )
  y = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
  if y.shape != x.shape[:1] or y.dtype.kind not in 'iu' or not len(y):
    raise ValueError(
      f'{path}: y_{part} is {y.dtype} {list(y.shape)}; it must be a whole '
      f'number for each of the {len(x):,} images.'
    )
  if y.min() < 0 or y.max() > 100_000:
    raise ValueError(
      f'{path}: y_{part} has the label {y.min() if y.min() < 0 else y.max()}; '
      'labels count from 0.'
    )
  image = x if x.ndim == 4 else x[..., None]
  return {'image': image, 'label': y.astype(np.int32)}


def _complete(
  parts: dict[str, Arrays], split: tuple[float, ...], place: str
) -> dict[str, Arrays]:
  """Draws the parts that are missing from the training images."""
  train, count = parts['train'], len(parts['train']['label'])
  order, begin = np.random.RandomState(SEED).permutation(count), 0
  for part, share in zip(SPLITS[1:], split[1:], strict=True):
    if part not in parts:
      end = begin + round(share * count)
      chosen = np.sort(order[begin:end])
      parts[part] = {name: x[chosen] for name, x in train.items()}
      begin = end
  rest = np.sort(order[begin:])
  parts['train'] = {name: x[rest] for name, x in train.items()}
  for part in SPLITS:
    if not len(parts[part]['label']):
      raise ValueError(
        f'{place} has too few images: of its {count} training images, none '
        f'are for {part}. Give it more, or raise the share of {part} in '
        f'config.data.split, which is {split}.'
      )
  return {part: parts[part] for part in SPLITS}
