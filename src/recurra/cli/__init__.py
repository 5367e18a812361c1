"""The command line. Heavy libraries are imported inside the commands, so that `--help` is fast."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from functools import partial
from typing import Any

from recurra._util.language import language_of_environment, use_language
from recurra.errors import RecurraError

from .app import app
from .support.console import fail, say
from .support.streams import checked


def main() -> None:
    """Runs a command and ends the process with its exit code.

    0 ok, 1 failure, 2 usage, 3 data, 4 model folder, 5 no device or engine, 130 interrupted.
    """
    use_language(language_of_environment())
    try:
        with checked(), warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, show=warnings.showwarning)
            app(prog_name="recurra")
    except RecurraError as error:
        _end(str(error), error.exit_code)
    except Exception as error:
        if os.environ.get("RECURRA_DEBUG"):
            raise
        _end(_of_the_machine(error) or _of_the_program(error), 1)


def _show_warning(message: Any, category: type[Warning], *place: Any, show: Any) -> None:
    """Shows a warning of the package without the place in its code."""
    if category is UserWarning:
        say(f"warning: {message}")
    else:
        show(message, category, *place)


def _end(message: str, code: int) -> None:
    try:
        with checked():
            fail(message)
    except MemoryError:  # even coloured output needs memory
        os.write(2, f"error: {message}\n".encode())
    sys.exit(code)


def _of_the_machine(error: Exception) -> str | None:
    """Returns the message for an error of the machine or the operating system; None for any other error."""
    number = error.errno if isinstance(error, OSError) else None
    said = "" if number else str(error).partition("\n")[0]
    signs = any(sign in said.lower() for sign in _OUT_OF_MEMORY)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or signs:
        hint = "close other programs, or use less data, a smaller --batch-size or a smaller --hidden-size"
        return f"there is not enough memory{f' ({said})' if said else ''}\n{hint}"
    if isinstance(error, OSError) and number:
        return f"{error.filename or 'the operating system reports'}: {os.strerror(number)}"
    return None


_OUT_OF_MEMORY = (
    *("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory"),
    *("failed to map segment", "can't start new thread", "resource temporarily unavailable", "std::bad_alloc"),
)
"""Messages of torch, the loader of shared libraries and others for a failed allocation."""


def _of_the_program(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {error}\n"
        "this is a fault of Recurra itself; RECURRA_DEBUG=1 before the command shows where it happened"
    )
