"""Images of your own: folders, arrays, missing parts, bad files."""

import os

import numpy as np
import pytest
from PIL import Image

from hyper.data import own_images
from hyper.data.prepared import SPLITS

SPLIT = (0.8, 0.1, 0.1)


def pixels(count, *shape):
  rng = np.random.default_rng(count)
  return rng.integers(0, 256, (count, *shape), dtype=np.uint8)


def write(folder, images, suffix='png'):
  folder.mkdir(parents=True, exist_ok=True)
  for k, image in enumerate(images):
    Image.fromarray(image).save(folder / f'{k:03d}.{suffix}')


def load(data_dir, path='own', split=SPLIT):
  return {x: own_images.load(str(data_dir), x, path, split) for x in SPLITS}


def rows(arrays):
  """Returns label and pixels of every image, sorted."""
  pairs = zip(arrays['label'], arrays['image'], strict=True)
  return sorted((int(label), image.tobytes()) for label, image in pairs)


@pytest.fixture
def parts(tmp_path):
  """Makes three parts of two classes of 6 x 5 images, as arrays and folders."""
  found = {}
  for part, count in zip(SPLITS, (6, 3, 2), strict=True):
    for label, name in enumerate(('cat', 'dog')):
      found[part, label] = pixels(10 * count + label, 6, 5, 3)[:count]
      write(tmp_path / 'own' / part / name, found[part, label])
  return found


def test_a_folder_by_part_and_class_is_read(tmp_path, parts):
  (tmp_path / 'own/train/cat/.000.png').write_bytes(b'no picture')
  (tmp_path / 'own/train/cat/notes.txt').write_bytes(b'no picture')
  (tmp_path / 'own/train/.hidden').mkdir()
  for part, arrays in load(tmp_path).items():
    wanted = [(k, x.tobytes()) for k in (0, 1) for x in parts[part, k]]
    assert rows(arrays) == sorted(wanted)
    assert arrays['image'].dtype == np.uint8
    assert arrays['label'].dtype == np.int32
  kind = own_images.kind_of(str(tmp_path), 'own', SPLIT)
  assert kind.shape == (6, 5, 3) and kind.classes == ('cat', 'dog')
  every = np.concatenate([parts['train', k] for k in (0, 1)]) / 255
  np.testing.assert_allclose(kind.mean, every.mean((0, 1, 2)), atol=1e-4)
  np.testing.assert_allclose(kind.deviation, every.std((0, 1, 2)), atol=1e-4)
  assert own_images.ImageKind.from_text(kind.to_text()) == kind


def test_a_folder_of_classes_alone_is_split(tmp_path):
  images = pixels(50, 4, 4)
  for k in range(5):
    write(tmp_path / 'own' / f'{k}', images[10 * k : 10 * k + 10])
  found = load(tmp_path)
  assert [len(x['label']) for x in found.values()] == [40, 5, 5]
  together = [row for arrays in found.values() for row in rows(arrays)]
  assert sorted(together) == sorted(
    (k // 10, images[k].tobytes()) for k in range(50)
  )
  again = load(tmp_path)
  assert all(rows(found[x]) == rows(again[x]) for x in SPLITS)
  assert len(load(tmp_path, split=(0.6, 0.2, 0.2))['test']['label']) == 10


@pytest.mark.parametrize('change', ['other', 'more', 'fewer', 'renamed'])
def test_a_change_is_noticed(tmp_path, parts, change):
  before = load(tmp_path)['train']
  folder = tmp_path / 'own/train/cat'
  path = folder / '000.png'
  if change == 'other':
    Image.fromarray(255 - parts['train', 0][0]).save(path)
  elif change == 'more':
    Image.fromarray(parts['train', 0][0]).save(folder / '900.png')
  elif change == 'fewer':
    path.unlink()
  else:
    os.rename(path, tmp_path / 'own/train/dog/900.png')
  assert rows(load(tmp_path)['train']) != rows(before)


@pytest.mark.parametrize('channels', [0, 1, 3, 4])
def test_arrays_in_a_file_are_read(tmp_path, channels):
  shape = (7, 8, *([channels] if channels else []))
  x, y = pixels(40, *shape), np.arange(40) % 4
  np.savez(
    tmp_path / 'own.npz',
    x_train=x,
    y_train=y[:, None],
    x_test=x[:3],
    y_test=y[:3],
  )
  found = load(tmp_path, 'own.npz')
  assert [len(arrays['label']) for arrays in found.values()] == [36, 4, 3]
  np.testing.assert_array_equal(
    found['test']['image'], x[:3].reshape(3, 7, 8, -1)
  )
  kind = own_images.kind_of(str(tmp_path), 'own.npz', SPLIT)
  assert kind.shape == (7, 8, channels or 1)
  assert kind.classes == ('0', '1', '2', '3')
  assert not (tmp_path / 'prepared').exists()


@pytest.mark.parametrize(
  'mode, wanted', [('L', 1), ('RGB', 3), ('P', 3), ('LA', 4), ('RGBA', 4)]
)
def test_a_photo_is_turned_upright_and_keeps_its_alpha(tmp_path, mode, wanted):
  upright = Image.fromarray(pixels(1, 4, 8, 3)[0]).convert('L').convert(mode)
  exif = Image.Exif()
  exif[0x0112] = 6  # lies on its side
  path = tmp_path / 'x.png'
  upright.rotate(90, expand=True).save(path, exif=exif)
  found = own_images._pixels(str(path))
  assert found.shape == (4, 8, wanted)
  np.testing.assert_array_equal(found[..., 0], upright.convert('L'))


def test_the_first_picture_of_a_photo_with_several_is_read(tmp_path):
  photo = Image.fromarray(pixels(1, 16, 8, 3)[0])
  exif = Image.Exif()
  exif[0x0112] = 6  # lies on its side
  photo.save(tmp_path / 'one.jpg', exif=exif)
  photo.save(
    *(tmp_path / 'two.jpg', 'MPO'),
    save_all=True,
    append_images=[photo.resize((4, 8))],
    exif=exif,
  )
  one, two = (
    own_images._pixels(str(tmp_path / x)) for x in sorted(os.listdir(tmp_path))
  )
  assert two.shape == (8, 16, 3)
  np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize('suffix', ['gif', 'png', 'webp', 'tif'])
def test_files_of_several_pictures_are_refused(tmp_path, suffix):
  path = str(tmp_path / f'x.{suffix}')
  first, second = map(Image.fromarray, pixels(2, 8, 8, 3))
  first.save(path, save_all=True, append_images=[second])
  with pytest.raises(ValueError, match='it has 2 frames; it must have one'):
    own_images._pixels(path)


def test_pictures_of_another_shape_are_counted_and_the_first_named(tmp_path):
  for part in SPLITS:
    for name in ('cat', 'dog'):
      write(tmp_path / 'own' / part / name, pixels(5, 6, 5, 3))
  folder = tmp_path / 'own/validation/cat'
  for k in range(6):
    Image.fromarray(pixels(1, 9, 9)[0]).save(folder / f'x{k}.png')
  Image.fromarray(pixels(1, 9, 7, 3)[0]).save(tmp_path / 'own/train/cat/0.png')
  with pytest.raises(ValueError) as error:
    load(tmp_path)
  first, *shown, last = str(error.value).splitlines()
  assert first == (
    '7 of 37 pictures have another shape (height, width, channels) than '
    f'(6, 5, 3), as {tmp_path}/own/train/cat/000.png has:'
  )
  assert shown[0] == f'  {tmp_path}/own/train/cat/0.png: (9, 7, 3)'
  assert shown[1:] == [
    *(f'  {folder}/x{k}.png: (9, 9, 1)' for k in range(4)),
    '  ...',
  ]
  assert last.startswith('All must have one: crop or resize them')


def test_a_class_without_an_image_left_for_training_is_named(tmp_path):
  """The one image of the last class is drawn for validation or test."""
  images, labels = pixels(40, 4, 4), np.arange(40) % 2
  lost = np.random.RandomState(own_images.SEED).permutation(40)[0]
  labels[lost] = 2
  np.savez(tmp_path / 'own.npz', x_train=images, y_train=labels)
  with pytest.raises(
    ValueError,
    match='own.npz has no training image of 1 of its 3 classes, '
    'such as 2: all were drawn .*another config.data.split',
  ):
    own_images.kind_of(str(tmp_path), 'own.npz', SPLIT)
  assert len(load(tmp_path, 'own.npz')['train']['label']) == 32  # as before


def test_a_class_of_a_folder_without_an_image_left_is_named(tmp_path):
  for k in range(20):  # one image each, a fifth of which is not for training
    write(tmp_path / 'own' / f'{k:02d}', pixels(20, 4, 4)[k : k + 1])
  order = np.random.RandomState(own_images.SEED).permutation(20)
  lost = min(order[:4])
  with pytest.raises(
    ValueError,
    match=f'no training image of 4 of its 20 .* such as {lost:02d}: ',
  ):
    own_images.kind_of(str(tmp_path), 'own', SPLIT)


def test_statistics_of_many_bright_pixels_are_exact():
  images = np.full((1, 5000, 4000, 1), 191, np.uint8)
  images[:, ::2] = 117
  mean, deviation = own_images._statistics(images)
  np.testing.assert_allclose(mean, 154 / 255)
  np.testing.assert_allclose(deviation, 37 / 255)


def bad_picture(folder, kind):
  path = folder / 'own/train/dog/777.png'
  if kind == 'no picture':
    path.write_bytes(b'no picture')
  elif kind == 'cut off':
    path.write_bytes((folder / 'own/train/dog/000.png').read_bytes()[:-40])
  elif kind == 'size':
    Image.fromarray(pixels(1, 6, 6, 3)[0]).save(path)
  elif kind == 'channels':
    Image.fromarray(pixels(1, 6, 5)[0]).save(path)
  elif kind == 'frames':
    first, *others = map(Image.fromarray, pixels(3, 6, 5, 3))
    first.save(path, save_all=True, append_images=others)
  else:
    Image.fromarray(np.ones((6, 5), np.uint16)).save(path)
  return path


@pytest.mark.parametrize(
  'kind, message',
  [
    ('no picture', 'cannot be read as a picture'),
    ('cut off', 'cannot be read as a picture'),
    ('size', r'1 of 23 .* than \(6, 5, 3\), (.|\n)*777.png: \(6, 6, 3\)'),
    ('channels', r'777.png: \(6, 5, 1\)'),
    ('frames', 'it has 3 frames; it must have one'),
    ('sixteen bits', '8 bits a channel are read'),
  ],
)
def test_a_picture_that_does_not_fit_is_named(tmp_path, parts, kind, message):
  path = bad_picture(tmp_path, kind)
  with pytest.raises(ValueError, match=message) as error:
    load(tmp_path)
  assert str(path) in str(error.value)
  assert not (tmp_path / 'prepared').exists()


def test_folders_that_do_not_fit_are_named(tmp_path, parts):
  with pytest.raises(FileNotFoundError, match='none'):
    load(tmp_path, 'none')
  with pytest.raises(ValueError, match=r"config.data.path is ''"):
    load(tmp_path, '')
  write(tmp_path / 'own/test/bird', pixels(1, 6, 5, 3))
  with pytest.raises(ValueError, match="own/test has the class 'bird', which"):
    load(tmp_path)
  (tmp_path / 'own/test/bird/000.png').unlink()
  (tmp_path / 'own/test/bird').rmdir()
  (tmp_path / 'own/train/ant').mkdir()
  with pytest.raises(ValueError, match='own/train/ant has no pictures'):
    load(tmp_path)
  (tmp_path / 'own/train/ant').rename(tmp_path / 'own/val')
  with pytest.raises(ValueError, match='own has a folder val beside train'):
    load(tmp_path)
  write(tmp_path / 'two/validation/cat', pixels(1, 6, 5, 3))
  with pytest.raises(
    ValueError, match='has a folder validation, but no .*train'
  ):
    load(tmp_path, 'two')
  write(tmp_path / 'one/cat', pixels(9, 6, 5, 3))
  with pytest.raises(ValueError, match='has 9 pictures of 1 classes'):
    load(tmp_path, 'one')
  write(tmp_path / 'one/dog', pixels(3, 6, 5, 3)[:1])
  with pytest.raises(ValueError, match='too few images: .* for validation'):
    load(tmp_path, 'one', (0.98, 0.01, 0.01))


X, Y = pixels(4, 2, 2), np.arange(4)


@pytest.mark.parametrize(
  'arrays, message',
  [
    ({'x': X}, r'has the arrays \(x\); it needs x_train and y_train'),
    ({'x_train': X / 255, 'y_train': Y}, 'x_train is float64 .* must be uint8'),
    ({'x_train': X[0], 'y_train': Y[:2]}, r'x_train is uint8 \[2, 2\]'),
    (
      {'x_train': np.zeros((4, 2, 2, 0), np.uint8), 'y_train': Y},
      r'x_train is uint8 \[4, 2, 2, 0\]; .* none of them 0',
    ),
    ({'x_train': X[:, :0], 'y_train': Y}, r'x_train is uint8 \[4, 0, 2\]'),
    ({'x_train': X[:, :, :0], 'y_train': Y}, r'x_train is uint8 \[4, 2, 0\]'),
    ({'x_train': X, 'y_train': Y[:3]}, 'y_train is int64 .* each of the 4'),
    ({'x_train': X, 'y_train': Y / 2}, 'y_train is float64'),
    ({'x_train': X, 'y_train': Y - 1}, 'has the label -1'),
    (
      {'x_train': X, 'y_train': Y, 'x_test': X[:, :1], 'y_test': Y},
      'x_test has images of',
    ),
    ({'x_train': np.array([None]), 'y_train': Y}, 'x_train cannot be read'),
    ({'x_train': X, 'y_train': Y, 'x_test': X}, 'has x_test, but no y_test'),
    ({'x_train': X, 'y_train': Y, 'x_val': X}, 'has an array x_val; its parts'),
    ({'x_train': X, 'y_train': Y + 1}, 'label 4, but y_train has none of 0'),
    (
      {'x_train': X, 'y_train': Y, 'x_test': X, 'y_test': Y + 1},
      'y_test has the label 4, but y_train has none of 4',
    ),
  ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, arrays, message):
  np.savez(tmp_path / 'own.npz', **arrays)
  with pytest.raises(ValueError, match=message) as error:
    load(tmp_path, 'own.npz')
  assert str(tmp_path / 'own.npz') in str(error.value)


def test_a_damaged_file_of_arrays_is_named(tmp_path):
  for content in (b'', b'PK no zip'):
    (tmp_path / 'own.npz').write_bytes(content)
    with pytest.raises(ValueError, match=r'own\.npz is a damaged archive'):
      load(tmp_path, 'own.npz')


def test_an_array_under_the_name_of_an_archive_is_named(tmp_path):
  np.save(tmp_path / 'own.npy', X)
  (tmp_path / 'own.npy').rename(tmp_path / 'own.npz')
  with pytest.raises(ValueError, match=r'own\.npz is a damaged archive'):
    load(tmp_path, 'own.npz')


def test_only_the_arrays_of_images_are_unpacked(tmp_path, monkeypatch):
  path, images = tmp_path / 'own.npz', pixels(50, 4, 4)
  labels = np.arange(50)
  size = images.nbytes + labels.nbytes + 256  # with the headers
  monkeypatch.setattr(own_images, 'LARGEST_NPZ', size)
  np.savez_compressed(
    path, x_train=images, y_train=labels, notes=np.zeros(10**5)
  )
  assert len(load(tmp_path, 'own.npz')['train']['label']) == 40
  monkeypatch.setattr(own_images, 'LARGEST_NPZ', size - 257)
  with pytest.raises(ValueError, match=r'own\.npz has arrays of more than'):
    load(tmp_path, 'own.npz')


@pytest.mark.parametrize(
  'error, wanted',
  [(OSError(24, 'Too many open files'), OSError), (IndexError(), ValueError)],
)
def test_a_picture_is_damaged_only_if_its_content_is(
  error, wanted, tmp_path, parts, monkeypatch
):
  def fail(path):
    raise error

  monkeypatch.setattr(Image, 'open', fail)
  with pytest.raises(wanted):
    load(tmp_path)


def test_a_changed_picture_of_the_same_size_and_date_is_read(tmp_path, parts):
  paths = [tmp_path / f'own/train/{name}/000.bmp' for name in ('cat', 'dog')]
  for path, shade in zip(paths, (10, 20), strict=True):  # of equal size
    Image.new('RGB', (5, 6), (shade,) * 3).save(path)
  before, times = load(tmp_path), paths[0].stat()
  paths[0].write_bytes(paths[1].read_bytes())
  os.utime(paths[0], ns=(times.st_atime_ns, times.st_mtime_ns))
  assert paths[0].stat().st_size == times.st_size
  assert rows(load(tmp_path)['train']) != rows(before['train'])


def test_a_file_that_is_no_archive_is_named(tmp_path):
  (tmp_path / 'own').write_bytes(b'text')
  with pytest.raises(ValueError, match='own is neither a folder of images'):
    load(tmp_path)
