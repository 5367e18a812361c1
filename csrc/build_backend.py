"""The build backend: scikit-build-core with messages about the compilation.

If the C++ engine cannot be compiled, the package is installed without it and uses the other engines. pip shows the
output of a build only with `-v`, so the messages are also written to the terminal. The output of a failed build is
installed for `recurra doctor`.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import scikit_build_core.build as scikit
from scikit_build_core.build import *  # noqa: F403  the other hooks of PEP 517

MOST = 100_000  # characters of the output of a failed build that are installed
COMPILING = "Recurra: compiling the C++ engine; this takes 1 to 5 minutes (pip install -v shows the progress)"
FAILED = "Recurra: the C++ engine was not built; torch's slower kernels serve. `recurra doctor` repeats this error:"


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Builds a wheel, without the engine if it cannot be compiled."""
    return _build(scikit.build_wheel, wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Builds an editable wheel, without the engine if it cannot be compiled."""
    return _build(scikit.build_editable, wheel_directory, config_settings, metadata_directory)


def _build(build: Callable[..., str], folder: str, settings: Any, metadata: str | None) -> str:
    def with_log(log: str) -> dict[str, Any]:
        return {**(settings or {}), "cmake.define.RECURRA_BUILD_LOG": log}

    _tell(COMPILING)
    with tempfile.TemporaryDirectory() as kept:
        log = Path(kept) / "build.txt"
        try:
            with _output_copied(log):
                return build(folder, with_log(""), metadata)
        except SystemExit:
            output = log.read_text(encoding="utf-8", errors="replace")
        error = runpy.run_path("src/recurra/ops/native/build_report.py")["first_error"](output)
        begin = max(0, output.find(error[:40]) - 2000)
        log.write_text(output[begin : begin + MOST], encoding="utf-8")
        name = build(folder, with_log(log.as_posix()), metadata)
        _tell(f"{FAILED}\n  {error}")
        return name


def _tell(message: str) -> None:
    """Writes a message to the output of the build and, where pip hides that, to the terminal."""
    print(message, flush=True)
    with contextlib.suppress(OSError):
        if not os.isatty(1):
            Path("/dev/tty").write_text(f"\n{message}\n", encoding="utf-8")


@contextlib.contextmanager
def _output_copied(path: Path) -> Iterator[None]:
    """Copies the standard output and standard error of this process and its children to a file."""
    real = os.dup(1), os.dup(2)
    end, begin = os.pipe()

    def copy() -> None:
        with path.open("wb") as file:
            while some := os.read(end, 1 << 16):
                file.write(some)
                os.write(real[0], some)

    copying = threading.Thread(target=copy)
    copying.start()
    sys.stdout.flush(), sys.stderr.flush()
    os.dup2(begin, 1), os.dup2(begin, 2)
    os.close(begin)
    try:
        yield
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os.dup2(real[0], 1), os.dup2(real[1], 2)
        copying.join()
        for descriptor in (*real, end):
            os.close(descriptor)
