# Every target does its own set-up: the first call makes .venv from the lock file. PYTHON=python3.12 names the Python
# for it; without, it is the newest on PATH that is suitable, and .venv keeps the one it has.
.DEFAULT_GOAL := help
BIN := .venv/bin
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

.PHONY: install demo up test compat topology chaos slow soak scaling bench bench-check check lock help
install:           ## make .venv and install everything into it from the lock
	@for each in $(BIN)/python python3 python3.14 python3.13 python3.12 python3.11 "$(PYTHON)"; do \
	    "$$each" -c "" 2>/dev/null && exec "$$each" -E -m deploy.install.interpreters "$(PYTHON)" $(MAKECMDGOALS); \
	done; echo "no Python runs here: install one (Debian: apt-get install python3-venv)" >&2; exit 1
demo: install      ## start everything, deliver events, show what landed and the audit
	@$(BIN)/kvitto demo
up: install        ## serve on this machine until Ctrl-C
	@$(BIN)/kvitto up
test: install      ## pass the tests: unit, integration, e2e, browser (6 min)
	@tests/prepare
	$(BIN)/python -m pytest tests/e2e tests/browser tests/integration tests/unit \
	    -n 7 --dist loadfile --no-loadscope-reorder --cov
chaos: install     ## break every part under load, account for every delivery (40 min; OPTIONS="--only redis": a part)
	@tests/prepare
	$(BIN)/python -m tests.chaos $(OPTIONS)
	$(BIN)/python -m pytest -m chaos
slow: install      ## pass the tests that take minutes (8 min)
	$(BIN)/python -m pytest -m slow
soak: install      ## break parts at random for MINUTES (60), account for every delivery
	$(BIN)/python -m tests.chaos --soak $(or $(MINUTES),60) --deliveries 50000
compat: install    ## pass on every supported version of Redis, Valkey and Postgres, behind Sentinel and PgBouncer, beside the release before
	@tests/prepare
	@tests/compat/prepare
	$(BIN)/python -m pytest -m 'not slow' tests/compat tests/e2e/test_failover.py tests/integration/test_failover.py \
	    tests/integration/test_pgbouncer.py tests/integration/test_redis_clients.py
topology: install  ## break hosts, links and servers of twelve hosts under load; as root (15 min; OPTIONS="--only Redis": a part)
	@tests/prepare
	$(BIN)/python -m tests.topology $(OPTIONS)
scaling: install   ## measure what bounds one installation, simulate more hosts, write docs/scaling.md; as root (5 min)
	@tests/prepare
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.forecast --keep
	$(BIN)/python -m tests.topology.drain_rates --keep
bench: install     ## measure beside baselines on this machine, 25 min (OPTIONS="--only accept --pairs 3", or --quick)
	@tests/compat/prepare-otel
	$(BIN)/python -m benchmarks $(OPTIONS)
bench-check: install  ## compare ratios to baselines with those kept, about two minutes
	$(BIN)/python -m benchmarks --check
check: install     ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry app workers config
lock: install      ## write the lock files again from pyproject.toml: all of it, and what the image installs and is built with
	$(COMPILE) --extra embedded --extra oidc --extra bench --extra dev --upgrade --output-file requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --output-file requirements.runtime.lock pyproject.toml
	for extra in oidc otel; do \
	    sed -n "/^$$extra = /,/^]/s/^ *\"\([^\"]*\)\".*/\1/p" pyproject.toml | \
	        $(COMPILE) --constraint requirements.lock --output-file requirements.$$extra.lock - || exit 1; \
	done
	echo hatchling | $(COMPILE) --constraint requirements.lock --output-file requirements.build.lock -
help:              ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14
