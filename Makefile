# Everything runs in a virtual environment of its own; PYTHON chooses what makes it.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
# What `make bench` runs the other libraries with.
PEER_PYTHON ?= $(BIN)/python
# A folder with more scripts of other libraries, timed too.
PEER_SCRIPTS ?=
ROWS ?=
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
DEV = $(VENV)/.installed-dev
SERVE = $(VENV)/.installed-serve
NOTEBOOKS = $(VENV)/.installed-notebooks
DOCS = $(VENV)/.installed-docs

export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help install bench demo playground test slow browser notebooks docs lint format clean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## Make the virtual environment and install the package

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	    "Python 3.11 to 3.13 is needed, %s is %d.%d: give another with make PYTHON=..." % (sys.executable, *v))'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(SERVE): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[serve]'
	@touch $@

$(NOTEBOOKS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[notebooks]'
	@touch $@

$(DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

demo: $(INSTALLED)  ## Show samples of a trained flow; train one on embedded data, evaluate, export, reload
	@$(BIN)/python scripts/demo.py --out runs/demo

playground: $(SERVE)  ## Serve shipped flows with a page to play with
	@$(BIN)/python scripts/playground.py

bench: $(INSTALLED)  ## Time all rows; PEER_PYTHON=PATH has the peers, ROWS="train vector" chooses
	@$(BIN)/python -m benchmarks.run --peer_python $(PEER_PYTHON) \
	    $(if $(PEER_SCRIPTS),--peer_scripts $(PEER_SCRIPTS)) $(if $(ROWS),--rows $(ROWS))

test: $(DEV)  ## Run the tests (the slow ones apart)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(TESTS)

slow: $(DEV)  ## Run the slow tests
	$(BIN)/python -m pytest -m slow --numprocesses $(WORKERS) --durations 10 $(TESTS)

browser: $(DEV)  ## Try the playground in headless Chromium, which apt installs where it may
	@command -v chromedriver >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	    apt-get install -y --no-install-recommends chromium chromium-driver
	$(BIN)/python -m pytest -m slow -rs tests/test_browser.py

notebooks: $(NOTEBOOKS)  ## Run the notebooks from top to bottom, in place
	$(BIN)/python scripts/run_notebooks.py

docs: $(DOCS)  ## Build the documentation in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir site

lint: $(DEV)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV)  ## Put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment, caches and runs of the demo
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache .mypy_cache runs/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
