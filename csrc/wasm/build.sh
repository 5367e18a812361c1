#!/bin/sh
# Builds the engine as WebAssembly: `sh csrc/wasm/build.sh FILE`. The same compiler gives the same bytes everywhere.
set -eu
out=$(realpath "$1")
cd "$(dirname "$0")/.."
command -v em++ > /dev/null || { echo "no em++: install Debian's package emscripten" >&2; exit 1; }
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
for source in wasm/interface wasm/serial engine/batch; do
  em++ -std=c++17 -O3 -msimd128 -ffp-contract=off -fno-math-errno -fno-rtti -Wall -Wextra -Werror \
    -Wno-unused-private-field -DRECURRA_ISA=wasm -DRECURRA_VECTOR_BYTES=16 \
    -c "$source.cpp" -o "$objects/$(basename "$source").o"
done
# -O1: Debian's emscripten lacks the JavaScript optimizer, which higher levels start. The objects are optimized already.
em++ -O1 -s STANDALONE_WASM=1 --no-entry -s ALLOW_MEMORY_GROWTH=1 -s MALLOC=emmalloc \
  "$objects/interface.o" "$objects/serial.o" "$objects/batch.o" -o "$objects/engine.wasm"
install -m 644 "$objects/engine.wasm" "$out"
