# Everything starts here: `make demo` and `make test` set up what they need, without root.
# Works with GNU make on Linux and macOS (3.81 too).

PYTHON ?= python3
VENV ?= .venv
# Where torch comes from, if not from pip's own configuration: see "CPU-only torch" in README.md.
TORCH_INDEX ?=
PYTEST_ARGS ?=

BIN := $(VENV)/bin
CONSTRAINTS := requirements/constraints.txt
SET_UP := $(VENV)/.set-up
WARM := $(VENV)/.warm
BUNDLE := efficientnet-lite0-rpi4.edge
PHOTOGRAPH := photograph.png

.PHONY: help setup demo test lint typecheck unit wheel clean

help:
	@echo "make setup      a virtual environment in $(VENV) with everything"
	@echo "make demo       press EfficientNet-Lite0 for the Raspberry Pi 4, run it on a photograph, profile it here"
	@echo "make test       lint, types and tests (PYTEST_ARGS='-m slow' selects others)"
	@echo "make lint typecheck unit    the three parts of make test"
	@echo "make wheel      source distribution and wheel in dist/"
	@echo "make clean      remove what make made, the environment too"

setup: $(SET_UP) $(WARM)

$(SET_UP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "edgepress needs Python 3.11 or newer, and $(PYTHON) is not; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv "$(VENV)"; \
	elif $(PYTHON) -c 'import pip' 2>/dev/null; then \
	  $(PYTHON) -m venv --without-pip "$(VENV)" && $(PYTHON) -m pip --python "$(BIN)/python" install pip; \
	else \
	  echo "$(PYTHON) can make no virtual environment; install python3-venv (Debian, Ubuntu) or name another: make PYTHON=..." >&2; exit 1; \
	fi
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --index-url "$(TORCH_INDEX)" --constraint $(CONSTRAINTS) "torch==2.13.*")
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --editable ".[build,train,profile,serve,dev]"
	@touch $@

# The cross compiler builds each target's C library once; do it now, so that no build waits for it.
$(WARM): $(SET_UP)
	$(BIN)/python -c "from edgepress.targets import load_target; from edgepress.targets.compilers.zig import \
	  warm_toolchain; warm_toolchain(load_target('rpi4'))"
	@touch $@

demo: setup
	$(BIN)/edgepress build --target rpi4 -o $(BUNDLE)
	$(BIN)/python examples/python/photograph.py $(PHOTOGRAPH)
	$(BIN)/edgepress run $(BUNDLE) $(PHOTOGRAPH)
	$(BIN)/edgepress profile $(BUNDLE)

test: lint typecheck unit

lint: setup
	$(BIN)/ruff check .

typecheck: setup
	$(BIN)/mypy

unit: setup
	$(BIN)/python -m pytest $(PYTEST_ARGS)

wheel: setup
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf "$(VENV)" build dist edgepress.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f $(BUNDLE) $(PHOTOGRAPH)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
