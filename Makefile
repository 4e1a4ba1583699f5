# Everything runs from a fresh clone: each target installs what it needs under .relearn/ first.
PYTHON ?= python3
VENV := .relearn/venv/bin
DATA ?=
HOST ?= local
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help demo run test test-faults test-mutants test-soak bench check package adf-evaluator clean
.PHONY: setup setup-bench setup-dev setup-check
.DEFAULT_GOAL := help

help:  ## these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: setup  ## a model goes live, files are scored, drift retrains, the better model takes over (DATA=folder: your files)
	@$(VENV)/python -m local demo $(if $(DATA),--data "$(DATA)")

run: setup  ## the cloud on your machine, until Ctrl-C (HOST=func runs the app in Core Tools instead)
	@$(VENV)/python -m local run --host $(HOST)

test: setup setup-check  ## every test: unit, contracts, scenarios, crashes, end to end
	@$(VENV)/python -m tests.fresh_environment
	@$(VENV)/python -m tests

test-soak: setup  ## 10,000 files while processes are killed and storage fails: minutes; the result is .relearn/soak.json
	@$(VENV)/python -m tests.soak

test-faults: setup  ## every fault on every route; `make test` leaves out half of them (seven minutes or more)
	@FAULT_MATRIX=whole $(VENV)/python -m pytest tests/faults

test-mutants: setup  ## plants faults of one line in copies of the code: the tests must notice each (some minutes)
	@$(VENV)/python -m tests.mutants

bench: setup setup-bench  ## speed, storage calls, memory, beside their budgets: a quarter of an hour on a quiet machine
	@$(VENV)/python -m benchmarks

check: setup-check  ## format, lint, types, direction of imports, rules file, ML wiring, Bicep
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@PYTHONPATH=. $(VENV)/lint-imports
	@$(VENV)/python -m shared.rules check reactions.yaml --settings local.settings.sample.json
	@$(VENV)/python -m ml.check
	@$(VENV)/python -m infra.check

package: setup-dev  ## .relearn/package.zip: what a deployment uploads
	@$(VENV)/python -m infra.package

adf-evaluator: setup-dev  ## Microsoft's evaluator records its answers to every ADF expression (150 MB, Linux x86-64)
	@$(VENV)/python -m tests.infra.adf_evaluator

setup:  ## installs the tools, the ML environment and Azurite under .relearn/
	@$(PYTHON) -m local.bootstrap

setup-bench:
	@$(PYTHON) -m local.bootstrap bench

setup-dev:
	@$(PYTHON) -m local.bootstrap dev

setup-check:
	@$(PYTHON) -m local.bootstrap dev checkov

clean:  ## removes .relearn/: data, environments, everything that was installed
	rm -rf .relearn
