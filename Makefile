# make demo and make test share one environment, .venv, which the first of them sets up.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test clean

help:
	@echo "make demo   continual learning with compressed latent replay on generated spoken digits: a few minutes,"
	@echo "            ends with a table and a picture"
	@echo "make test   ruff, mypy and the fast tests"
	@echo "make clean  remove the environment and what the tools and the demo left behind"
	@echo
	@echo "The first of demo and test sets up an environment in $(VENV) with $(PYTHON) (another: make demo PYTHON=...)."

demo: $(READY)
	@echo "==> Demo: python -m benchmarks demo"
	@$(VENV)/bin/python -m benchmarks demo

test: $(READY)
	@echo "==> Lint: ruff check"
	@$(VENV)/bin/ruff check .
	@echo "==> Layout: ruff format --check"
	@$(VENV)/bin/ruff format --check .
	@echo "==> Types: mypy --strict"
	@$(VENV)/bin/mypy
	@echo "==> Tests: pytest (without the slow ones)"
	@$(VENV)/bin/python -m pytest

clean:
	rm -rf $(VENV) build demo *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

# Runs again when pyproject.toml changed, or when the last attempt did not get to its end.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "avalanche_snn needs Python 3.10 or newer, which $(PYTHON) is not. Try: make PYTHON=/path/to/python3 ..." >&2; \
		exit 1; }
	@$(VENV)/bin/python -m pip --version > /dev/null 2>&1 || { \
		echo "==> Creating the environment $(VENV)"; \
		$(PYTHON) -m venv $(VENV); }
	@# Editable installs from a pyproject.toml alone began with pip 21.3.
	@$(VENV)/bin/python -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (21, 3))' || \
		$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@echo "==> Installing avalanche_snn and what it needs into $(VENV): once, some minutes, about 6 GB"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test,docs]'
	@touch $@
