# Every path is relative on purpose: a clone may lie under a path with spaces.
SHELL := /bin/sh
PYTHON ?= python3
ARGS ?=
SEED ?= 1
EVENTS ?= 100000
ROWS ?= 100000
SUBSCRIPTIONS ?= 5000

interpreters := 3.11 3.12 3.13
# Tests start hundreds of processes: each would compile all modules again.
export PYTHONDONTWRITEBYTECODE :=

venv := .venv
run := $(venv)/bin/python
locked := $(venv)/.locked
ready := $(venv)/.ready
uv_compile = $(run) -m uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	$(UPGRADE)

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-cov test-all test-long release chaos mutants bench bench-plots lint lint-code lint-format lint-types format sql lock fuzz audit clean

help: ## show this list
	@echo 'subscription-sync, for people who work on it. The first target sets up .venv by itself.'
	@echo
	@sed -n 's/^\([a-z.][a-z.-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHON=python3.12   the interpreter to build .venv from (3.11 to 3.13)'
	@echo '  ARGS="-k word -x"   more arguments for pytest (make test) or for demo and bench'

demo: $(ready) ## the whole story on this machine: webhook, drift, report, repair, report
	@$(run) -m sandbox.demo $(ARGS)

test: $(ready) ## every test: unit, integration (real PostgreSQL), e2e (real processes)
	@$(run) -m pytest --numprocesses 4 --dist worksteal $(ARGS)

test-unit: $(ready) ## the pure decisions and the house rules: seconds
	@$(run) -m pytest --numprocesses 2 tests/unit $(ARGS)

test-cov: $(ready) ## every test, and which lines of the product none of them runs
	@$(run) -m pytest --numprocesses 4 --dist worksteal --cov --cov-report=term $(ARGS)

test-all: ## every test on each promised interpreter of this machine (4 minutes each)
	@.ci/test-all $(interpreters)

test-long: $(ready) ## more cases of what make test holds in a few (3 minutes)
	@$(run) -m pytest --numprocesses 4 --dist worksteal -m long $(ARGS)

release: $(ready) ## whether version, changelog, tags and tree agree; names the commands, changes nothing
	@$(run) -m sandbox.release

bench: $(ready) ## what it costs, beside budgets and yardsticks (10 minutes); ROWS=1000000 ARGS="bulk"
	@$(run) -m sandbox.bench --rows $(ROWS) $(ARGS)

bench-plots: $(ready) ## docs/bench-*.svg, drawn from what make bench left in bench.json
	@$(run) -m sandbox.bench --plots $(ARGS)

chaos: $(ready) ## 100,000 events under kill -9, crashes and faults, judged; SEED=2 EVENTS= SUBSCRIPTIONS=
	@$(run) -m sandbox.chaos --json chaos-$(SEED).json --seed $(SEED) --events $(EVENTS) \
		--subscriptions $(SUBSCRIPTIONS) $(ARGS)

mutants: $(ready) ## switch each rule off in a copy and see which test notices; ARGS="--only WORD"
	@$(run) -m tests.mutants $(ARGS)

lint: lint-code lint-format lint-types ## ruff, ruff format, mypy --strict: changes nothing

lint-code: $(ready)
	@echo 'ruff check'
	@$(run) -m ruff check .

lint-format: $(ready)
	@echo 'ruff format --check'
	@$(run) -m ruff format --check .

lint-types: $(ready)
	@echo 'mypy'
	@$(run) -m mypy

format: $(ready) ## let ruff put files in order
	@$(run) -m ruff check --fix-only --quiet .
	@$(run) -m ruff format .

sql: $(ready) ## write tests/sql anew: every statement as text, for whoever reviews the change
	@$(run) -m tests.sql

lock: $(ready) ## write the five requirements locks anew; UPGRADE=--upgrade takes newer versions
	@$(uv_compile) --output-file requirements.lock pyproject.toml
	@$(uv_compile) --output-file requirements-dev.lock --extra dev pyproject.toml
	@$(uv_compile) --output-file requirements-build.lock --group build
	@$(uv_compile) --output-file requirements-fuzz.lock --group fuzz
	@$(uv_compile) --output-file requirements-audit.lock --group audit

fuzz: $(ready) .fuzz/.locked ## decoder and signature header, coverage-guided; SECONDS=600 in all, SEED=1
	@PYTHONPATH=.fuzz/tools $(run) -m tests.fuzz --seconds $(or $(SECONDS),600) --seed $(or $(SEED),1)

audit: .venv-audit/.locked ## known vulnerabilities in what is shipped and used, secrets in the tree
	@.venv-audit/bin/python sandbox/audit.py

clean: ## remove .venv and every cache
	rm -rf $(venv) .venv-* .fuzz build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The interpreter is checked first, because pip's own words for a wrong one are hard to read.
$(locked): requirements-dev.lock
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; v in "$(interpreters)".split() or sys.exit("One of Python $(interpreters) is needed, but $(PYTHON) is " + v + ". Name another: make PYTHON=python3.12")'
	@echo 'Setting up $(venv) from requirements-dev.lock (once; about a minute)'
	@$(PYTHON) -m venv --clear $(venv)
	@$(run) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements-dev.lock
	@touch $@

$(ready): $(locked) pyproject.toml
	@$(run) -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation --editable .
	@touch $@

# Without dependencies, so it lies beside the other packages; never built from source (needs clang).
.fuzz/.locked: requirements-fuzz.lock $(locked)
	@$(run) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: --no-deps --upgrade --target .fuzz/tools -r requirements-fuzz.lock
	@touch $@

# What judges the dependencies does not share its own with them.
.venv-audit/.locked: requirements-audit.lock
	@$(PYTHON) -m venv --clear .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements-audit.lock
	@touch $@
