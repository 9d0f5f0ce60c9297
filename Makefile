# run: the demo · test: everything · check: format, lint, types, architecture · bench: speed
PYTHON ?= python3
PY := .venv/bin/python
JOBS ?= 2

.PHONY: run test check bench install install-dev

run: install
	@exec $(PY) manage.py demo

test: install-dev
	@$(PY) -m scripts.programs
	@$(MAKE) --no-print-directory check
	@$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not alone"
	@exec $(PY) -m pytest -m alone

check: install-dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest tests/test_architecture.py

bench: install-dev
	@exec $(PY) -m bench

install:
	@$(PYTHON) -m scripts.install run

install-dev:
	@$(PYTHON) -m scripts.install dev
