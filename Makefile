# The two commands: `make demo` and `make test`. Each makes its own virtual environment first.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
RUN ?= runs/demo
JOBS ?= auto

.PHONY: demo test quick slow soak older-stack lint bench clean

$(VENV)/installed: setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@

# An interrupted demo continues where it stopped.
demo: $(VENV)/installed
	$(BIN)/python docs/maps.py --out $(RUN)/photos.png
	$(BIN)/python -m dmenet_tf.train --preset demo --run $(RUN) \
	    $$(test -f $(RUN)/config.json && echo --resume)
	$(BIN)/python docs/maps.py --weights $(RUN) --out $(RUN)/compared.png

# A test that takes 15 minutes hangs: it fails, with the stacks of all threads, and the rest goes on.
test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal \
	    -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true

# The tests that neither train nor start processes.
quick: $(VENV)/installed
	$(BIN)/python -m pytest -m "not slow and not soak and not older_stack and not process" -n $(JOBS) --dist worksteal

# Proofs that take minutes.
slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

# The embedded server at full load for 20 minutes.
soak: $(VENV)/installed
	$(BIN)/python -m pytest -m soak -s

# TensorFlow 2.15 and 2.16, each in an environment of its own, and what they exchange with this one.
older-stack: $(VENV)/installed
	$(BIN)/python -m pytest -m older_stack tests/test_stacks.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(VENV)/installed
	for name in train_step scaling render inference serving shipped; do \
	    $(BIN)/python -m tests.benchmarks.$$name || exit 1; done

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
