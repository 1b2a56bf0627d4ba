# make demo | test | check | bench  -- each installs what it needs into .venv, from nothing.
.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak lock format tools clean distclean

ARGS ?=
export PYTHON

SOURCES := guard adapters policies sdk tests benchmarks scripts
# What compiled parts are made from: they are built with the environment, and again when one of these changes.
COMPILED := setup.py $(shell find guard adapters policies -name '*.pyx' -o -name '*.px[di]') \
  $(wildcard $(patsubst %.pxd,%.py,$(shell find guard adapters policies -name '*.pxd')))

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 18

demo: .venv/.ready-run ## a minute of falling market, two bots, one of them guarded; ARGS="--suppress", "--seed 7" ...
	@.venv/bin/perpguard demo $(ARGS)

test: .venv/.ready-dev tools ## all tests; ARGS="tests/guard -x" for some of them
	@.venv/bin/python scripts/test.py $(ARGS)

check: .venv/.ready-dev ## lint, format, types, import contracts, lock
	@.venv/bin/ruff check $(SOURCES) setup.py
	@.venv/bin/ruff format --check $(SOURCES) setup.py
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/python scripts/lock.py --check && echo "lock: in step"

bench: .venv/.ready-dev ## all benchmarks, JSON into .cache/benchmarks; ARGS="--quick book"
	@.venv/bin/python -m benchmarks $(ARGS)

soak: .venv/.ready-dev tools ## half an hour of everything going wrong, then 100,000 examples of the command protocol; ARGS="--only-protocol"
	@.venv/bin/python -m tests.soak $(ARGS)

format: .venv/.ready-dev ## put the sources in their one format
	@.venv/bin/ruff check --fix-only --quiet $(SOURCES) setup.py
	@.venv/bin/ruff format $(SOURCES) setup.py

lock: ## make the lock files anew from pyproject.toml; ARGS=--upgrade for newest versions
	@python=$$(sh scripts/python.sh) && "$$python" scripts/lock.py $(ARGS)

tools: ## system programs that tests need: with apt where root, else unpacked into .tools
	@sh scripts/tools.sh

clean: ## remove what running made
	@rm -rf .cache .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist var
	@find guard adapters policies sdk tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove the environments and unpacked programs
	@rm -rf .venv .venv-peers .tools perpguard.egg-info sdk/perpguard_sdk.egg-info
	@find guard adapters policies -name '*.so' -delete

# A stamp is newer than everything that its environment was made from. The development environment
# holds all that the other has, so after it the other is ready too.
.venv/.ready-run: pyproject.toml sdk/pyproject.toml requirements.lock scripts/install.sh $(COMPILED)
	@sh scripts/install.sh run
	@touch $@

.venv/.ready-dev: pyproject.toml sdk/pyproject.toml requirements-dev.lock scripts/install.sh $(COMPILED)
	@sh scripts/install.sh dev
	@touch .venv/.ready-run $@
