"""The XML of IAM-OnDB: the strokes in the file of a line of handwriting."""

from xml.etree import ElementTree

import numpy as np


def parse(content: bytes, path: str) -> list[np.ndarray]:
  """Returns the strokes of a line's file: readings [n, 3] of x, y and seconds.

  Raises:
    ValueError: the file has another form; `path` and the place are named.
  """
  try:
    root = ElementTree.fromstring(content)
  except (ElementTree.ParseError, LookupError, ValueError) as error:
    # The last two are raised for an encoding that is unknown or unsupported.
    raise ValueError(f'{path} is not well-formed XML: {error}.') from error
  sets = root.findall('StrokeSet')
  if root.tag != 'WhiteboardCaptureSession' or len(sets) != 1:
    raise ValueError(
      f'{path}: expected a WhiteboardCaptureSession with one StrokeSet, found '
      f'{root.tag} with {len(sets)}.'
    )
  found = [_stroke(stroke, k, path) for k, stroke in enumerate(sets[0], 1)]
  if sum(map(len, found)) < 2:
    raise ValueError(f'{path} has fewer than two points.')
  return found


def _stroke(stroke: ElementTree.Element, k: int, path: str) -> np.ndarray:
  """Returns the readings [n, 3] of the k-th stroke of a file."""
  if stroke.tag != 'Stroke' or not len(stroke):
    raise ValueError(
      f'{path}: expected stroke {k} to be a Stroke with points, found '
      f'{stroke.tag} with {len(stroke)}.'
    )
  readings: list[tuple[float, float, float]] = []
  try:
    for point in stroke:
      if point.tag != 'Point':
        raise ValueError(f'it is a {point.tag}')
      x, y, time = (point.attrib[key] for key in ('x', 'y', 'time'))
      readings.append((float(x), float(y), float(time)))
  except (KeyError, ValueError) as error:
    found = f'it has no {error}' if isinstance(error, KeyError) else error
    raise ValueError(
      f'{path}: point {len(readings) + 1} of stroke {k} must be a Point with '
      f'the numbers x, y and time; {found}.'
    ) from error
  array = np.array(readings)
  if not np.isfinite(array).all():
    raise ValueError(f'{path}: stroke {k} has a number that is not finite.')
  return array
