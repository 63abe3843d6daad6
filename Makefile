# `make demo` runs the main job, `make test` the tests; each makes its own environment first.

PYTHON ?= $(shell sh .ci/find-python)
VENV ?= .venv
BIN := $(VENV)/bin
WORKDIR ?= runs/demo
SEEDS ?= 0

export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test slow forms parity lint format constraints clean

demo: $(VENV)/.plots
	$(BIN)/python -m experiments.desk --workdir=$(WORKDIR) --seeds $(SEEDS) $(ARGS)

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow

# Training held against closed forms, as far as it takes less than three minutes.
forms: $(VENV)/.dev
	$(BIN)/python -m experiments.closed_form --check --fast

# Against transformers on torch, whose tested build is for Python 3.11; and the heart of the library under that Python.
parity:
	$(MAKE) VENV=.venv-parity PYTHON="$$(sh .ci/find-python 3.11)" .venv-parity/.parity
	.venv-parity/bin/python -m pytest -q -n 2 -m parity
	.venv-parity/bin/python -m pytest -q -n 2 --ignore=tests/losses/test_every_loss.py tests/losses tests/test_ops.py tests/test_optim.py tests/test_train.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Each stamp file stands for an installed set of extras.
$(VENV)/.%: setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "prefjax needs Python 3.11 or newer on the PATH"; exit 2; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .$(if $(filter core,$*),,[$*]) -c constraints.txt
	touch $@

# Freezes the environments of `make test` and `make parity`, which have to exist.
constraints:
	mkdir -p .cache
	.venv-parity/bin/python -m pip freeze --exclude-editable > .cache/old.txt
	$(BIN)/python -m pip freeze --exclude-editable > .cache/new.txt
	python3 .ci/constraints .cache/old.txt .cache/new.txt > constraints.txt

clean:
	rm -rf .venv .venv-parity .cache runs build *.egg-info
