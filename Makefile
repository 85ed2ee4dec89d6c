# Two commands do everything from a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/pip --disable-pip-version-check
PACKED := pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/kernel/*)

.PHONY: demo test lint types unit slow docs setup clean

demo: $(STAMP)
	$(BIN)/qdllm demo

test: lint types docs unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# One thread a process: two test processes share two cores.
unit: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2

slow: $(STAMP)
	$(BIN)/pytest -q --override-ini addopts=--import-mode=importlib tests/slow

# The site of the documentation, in site/.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

setup: $(STAMP)

# PyTorch comes first and exactly: asked for by a range, pip brings several GB of CUDA packages.
$(STAMP): $(PACKED)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "qdllm needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q torch==2.13.0
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	$(BIN)/qdllm inspect --engine
	touch $@

clean:
	rm -rf site $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
