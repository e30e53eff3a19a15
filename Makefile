# Two commands matter: `make lab` opens the course, `make test` checks it. Both set up what they
# need the first time. Works with GNU Make 3.81 and newer.
#   PYTHON=python3.12   the interpreter that makes the virtual environment
#   PORT=9999           where `make lab` serves
#   PIP_ARGS=…          more options for pip, for example another package index
#   JOBS=4              how many tests run side by side; one core and about 3 GiB each

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
JOBS ?= 2
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL := help
.PHONY: help lab test test-all lint course notebooks bench bench-gpu clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

lab: $(VENV)/.reader ## set up and open JupyterLab on lesson 00
	@$(PY) -m labkit lab

test: lint $(VENV)/.models ## set up, check style, types and layers, run the tests and every lesson
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist worksteal

test-all: $(VENV)/.models ## what takes longer: the browser, kills, hostile files, rehearsals
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist worksteal -m "slow or browser"

lint: $(VENV)/.installed ## check style, formatting, types and layers
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet . || \
		{ echo "Some files are not formatted; run: $(PY) -m ruff format ."; exit 1; }
	@$(PY) -m mypy --no-error-summary
	@mkdir -p build && $(VENV)/bin/lint-imports --no-cache > build/imports.txt || \
		{ cat build/imports.txt; exit 1; }

course: $(VENV)/.models ## run every lesson here, write build/html; goes on after a stop (ARGS=--again: anew)
	@$(PY) -m labkit.authoring.notebooks course $(ARGS)

notebooks: $(VENV)/.models ## rebuild the notebooks whose source changed
	@$(PY) -m labkit.authoring.notebooks build

bench: $(VENV)/.models ## run the benchmarks and record them
	@$(PY) -m labkit bench ingest

bench-gpu: $(VENV)/.installed ## measure training steps on this CUDA card (ARGS="--minutes 8")
	@$(PY) -m labkit bench gpu $(ARGS)

clean: ## remove what the other targets made here (models stay in the cache)
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	@rm -rf build labkit.egg-info .hypothesis .pytest_cache .ruff_cache .mypy_cache
	@find labkit tests notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-type d -prune -exec rm -rf {} +

# The virtual environment; made anew when its interpreter is gone (after an upgrade of Python).
GONE := $(shell test -x "$(PY)" || rm -f "$(VENV)/.made")
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is missing or older than 3.11; try: make PYTHON=python3.11"; exit 1; }
	@echo "Making a virtual environment in $(VENV) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.made
	@echo "Installing the pinned packages (2 GB or more; minutes the first time) …"
	@$(PIP) install $(PIP_ARGS) -c constraints.txt --upgrade pip
	@$(PIP) install $(PIP_ARGS) -c constraints.txt -e ".[lab,test,docs]"
	@touch $@

$(VENV)/.models: $(wildcard labkit/catalogue.py) $(VENV)/.installed
	@echo "Fetching the two small models (180 MB the first time) …"
	@$(PY) -m labkit fetch
	@touch $@

# The larger reader, where the machine has 8 GiB; the lessons run without it, too.
$(VENV)/.reader: $(VENV)/.models
	@$(PY) -m labkit fetch --suited || echo "The lessons run without it; labkit doctor says what is missing."
	@touch $@
