# The commands of this checkout. `make help` lists them; each leaves nothing running.
# In `test`: a process that a test kills may leave half a data file; combine says so and goes on.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench docs clean

CORE := .venv/bin/python
DEV := .venv-dev/bin
CORE_FILES := src/concura/errors.py,src/concura/limits.py,src/concura/types.py,src/concura/canonical.py,src/concura/sealing/*,src/concura/ledger/*,src/concura/records/*,src/concura/imaging/*,src/concura/sharing/*,src/concura/learning/*,src/concura/research/*,src/concura/surveillance/*,src/concura/decisions/*
ARGS ?=

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-7s %s\n", $$1, $$2}' Makefile

setup: ## make .venv (the product) and .venv-dev (what tests and lint need)
	@deploy/setup.sh core
	@deploy/setup.sh dev

demo: ## play the whole story with a hub and four hospitals; ARGS="--lang zh" passes options
	@deploy/setup.sh core
	@exec $(CORE) -m concura demo $(ARGS)

test: ## run every test and check the coverage; ARGS="-k envelope" passes options to pytest
	@deploy/setup.sh dev
	@$(DEV)/coverage erase
	$(DEV)/coverage run -m pytest $(ARGS)
	@$(DEV)/coverage combine --quiet
	@if [ -z "$(ARGS)" ]; then \
	  echo "Coverage of the core (at least 95 %):" && \
	  $(DEV)/coverage report --include='$(CORE_FILES)' --fail-under=95 && \
	  echo "Coverage outside the core (at least 85 %):" && \
	  $(DEV)/coverage report --omit='$(CORE_FILES)' --fail-under=85; fi

lint: ## check style, format, types and the layers
	@deploy/setup.sh dev
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/mypy examples
	$(DEV)/lint-imports

bench: ## measure: installation first, then every other benchmark
	@deploy/setup.sh dev
	$(DEV)/python benchmarks/install.py
	@for file in benchmarks/*.py; do case $$file in benchmarks/install.py) ;; *) \
	  echo "$$file" && $(DEV)/python $$file || exit 1 ;; esac; done

docs: ## check that the documents are true: links, tables, blocks, both languages
	@deploy/setup.sh dev
	$(DEV)/python -m pytest -q tests/test_docs.py tests/test_words.py

clean: ## remove what these commands made
	rm -rf .venv .venv-dev .cache .coverage .coverage.* htmlcov dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
