# Everything installs into ./.venv first, when that is older than pyproject.toml or constraints.txt.
PYTHON ?= python3
PROFILE ?= cpu
ONLY ?=
PYTEST_ARGS ?=
VERIFY_ROWS ?= 3
VERIFY_SECONDS ?= 60
PORT ?= 8000

BIN := .venv/bin
INSTALLED := .venv/.installed
RUN := $(BIN)/python experiments/run.py

.PHONY: help book pdf test coverage smoke rerun bench serve lint clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

book: $(INSTALLED) ## execute the notebooks from the stored rows, recompute a sample of them, build _build/html
	$(RUN) --profile cpu --verify-rows $(VERIFY_ROWS) --verify-seconds $(VERIFY_SECONDS)
	$(BIN)/jupyter-book build book --config _config.yml --path-output . -W -n --keep-going

pdf: $(INSTALLED) ## print the built book to _build/zen-nas-measured.pdf, with Chromium
	$(BIN)/python book/print_book.py _build/html _build/zen-nas-measured.pdf

test: $(INSTALLED) ## run the tests; PYTEST_ARGS="-k zen" for some of them
	$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: $(INSTALLED) ## run the tests and show which lines they reach
	$(BIN)/python -m pytest --cov=zenlib --cov=experiments --cov-branch --cov-report=term:skip-covered $(PYTEST_ARGS)

smoke: $(INSTALLED) ## execute every notebook small, in build/smoke, from nothing
	$(RUN) --profile smoke --fresh --keep-going

rerun: $(INSTALLED) ## compute missing rows and execute notebooks: PROFILE=gpu ONLY="zen_score"
	$(RUN) --profile $(PROFILE) --keep-going $(if $(ONLY),--only $(ONLY))

bench: $(INSTALLED) ## speed and memory of the score against the released procedure
	$(BIN)/python experiments/speed/score.py

serve: ## show the built book at http://localhost:8000
	$(PYTHON) -m http.server --directory _build/html $(PORT)

lint: $(INSTALLED) ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean: ## remove what was built and cached; results and .venv stay
	rm -rf build _build .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "needed Python 3.11 or newer, got $$($(PYTHON) --version); name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "needed Python's venv module: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[book,train,distributed,dev]'
	@touch $@
