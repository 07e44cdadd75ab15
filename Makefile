# Everything installs into ./.venv first, when that is older than pyproject.toml or constraints.txt.
PYTHON ?= python3
PROFILE ?= cpu
ONLY ?=
PYTEST_ARGS ?=
VERIFY_ROWS ?= 1
VERIFY_SECONDS ?= 100
VERIFY_SEED ?= 20261128
PORT ?= 8000

BIN := .venv/bin
INSTALLED := .venv/.installed
RUN := $(BIN)/python experiments/run.py
RENDER := $(BIN)/jupyter-book build book --config _config.yml --path-output . -W -n --keep-going
VERIFY := $(BIN)/python -W ignore::FutureWarning experiments/verify.py --seed $(VERIFY_SEED)
TESTS := $(BIN)/python -m pytest -n auto --dist worksteal

# One thread a process, whatever the environment holds: tests and notebooks start processes of their own.
override export OMP_NUM_THREADS := 1
override export MKL_NUM_THREADS := 1
override export OPENBLAS_NUM_THREADS := 1

.PHONY: help book sphinx verify pdf test slow coverage smoke same-bytes rerun bench gpu serve lint clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

# The book comes first: whatever fails, it is rendered from what is stored, and once more with the table of what was reproduced.
book: $(INSTALLED) ## build the book in _build/html from the stored rows, then compute a sample of them again (VERIFY_SEED=today: another)
	@status=0; \
	$(RUN) --profile cpu --jobs 0 --keep-going || status=1; \
	$(RENDER) || status=1; \
	$(VERIFY) --rows $(VERIFY_ROWS) --seconds $(VERIFY_SECONDS) || status=1; \
	$(RENDER) --quiet || status=1; \
	exit $$status

sphinx: $(INSTALLED) ## render the book in _build/sphinx by plain Sphinx, without jupyter-book
	$(BIN)/sphinx-build -q -W -n --keep-going -d _build/doctrees book _build/sphinx

verify: $(INSTALLED) ## compute a sample of the stored values again as on three other kinds of processors
	$(VERIFY) --rows 2 --dear 0.5 --seconds 900 --kernels sse avx2 two-threads --report build/verification_kernels.json

pdf: $(INSTALLED) ## print the built book to _build/zen-nas-measured.pdf, with Chromium
	$(BIN)/python book/print_book.py _build/html _build/zen-nas-measured.pdf

test: $(INSTALLED) ## run the tests, a process for each core; PYTEST_ARGS="-k zen" for some of them
	$(TESTS) -m "not slow" $(PYTEST_ARGS)

slow: $(INSTALLED) ## run the tests marked slow, which prove something only when they are long
	$(TESTS) -m slow $(PYTEST_ARGS)

coverage: $(INSTALLED) ## run all tests and show which lines they reach
	$(TESTS) --cov=zenlib --cov=experiments --cov-branch --cov-report=term:skip-covered $(PYTEST_ARGS)

smoke: $(INSTALLED) ## execute every notebook small, in build/smoke, from nothing
	$(RUN) --profile smoke --fresh --keep-going --jobs 0

same-bytes: $(INSTALLED) ## execute every notebook as on an older processor; name files that differ from the book's
	$(BIN)/python experiments/same_bytes.py

rerun: $(INSTALLED) ## compute missing rows and execute notebooks: PROFILE=gpu ONLY="zen_score"
	$(RUN) --profile $(PROFILE) --keep-going $(if $(ONLY),--only $(ONLY))

bench: $(INSTALLED) ## speed and memory: Monte Carlo against the released procedure, closed form, search, start
	for what in score closed_form search start; do $(BIN)/python experiments/speed/$$what.py || exit 1; done

gpu: $(INSTALLED) ## measure the library on a GPU in eight minutes; the rows go to the chapter on devices
	$(BIN)/python experiments/speed/gpu.py

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
