"""Compares the runs of `make demo`, and says what to try next.

  python -m examples.demo runs/demo

The folder holds the runs of NAMES, and in each of them the output of
evaluate.py in `test.json`.
"""

import json
import os
import pathlib
import sys

from hyper.runs.folder import load_config
from hyper.tasks.char_lm import CharLM

NAMES = {
  'hyperlstm': 'HyperLSTM with layer norm, 192 units',
  'ln_lstm': 'LSTM of the same size with layer norm',
  'lstm': 'LSTM of the same size',
}
NEXT = (
  "-m hyper.generate text --workdir={0}/hyperlstm --prompt='The '",
  "-m hyper.figures weight_change --workdir={0}/hyperlstm --text='a = [x]'",
  'train.py --config=configs/iam_hyperlstm.py:embedded --workdir={0}/pen',
)


def unigram_bpc(workdir: pathlib.Path) -> float:
  """Returns the score of character frequencies alone on the test text."""
  config = load_config(str(workdir))
  return CharLM(config, 'data', str(workdir)).unigram_bpc('test')


def main(folder: pathlib.Path) -> None:
  """Prints the comparison, the pictures, and three commands."""
  python = os.path.relpath(sys.executable)
  print('\nBits per character on the test text; lower is better:')
  for run, name in NAMES.items():
    scores = json.loads((folder / run / 'test.json').read_text('utf-8'))
    print(f'  {scores["bpc"]:.3f}  {name}')
  print(f'  {unigram_bpc(folder / "lstm"):.3f}  unigram entropy')
  print('\nPictures:')
  for name in ('weight_change.png', 'curves.png'):
    print(f'  {folder / name}')
  print('\nNext:')
  for command in NEXT:
    print(f'  {python} {command.format(folder)}')


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]))
