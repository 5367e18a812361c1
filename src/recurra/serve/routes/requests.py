"""Reading of requests and writing of responses, the same for all addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from recurra.serve.problems import Problem, problem_of_validation
from recurra.serve.server import Server

T = TypeVar("T")

JSON = "application/json"
NDJSON = "application/x-ndjson"

encode = msgspec.json.Encoder().encode


class JsonResponse(Response):
    """A response with JSON values."""

    media_type = JSON

    def render(self, content: Any) -> bytes:
        """Returns the bytes of the body."""
        return content if isinstance(content, bytes) else encode(content)


class StreamedResponse(StreamingResponse):
    """A response in pieces that calls `release` when it ended, was cut off or never began."""

    def __init__(self, pieces: AsyncIterator[bytes], release: Callable[[], None], **options: Any) -> None:
        super().__init__(pieces, **options)
        self._release = release

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Sends the pieces."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


def server_of(request: Any) -> Server:
    """Returns the server of a request or a WebSocket."""
    return request.app.state.server


def media_type(request: Request) -> str:
    """Returns the content type without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(receive: Any) -> bytes:
    """Reads the body of a request.

    Raises:
        ClientDisconnect: the client left.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return message.get("body", b"")
    parts = []
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise ClientDisconnect


async def read_json(request: Request, allowed: tuple[str, ...] = (JSON,)) -> Any:
    """Reads a JSON body.

    Raises:
        Problem: the content type is another one (415), or the body is not JSON (400).
    """
    kind = media_type(request)
    if kind not in allowed:
        raise Problem(415, f"the content type must be {' or '.join(allowed)}, not {kind or 'missing'}")
    return parse_json(await request.body())


def parse_json(data: bytes | str) -> Any:
    """Parses JSON.

    Raises:
        Problem: the text is not JSON.
    """
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise Problem(400, f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise Problem(400, "the JSON of the body is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not valid UTF-8: {error.reason} at byte {error.start}") from None


async def read_record(request: Request, kind: type[T]) -> T:
    """Reads a JSON body as a record; an empty body is a record of defaults.

    Raises:
        Problem: see `read_json`; or the values do not fit the record (422, with the path).
    """
    body = await request.body()
    if not body:
        return convert({}, kind)
    return convert(await read_json(request), kind)


def convert(value: Any, kind: type[T], *, strict: bool = True) -> T:
    """Converts JSON values to a record.

    Raises:
        Problem: the values do not fit (422, with the path).
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise problem_of_validation(error) from None
    except RecursionError:
        raise Problem(400, "the JSON of the body is nested too deeply") from None


def query_options(request: Request, kind: type[T]) -> T:
    """Reads options from the query, such as `?proba=true&top=3`.

    Raises:
        Problem: an option is unknown or out of its range.
    """
    values: Mapping[str, Any] = dict(request.query_params)
    return convert(values, kind, strict=False)
