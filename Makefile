# Sets up and runs everything from a checkout; needs Python 3.11 or later with pip and venv, and make.
# A stamp in .venv stands for each finished step, so that a second run, or one after Ctrl-C, does only what is missing.

PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-input
MINUTES ?= 10
TIMED   = start=$$(date +%s); finish() { echo "   done in $$(($$(date +%s) - start)) s"; }

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup demo test fuzz check faults bench clean

help: ## show this page
	@echo "Tokenyard: a queue for LLM jobs. Targets:"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '%-14s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.stamp-demo $(VENV)/.stamp-tokenyard ## make .venv with everything a yard needs

demo: setup ## set up, start a yard, run the main job on it, stop
	@$(VENV)/bin/tokenyard demo

test: $(VENV)/.stamp-test $(VENV)/.stamp-tokenyard ## set up and run the tests
	@echo "== running the tests, on servers of their own"
	@$(VENV)/bin/python -m pytest

fuzz: $(VENV)/.stamp-test $(VENV)/.stamp-tokenyard ## property tests with new seeds: MINUTES=10, TESTS= all
	@echo "== property tests with new seeds for $(MINUTES) minutes; what fails is kept in tests/examples"
	@$(VENV)/bin/python -m tests.fuzz $(MINUTES) $(TESTS)

check: $(VENV)/.stamp-test $(VENV)/.stamp-tokenyard ## lint, format, types and the house's walls
	@echo "== ruff, mypy, import-linter"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

faults: $(VENV)/.stamp-test $(VENV)/.stamp-tokenyard ## kill and freeze things under load, and count what was lost
	@$(VENV)/bin/python -m tests.faults

bench: $(VENV)/.stamp-test $(VENV)/.stamp-tokenyard ## measure throughput and overhead
	@$(VENV)/bin/python -m benchmarks

clean: ## stop the yard; remove .venv, the yard's data and all caches
	@if [ -x $(VENV)/bin/tokenyard ]; then $(VENV)/bin/tokenyard down --erase; fi
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Tokenyard needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." \
			"Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@$(TIMED); $(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON) -m venv' failed: install Python's venv and pip (on Debian and Ubuntu: python3-venv)"; exit 1; } && \
		touch $@ && finish

$(VENV)/.stamp-%: requirements/%.lock $(VENV)/.stamp-venv
	@echo "== installing requirements/$*.lock, every file checked against its hash"
	@$(TIMED); $(PIP) --require-hashes -r $< && touch $@ && finish

$(VENV)/.stamp-tokenyard: pyproject.toml requirements/run.in | $(VENV)/.stamp-venv
	@echo "== installing Tokenyard itself, editable"
	@$(TIMED); $(PIP) --no-deps --no-build-isolation --editable . && touch $@ && finish
