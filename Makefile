# `make train` and `make test` do everything on a fresh machine; `make help` lists the rest.
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev train test check quick slow format docs clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.installed  ## create .venv with what training needs

setup-dev: $(VENV)/.installed-dev  ## the same with tests, lint and types

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# What pip --quiet does for minutes.
INSTALLING := @echo "installing into $(VENV); torch is large: some minutes"

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALLING)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALLING)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALLING)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

train: setup  ## train the default experiment; make train ARGS='buffer.k=8 seed=3' for another
	$(PY) -m her_exp.train $(ARGS)

check: setup-dev  ## lint and types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

test: check  ## lint, types and all tests but the slow ones
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

quick: setup-dev  ## the tests that start no process and train nothing: a minute
	$(PY) -m pytest -n 2 -m 'not heavy and not slow' $(ARGS)

slow: setup-dev  ## all slow tests: learning, kills, launchers, 1,500 random commands: hours
	$(PY) -m pytest -m slow $(ARGS)

format: setup-dev  ## put the code into shape
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

docs: $(VENV)/.installed-docs  ## build the documentation into site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet $(ARGS)

clean:  ## remove the environment and caches; outputs/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site
