# The only list of commands. `make demo` and `make test` work in a fresh clone; PYTHON names the interpreter.
PYTHON ?= python3
BIN := .venv/bin
# the compilers of `make test-engine`: GCC from version 11, Clang from 14 (the newest that is installed)
GCC ?= g++
CLANG ?= $(notdir $(lastword $(shell ls /usr/bin/clang++ /usr/bin/clang++-[0-9]* 2>/dev/null | sort -V)))

.PHONY: install demo test test-slow test-cluster test-data test-engine test-fuzz test-mutation bench wasm wheel lint docs clean
install: .venv/installed          ## the package and its tools into .venv
demo: install                     ## train on Korean film reviews and look at the result
	$(BIN)/recurra demo
test: .venv/developing            ## the fast tests, under three minutes
	$(BIN)/python -m pytest -n auto
test-slow: .venv/developing       ## kills and resumes runs, runs the README; minutes
	$(BIN)/python -m pytest -n auto -m "slow and not data and not cluster"
test-cluster: .venv/developing    ## several processes and Ray, in network namespaces; minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m cluster
test-data: .venv/developing       ## on the real data sets, where they are; minutes
	$(BIN)/python -m pytest -n auto -m data
test-engine:                      ## the C++ engine by itself: GCC and Clang, plain and under the sanitizers; Arm; WebAssembly
	@command -v $(firstword $(CLANG) clang++) || { echo "no clang++: install Clang 14 or newer, or name it: make test-engine CLANG=…"; exit 1; }
	sh csrc/tests/run.sh $(GCC) $(CLANG)
test-fuzz: .venv/developing       ## damaged files, folders, checkpoints and commands; SECONDS=1200 SEED=1 for more
	RECURRA_FUZZ_SECONDS=$(or $(SECONDS),240) RECURRA_FUZZ_SEED=$(or $(SEED),0) $(BIN)/python -m pytest -n auto -m fuzz tests/fuzz
test-mutation: .venv/mutating     ## changes the code at random places; the fast tests must notice. SECONDS=3600 SEED=1 for more
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutation/run.py --seed $(or $(SEED),0) $(if $(SECONDS),--seconds $(SECONDS),--seconds 180 --mutants 36)
bench: .venv/measuring            ## our layers against torch's and ONNX Runtime's, figures and picture; minutes
	$(BIN)/recurra bench --out benchmarks/results/recurrence.json --plot docs/images/benchmark.svg
wasm:                             ## the engine as WebAssembly, by Debian's emscripten 3.1.6; its bytes are committed
	sh csrc/wasm/build.sh src/recurra/exporting/web/engine.wasm
	cd src/recurra/exporting/web && sha256sum engine.wasm > ../../../../csrc/wasm/engine.wasm.sha256
wheel: .venv/packaging            ## a wheel in dist/ for other machines, tested where no compiler is found. TESTS=tests/nn for fewer
	rm -rf build/wheel && mkdir -p dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m auditwheel repair --wheel-dir dist build/wheel/recurra-*.whl
	sh csrc/test_wheel.sh $(PYTHON) $$(ls -t dist/recurra-*.whl | head -1) $(TESTS)
lint: .venv/developing            ## style, types, import direction
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $$(find csrc -name '*.h' -o -name '*.cpp')
docs: .venv/documenting           ## the documentation, into build/site; every warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
clean:                            ## what the other commands made
	rm -rf .venv build dist recurra-demo recurra-demo.training

.venv/installed: pyproject.toml constraints.txt
	@echo "installing, and compiling the C++ engine: some minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@$(BIN)/python -c "from recurra.ops.native import bindings; print('native engine:', bindings.absent or 'built')"
	touch $@
.venv/measuring: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	touch $@
.venv/developing: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,bench,cluster]"
	touch $@
.venv/packaging: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[wheel]"
	touch $@
.venv/documenting: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@
.venv/mutating: .venv/developing
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,bench,cluster,mutation]"
	touch $@
