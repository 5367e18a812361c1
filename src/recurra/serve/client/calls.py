"""Requests of the clients as values, the same for both clients, and the meaning of the responses."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import msgspec
import numpy as np

from recurra.errors import RecurraError

RETRIED = (429, 502, 503, 504)
"""Statuses after which a request is sent again."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0
"""Seconds before the first repetition, which double each time, and their limit."""


class ServerError(RecurraError):
    """An error that the server reported, or a server that does not answer.

    Args:
        message: message of the server.
        status: HTTP status; 0 if there was no answer.
        path: position of a wrong value in the request, such as `["inputs", 3]`.
        details: the object `error` of the answer.

    Example:
        >>> from recurra.serve import ServerError
        >>> error = ServerError("there is no model 'x'", 404)
        >>> error.status, str(error)
        (404, "there is no model 'x'")
    """

    def __init__(
        self, message: str, status: int = 0, path: Sequence[str | int] = (), details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.path, self.details = status, list(path), dict(details or {})


class Call(NamedTuple):
    """A request.

    Attributes:
        method: HTTP method.
        path: address below that of the server.
        json: body as JSON values; None for no body.
        content: body as bytes.
        raw: True if the answer is bytes, False if it is JSON.
    """

    method: str
    path: str
    json: Any = None
    content: bytes | None = None
    raw: bool = False

    def options(self) -> dict[str, Any]:
        """Returns the arguments of `httpx.Client.build_request`."""
        if self.content is not None:
            return {"content": self.content, "headers": {"content-type": "application/octet-stream"}}
        if self.json is None:
            return {}
        return {
            "content": msgspec.json.encode(self.json, enc_hook=_plain),
            "headers": {"content-type": "application/json"},
        }


def _plain(value: Any) -> Any:
    """Converts arrays and numbers of numpy and torch to JSON values; NaN becomes null."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.generic):
        value = value.item()
        return None if value != value else value
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and np.isnan(value).any():
            missing, value = np.isnan(value), value.astype(object)
            value[missing] = None
        return value.tolist()
    if hasattr(value, "to_pylist"):
        return value.to_pylist()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"values of the type {type(value).__name__} cannot be sent")


def model_path(model: str) -> str:
    """Returns the address of a model."""
    return f"/v1/models/{quote(model, safe='')}"


def session_path(model: str, session: str) -> str:
    """Returns the address of a session."""
    return f"{model_path(model)}/sessions/{quote(session, safe='')}"


def new_name() -> str:
    """Returns a name for a session. The client chooses it, so that a repeated request begins one session only."""
    return secrets.token_urlsafe(15)


def result_of(call: Call, response: httpx.Response) -> Any:
    """Returns the value of a response.

    Raises:
        ServerError: the server reported an error.
    """
    if response.is_success:
        if call.raw:
            return response.content
        return msgspec.json.decode(response.content) if response.content else None
    raise error_of(response.status_code, response.content)


def error_of(status: int, content: bytes) -> ServerError:
    """Returns the error that a response means."""
    try:
        details = msgspec.json.decode(content, type=dict[str, dict[str, Any]])["error"]
        return ServerError(str(details["message"]), status, details.get("path", ()), details)
    except (msgspec.MsgspecError, KeyError):
        return ServerError(f"the server answered with status {status}", status)


def waits(repeats: int) -> Iterator[float]:
    """Yields the seconds to wait before each repetition."""
    for number in range(repeats):
        yield min(FIRST_WAIT * 2**number, LONGEST_WAIT)


def retry_after(response: httpx.Response) -> float:
    """Returns the seconds that the server asks to wait, at most `LONGEST_WAIT`."""
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_WAIT) if text.isdecimal() else 0.0


class Events:
    """Reads the server-sent events of generated text, line by line.

    Attributes:
        ended: True after the last event.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.ended = False

    def pieces(self, line: str) -> Iterator[str]:
        """Yields the piece of text whose event ends with this line, if there is one.

        Raises:
            ServerError: the server reported an error.
        """
        if line:
            self._lines.append(line)
            return
        name, data = event_of(self._lines)
        self._lines = []
        if name == "error":
            raise ServerError(data["error"]["message"], data["error"]["status"])
        self.ended = name == "end"
        if not self.ended:
            yield data["text"]


def event_of(lines: list[str]) -> tuple[str, Any]:
    """Returns name and data of a server-sent event."""
    name, data = "message", ""
    for line in lines:
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            data += value.strip()
    return name, msgspec.json.decode(data) if data else None
