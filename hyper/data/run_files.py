"""Small text files that a run keeps of its data: a vocabulary, a scale."""

import os


def write(workdir: str, name: str, text: str) -> None:
  """Writes a file into a run folder, whole or not at all."""
  os.makedirs(workdir, exist_ok=True)
  path = os.path.join(workdir, name)
  with open(path + '.partial', 'w', encoding='utf-8') as file:
    file.write(text)
  os.replace(path + '.partial', path)
