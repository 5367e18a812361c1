# The only list of commands. `make demo` and `make test` work in a fresh clone; PYTHON names the interpreter.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-slow test-data test-engine test-fuzz bench lint clean
install: .venv/installed          ## the package and its tools into .venv
demo: install                     ## train on Korean film reviews and look at the result
	$(BIN)/recurra demo
test: .venv/developing            ## the fast tests, under three minutes
	$(BIN)/python -m pytest -n auto
test-slow: .venv/developing       ## kills and resumes runs, runs the README; minutes
	$(BIN)/python -m pytest -n auto -m "slow and not data"
test-data: .venv/developing       ## on the real data sets, where they are; minutes
	$(BIN)/python -m pytest -n auto -m data
test-engine:                      ## the C++ engine by itself, plain and under the sanitizers
	for s in "" address,undefined thread; do cmake -S . -B build/tests -DRECURRA_TESTS=ON -DRECURRA_SANITIZE=$$s && cmake --build build/tests --parallel 2 && ctest --test-dir build/tests --output-on-failure || exit 1; done
test-fuzz: .venv/developing       ## damaged files, folders, checkpoints and commands; SECONDS=1200 SEED=1 for more
	RECURRA_FUZZ_SECONDS=$(or $(SECONDS),240) RECURRA_FUZZ_SEED=$(or $(SEED),0) $(BIN)/python -m pytest -n auto -m fuzz tests/fuzz
bench: .venv/measuring            ## our layers against torch's and ONNX Runtime's, figures and picture; minutes
	$(BIN)/recurra bench --out benchmarks/results/recurrence.json --plot docs/images/benchmark.svg
lint: .venv/developing            ## style, types, import direction
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/lint-imports
clean:                            ## what the other commands made
	rm -rf .venv build dist recurra-demo recurra-demo.training

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@
.venv/measuring: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	touch $@
.venv/developing: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,bench]"
	touch $@
