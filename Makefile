# Each target sets up everything it needs first (seconds when that is done already).
#   make setup | make test | make demo | make lint | make env
# Choices: FRAMEWORK=onedl|openmmlab  TORCH=2.6.0  DEVICE=cpu|cuda  PYTHON=python3.11  MINUTES=60
#          TEST_ARGS='tests/test_ops -k gradcheck'  TEST_JOBS=4

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
MINUTES ?=
TEST_JOBS ?= 2
TEST_ARGS ?=
IN_ENV = $(or $(PYTHON),$(error No Python >= 3.10 found: install one, or name it with PYTHON=)) \
	tools/setup/setup_env.py

export FRAMEWORK TORCH DEVICE VENV FORCE

.PHONY: help setup env test demo lint format
help:
	@sed -n '1,4p' Makefile

setup:
	@$(IN_ENV)

env:
	@$(IN_ENV) --then -m mmdevis.utils.env

# One thread per worker: several workers with several threads each slow one another down.
test: env
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(IN_ENV) --then -m pytest -n $(TEST_JOBS) $(TEST_ARGS)

demo:
	@$(IN_ENV) --then demo/run_demo.py $(if $(MINUTES),--minutes $(MINUTES))

lint:
	@$(IN_ENV) --then -m ruff check .
	@$(IN_ENV) --then -m ruff format --check .

format:
	@$(IN_ENV) --then -m ruff check --fix .
	@$(IN_ENV) --then -m ruff format .
