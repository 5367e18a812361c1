"""Errors of requests, and their JSON form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from recurra.errors import DataError, ModelFolderError, NonFiniteError, RecurraError, UsageError
from recurra.tasks.serving.service import InputError

RETRY_AFTER = 1
"""Seconds after which a client may try again if the server is busy or ends."""


class Problem(Exception):  # noqa: N818  (not every status is an error of the program)
    """An answer to a request that cannot be served.

    Args:
        status: HTTP status.
        message: what is wrong and what to do.
        path: position of a wrong value in the request, such as `("inputs", 3)`.
        retry_after: seconds after which the client may try again; None if trying again does not help.
        details: further keys of the JSON object.
    """

    def __init__(
        self,
        status: int,
        message: str,
        path: Sequence[str | int] | None = None,
        *,
        retry_after: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.path, self.retry_after = status, message, path, retry_after
        self.details = details

    def to_json(self) -> dict[str, Any]:
        """Returns the error as JSON values."""
        found: dict[str, Any] = {"status": self.status, "message": self.message}
        if self.path is not None:
            found["path"] = list(self.path)
        return {"error": found | self.details}

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response besides content type and length."""
        return {} if self.retry_after is None else {"retry-after": str(max(1, math.ceil(self.retry_after)))}


def busy(message: str, status: int = 503) -> Problem:
    """Returns the problem of a server that cannot take more work now."""
    return Problem(status, message, retry_after=RETRY_AFTER)


def problem_of(error: BaseException) -> Problem | None:
    """Returns the problem that an error of a request means; None for an error of the program."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, InputError):
        return Problem(422, str(error), error.path)
    if isinstance(error, NonFiniteError):
        return Problem(422, f"{error}: the values of the input are too large for this model, or its state is damaged")
    if isinstance(error, DataError):
        return Problem(422, str(error), None if error.row is None else ("inputs", error.row))
    if isinstance(error, UsageError):
        return Problem(422, str(error))
    if isinstance(error, ModelFolderError | RecurraError):
        return Problem(503, str(error), retry_after=RETRY_AFTER)
    return None


def problem_of_validation(error: msgspec.ValidationError) -> Problem:
    """Returns the problem of a value that does not fit a record, with its path."""
    message, _, place = str(error).partition(" - at `")
    return Problem(422, message, parse_path(place.rstrip("`")))


def parse_path(text: str) -> list[str | int]:
    """Converts a path of msgspec, such as `$.inputs[0]`, to its parts."""
    found: list[str | int] = []
    for part in text.removeprefix("$").replace("[", ".[").split("."):
        if part.startswith("["):
            inner = part.strip("[]")
            found.append(int(inner) if inner.isdecimal() else inner)
        elif part:
            found.append(part)
    return found
