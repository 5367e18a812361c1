#!/bin/sh
# Installs a wheel in a fresh environment where no compiler is found, and runs tests against it.
# Arguments: the interpreter, the wheel, and what pytest runs.
set -eu
python=$1 wheel=$2
shift 2
environment=$(pwd)/build/wheel/environment tools=$(pwd)/build/wheel/tools
rm -rf "$environment" "$tools"
"$python" -m venv "$environment"

# every program but the compilers
mkdir -p "$tools"
for tool in /usr/bin/* /bin/*; do
  case "${tool##*/}" in
    cc | c++ | cpp | c[89]9* | *gcc* | *g++* | *clang* | cmake | ninja | make) ;;
    *) ln -sf "$tool" "$tools/" ;;
  esac
done
(
  export PATH="$environment/bin:$tools"
  if command -v cc || command -v c++ || command -v cmake; then
    echo "a compiler is still found" >&2
    exit 1
  fi
  python -m pip install --quiet --disable-pip-version-check --only-binary :all: -c constraints.txt "$wheel"
  recurra doctor > "$environment/doctor.txt"
  cat "$environment/doctor.txt"
  python -c 'from recurra.ops.native import bindings; assert not bindings.absent, bindings.absent'
)

"$environment/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$wheel[dev,bench,cluster]"
place=$("$environment/bin/python" -c 'import recurra; print(recurra.__file__)')
case "$place" in "$environment"/*) ;; *) echo "the tests would use $place" >&2 && exit 1 ;; esac
"$environment/bin/python" -m pytest -n auto "$@"
