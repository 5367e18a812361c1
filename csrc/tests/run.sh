#!/bin/sh
# Builds and runs the engine's tests with each compiler of the arguments, for Arm in qemu, and as WebAssembly in node.
set -eu
cd "$(dirname "$0")/../.."
need() {  # a program, the Debian package that has it
  command -v "$1" > /dev/null || { echo "no $1: install Debian's package $2" >&2; exit 1; }
}
need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
need qemu-aarch64 qemu-user
need em++ emscripten
need node nodejs

run() {  # a name, options of cmake
  echo "== $1"
  folder=build/tests-$1
  shift
  cmake -S . -B "$folder" -DRECURRA_TESTS=ON "$@" > /dev/null
  cmake --build "$folder" --parallel 2
  ctest --test-dir "$folder" --output-on-failure
}
for compiler in "$@"; do
  run "$compiler" -DCMAKE_CXX_COMPILER="$compiler"
  run "$compiler-address" -DCMAKE_CXX_COMPILER="$compiler" -DRECURRA_SANITIZE=address,undefined
  # races between threads do not depend on the instruction set
  run "$compiler-thread" -DCMAKE_CXX_COMPILER="$compiler" -DRECURRA_SANITIZE=thread -DRECURRA_ISAS=baseline
done
run arm -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  "-DCMAKE_CROSSCOMPILING_EMULATOR=$(command -v qemu-aarch64);-L;/usr/aarch64-linux-gnu"
# without fetch: emscripten would take node for a browser
run wasm -DCMAKE_TOOLCHAIN_FILE="$(dirname "$(realpath "$(command -v em++)")")/cmake/Modules/Platform/Emscripten.cmake" \
  "-DCMAKE_CROSSCOMPILING_EMULATOR=$(command -v node);--no-experimental-fetch"
