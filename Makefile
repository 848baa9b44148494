# Two commands for people, and the same ones for CI (.ci/run).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_PROMPT ?= a large yellow star moving right on a navy background

# Torch on few cores is several times faster when its idle threads sleep.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test lint types contracts wheel clean

demo: $(VENV)/installed
	$(BIN)/studio generate --model micro-wan --prompt "$(DEMO_PROMPT)" --output demo.mp4 --force
	$(BIN)/studio verify demo.mp4

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

contracts: $(VENV)/installed-dev
	$(BIN)/lint-imports

wheel: $(VENV)/installed-dev
	$(BIN)/python tests/clean_install.py

$(VENV)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/installed: $(VENV)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo.mp4
