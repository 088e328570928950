# Each target sets up what it needs. PYTHON chooses another interpreter (3.11 or
# newer), VENV another folder for its environment, for example
# `make test PYTHON=python3.13 VENV=.venv313`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := runs/demo
# As many parameters as the HyperLSTM has.
LSTM := --config.model.cell.units=228

.PHONY: demo test test-all test-lowest docs clean

demo: $(VENV)/run
	@echo 'Trains a HyperLSTM and two LSTMs of as many parameters (331,000) on the Python'
	@echo 'manual: about six minutes on two cores. Interrupted, it can be run again.'
	$(BIN)/python train.py --config=configs/ptb_hyperlstm.py:embedded --workdir=$(RUN)/hyperlstm
	$(BIN)/python train.py --config=configs/ptb_lstm.py:embedded $(LSTM) --workdir=$(RUN)/lstm
	$(BIN)/python train.py --config=configs/ptb_lstm.py:embedded $(LSTM) --config.model.cell.layer_norm --workdir=$(RUN)/ln_lstm
	for run in hyperlstm lstm ln_lstm; do \
	  $(BIN)/python evaluate.py --workdir=$(RUN)/$$run > $(RUN)/$$run/test.json || exit; \
	done
	$(BIN)/python -m hyper.generate text --workdir=$(RUN)/hyperlstm --length=400 --temperature=0.7
	$(BIN)/python -m hyper.figures weight_change --workdir=$(RUN)/hyperlstm --output=$(RUN)/weight_change.png
	$(BIN)/python -m hyper.figures curves --workdir=$(RUN)/hyperlstm --workdir=$(RUN)/lstm --workdir=$(RUN)/ln_lstm --output=$(RUN)/curves.png
	@$(BIN)/python -m examples.demo $(RUN)

# Style, types, and all tests that are not slow, with the docstrings' examples.
test: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -n 2 -m 'not slow' -rs --durations=15

# Those, and what is slow or needs more packages or a network: links to the web
# are followed. -rs names what is skipped: the tests of Ray, unless
# `$(BIN)/python -m pip install -e '.[ray]'` was run before, and those of several
# devices, a quarter of an hour or more, unless HYPER_TEST_DEVICES is set.
test-all: test docs
	$(BIN)/python -m pytest -n 2 -m slow -rs --durations=15

# `make test` with the lowest versions that requirements.txt allows.
test-lowest: $(VENV)-lowest/dev
	$(VENV)-lowest/bin/python -m pytest -n 2 -m 'not slow' -rs

# The site, in site/. Strict: a warning, such as of a broken link between pages, is
# an error.
docs: $(VENV)/docs
	$(BIN)/sphinx-build -q -W --keep-going -c docs . site
	@echo 'The site is in site/index.html.'

$(VENV)/run: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/dev: $(VENV)/run pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

$(VENV)/docs: $(VENV)/dev
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

$(VENV)-lowest/dev: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest \
	  --resolution lowest-direct -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest $(RUN) build site
