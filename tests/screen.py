"""A pseudo-terminal, and what a person would see on it."""

import contextlib
import fcntl
import os
import re
import struct
import termios
import tty

CODE = re.compile(r'\x1b\[([?\d;]*)([A-Za-z])')


class Screen:
  """A terminal of one colour.

  Attributes:
    stream: writes on it.
  """

  def __init__(self, stream, master):
    self.stream, self._master, self._written = stream, master, b''

  def raw(self):
    """Everything that has been written so far."""
    self.stream.flush()
    with contextlib.suppress(BlockingIOError):
      while data := os.read(self._master, 2**16):
        self._written += data
    return self._written.decode()

  def lines(self):
    """The lines that are visible now."""
    return seen(self.raw())


@contextlib.contextmanager
def terminal(columns=80):
  """Opens a pseudo-terminal as a `Screen`."""
  master, slave = os.openpty()
  size = struct.pack('HHHH', 24, columns, 0, 0)
  fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
  tty.setraw(slave)
  os.set_blocking(master, False)
  with os.fdopen(slave, 'w') as stream:
    yield Screen(stream, master)
  os.close(master)


def seen(text):
  """Returns the lines that a screen shows for a text with control codes."""
  screen, row, column = [''], 0, 0
  while text:
    if code := CODE.match(text):
      text = text[code.end() :]
      if code[2] == 'A':
        row -= int(code[1] or 1)
      elif code[2] == 'K':
        screen[row] = '' if code[1] == '2' else screen[row][:column]
      continue
    letter, text = text[0], text[1:]
    if letter == '\r':
      column = 0
    elif letter == '\n':
      row, column = row + 1, 0
      screen += [''] * (row + 1 - len(screen))
    else:
      line = screen[row].ljust(column)
      screen[row] = line[:column] + letter + line[column + 1 :]
      column += 1
  return [line.rstrip() for line in screen]
