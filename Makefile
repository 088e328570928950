# `make demo` and `make test` set everything up first; PYTHON chooses another
# interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/demo

.PHONY: demo test clean

demo: .venv/run
	$(BIN)/python train.py --config=configs/ptb_hyperlstm.py:embedded --workdir=$(RUN)
	$(BIN)/python evaluate.py --workdir=$(RUN)
	$(BIN)/python -m hyper.generate text --workdir=$(RUN) --length=400 --temperature=0.7
	$(BIN)/python -m hyper.figures curves --workdir=$(RUN)
	@echo
	@echo "The curve is in $(RUN)/curves.png. Next, on Penn Treebank (see hyper/data/README.md):"
	@echo "  $(BIN)/python train.py --config=configs/ptb_hyperlstm.py --workdir=runs/ptb_hyper --data_dir=data"

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -n 2

.venv/run: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/dev: .venv/run pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf .venv $(RUN)
