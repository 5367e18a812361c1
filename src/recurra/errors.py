"""The project's exceptions: each says what was wrong, where, and what to do, and carries its exit code."""

from __future__ import annotations


class RecurraError(Exception):
    """Base of every error a user can cause or mend; the command line prints it without a traceback."""

    exit_code = 1


class UsageError(RecurraError, ValueError):
    """A call whose arguments do not fit together."""

    exit_code = 2


class DataError(RecurraError, ValueError):
    """Input data that cannot be read or used; the message names the file, line and column where known.

    Args:
        message: what is wrong, where, and what to do.
        row: the row of the data, counted from 0, for callers who know which line of a file that is.
    """

    exit_code = 3

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class ModelFolderError(RecurraError):
    """A model folder that is missing, damaged, or written by a newer version."""

    exit_code = 4


class NonFiniteError(RecurraError, ArithmeticError):
    """A network gives NaN or infinite values, so a model has no answer."""

    exit_code = 4


class EngineError(RecurraError, RuntimeError):
    """No engine or device can serve the call; the message lists every refusal."""

    exit_code = 5
