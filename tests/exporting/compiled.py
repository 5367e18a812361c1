"""Compiles C files and runs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np

STRICT = [
    "-std=c99",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-Wconversion",
    "-Wshadow",
    "-Wdouble-promotion",
]
MAIN = r"""
#include <stdio.h>
#define @P_DECLARATIONS
#include "@p.c"
int main(void) {
    float x[@P_INPUTS], y[@P_OUTPUTS];
    @p_state state;
    @p_start(&state@begin);
    while (fread(x, sizeof *x, @P_INPUTS, stdin) == @P_INPUTS) {
        @p_step(&state, x, y);
        fwrite(y, sizeof *y, @P_OUTPUTS, stdout);
    }
    return 0;
}
"""


def compile(*command: str | os.PathLike[str]) -> None:
    """Runs a compiler, and shows its messages if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def run_steps(
    path: Path, x: np.ndarray, *command: str, emulator: tuple[str, ...] = (), begin: int | None = None
) -> np.ndarray:
    """Compiles a C file of `recurra.export` with a program in another file, and runs the steps of a sequence."""
    main, program = path.with_name("main.c"), path.with_name("program")
    time = "" if begin is None else f", INT64_C({begin})"
    main.write_text(
        MAIN.replace("@begin", time).replace("@p", path.stem).replace("@P", path.stem.upper()), encoding="utf-8"
    )
    compile(*command, *STRICT, path, main, "-o", program, "-lm")
    given = np.ascontiguousarray(x, np.float32).tobytes()
    done = subprocess.run([*emulator, program], input=given, capture_output=True, check=True, timeout=60)
    return np.frombuffer(done.stdout, np.float32).reshape(len(x), -1)
