# The only list of commands. `make demo` and `make test` work in a fresh clone; PYTHON names the interpreter.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-slow test-data lint clean
install: .venv/installed          ## the package and its tools into .venv
demo: install                     ## train on Korean film reviews and look at the result
	$(BIN)/recurra demo
test: .venv/developing            ## the fast tests, under three minutes
	$(BIN)/python -m pytest
test-slow: .venv/developing       ## kills and resumes runs, runs the README; minutes
	$(BIN)/python -m pytest -m "slow and not data"
test-data: .venv/developing       ## on the real data sets, where they are; minutes
	$(BIN)/python -m pytest -m data
lint: .venv/developing            ## style, types, import direction
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/lint-imports
clean:                            ## what the other commands made
	rm -rf .venv build dist recurra-demo recurra-demo.training

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@
.venv/developing: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@
