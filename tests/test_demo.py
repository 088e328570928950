"""The summary that `make demo` prints at its end."""

import json
import pathlib

from configs import ptb_lstm
from examples import demo
from hyper.runs.folder import save_config
from hyper.tasks import make_task


def test_it_compares_and_names_files_and_commands(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  folder = pathlib.Path('runs')
  for name, bpc in (('lstm', 3.0), ('ln_lstm', 2.75), ('hyperlstm', 2.5)):
    workdir = folder / name
    workdir.mkdir(parents=True)
    config = ptb_lstm.get_config('embedded')
    make_task(config, 'data', str(workdir))  # keeps the vocabulary
    save_config(str(workdir), config)
    (workdir / 'test.json').write_text(json.dumps({'bpc': bpc}))
  demo.main(folder)
  printed = capsys.readouterr().out
  lines = printed.splitlines()
  scores = [float(line.split()[0]) for line in lines[2:6]]
  assert scores[:3] == [2.5, 2.75, 3.0] and 4 < scores[3] < 6
  assert 'LSTM of the same size' in lines[4]
  assert '  runs/curves.png' in lines
  assert sum('python' in line for line in lines) == len(demo.NEXT) == 3
  assert '--workdir=runs/pen' in lines[-1]
