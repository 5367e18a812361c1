"""The command line. Heavy libraries are imported inside the commands, so that `--help` is quick."""

from __future__ import annotations

import os
import sys

from recurra.errors import RecurraError

from .app import app
from .console import fail


def main() -> None:
    """Runs a command and ends the process with the exit code that the outcome has.

    0 ok, 1 failure, 2 usage, 3 data, 4 model folder, 5 no device or engine, 130 interrupted.
    """
    try:
        app()
    except RecurraError as error:
        fail(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("RECURRA_DEBUG"):
            raise
        fail(
            f"{type(error).__name__}: {error}\n"
            "this is a fault of Recurra itself; RECURRA_DEBUG=1 before the command shows where it happened"
        )
        sys.exit(1)
