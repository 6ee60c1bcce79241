# Every target does its own set-up: the first call makes .venv from the lock file.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is missing or older than 3.11; name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@echo "installing into .venv, 1 to 3 minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

.PHONY: install demo up test slow faults soak bench bench-check check lock help
install: $(READY)  ## make .venv and install everything into it from the lock
demo: install      ## start everything, deliver events, show what landed and the audit
	@$(BIN)/kvitto demo
up: install        ## serve on this machine until Ctrl-C
	@$(BIN)/kvitto up
test: install      ## pass all tests
	@tests/prepare
	$(BIN)/python -m pytest -n 4 --dist worksteal
slow: install      ## pass the tests that wait for minutes in real time
	$(BIN)/python -m pytest -m slow
faults: install    ## break every part under load, account for every delivery (about 20 min)
	$(BIN)/python -m tests.faults
soak: install      ## break parts at random for MINUTES (60), account for every delivery
	$(BIN)/python -m tests.faults --soak $(or $(MINUTES),60) --deliveries 50000
bench: install     ## measure beside yardsticks on this machine, about an hour (OPTIONS="--only accept --pairs 3", or --quick)
	$(BIN)/python -m benchmarks $(OPTIONS)
bench-check: install  ## compare ratios to yardsticks with those kept, in under two minutes
	$(BIN)/python -m benchmarks --check
check: install     ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry app workers config
lock: install      ## write the lock files anew from pyproject.toml: all of it, and what the image installs and is built with
	$(COMPILE) --all-extras --upgrade --output-file requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --output-file requirements.runtime.lock pyproject.toml
	echo hatchling | $(COMPILE) --constraint requirements.lock --output-file requirements.build.lock -
help:              ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14
