"""Logs on standard error: JSON lines if it is piped, readable lines in a terminal.

They contain no inputs and no keys.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

log = logging.getLogger("recurra.serve")

LOGGERS = ("recurra.serve", "uvicorn")


def configure(json: bool | None = None) -> None:
    """Sends the logs of the server and of uvicorn to standard error.

    Args:
        json: JSON lines or readable lines; None decides by whether standard error is a terminal.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == log.name else logging.WARNING)  # the middleware logs requests


def event(level: int, message: str, *, error: BaseException | None = None, **fields: Any) -> None:
    """Writes a log entry with fields.

    Args:
        level: level of `logging`.
        message: a constant text.
        error: exception whose traceback is added.
        fields: values by name.
    """
    if log.isEnabledFor(level):
        log.log(level, message, exc_info=error, extra={"fields": fields})


class _Entry(NamedTuple):
    """A log entry."""

    created: float
    level: str
    message: str
    fields: dict[str, Any]


def _entry_of(record: logging.LogRecord) -> _Entry:
    return _Entry(record.created, record.levelname, record.getMessage(), dict(getattr(record, "fields", {})))


class RequestLog:
    """Log entries of requests. They are written together, ten times a second: single lines cost a tenth of a request.

    In a terminal each one is written at once.
    """

    PAUSE = 0.1
    """Seconds between two writes."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, dict[str, Any]]] = []
        self._level = logging.INFO

    def add(self, **fields: Any) -> None:
        """Adds the entry of one request, on the event loop."""
        if not log.isEnabledFor(self._level):
            return
        self._entries.append((time.time(), fields))
        if len(self._entries) == 1:
            loop = asyncio.get_running_loop()
            if sys.stderr.isatty():
                loop.call_soon(self.flush)
            else:
                loop.call_later(self.PAUSE, self.flush)

    def flush(self) -> None:
        """Writes the entries."""
        entries, self._entries = self._entries, []
        records = [_Entry(created, "INFO", "request", fields) for created, fields in entries]
        handler = next((h for h in log.handlers if isinstance(h.formatter, JsonFormatter | LineFormatter)), None)
        if not records:
            return
        if isinstance(handler, logging.StreamHandler):
            handler.stream.write(handler.formatter.lines(records))  # type: ignore[union-attr]
            handler.flush()
            return
        for one in records:  # the logging of the user's own server
            log.log(self._level, one.message, extra={"fields": one.fields})


class JsonFormatter(logging.Formatter):
    """Formats an entry as one JSON object."""

    _ENCODER = msgspec.json.Encoder(enc_hook=str)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        entry = _entry_of(record)
        if record.exc_info:
            entry.fields["traceback"] = self.formatException(record.exc_info)
        return self.lines([entry])[:-1]

    def lines(self, entries: Iterable[_Entry]) -> str:
        """Returns the lines of some entries."""
        return self._ENCODER.encode_lines(map(self._object_of, entries)).decode()

    def _object_of(self, entry: _Entry) -> dict[str, Any]:
        second, milliseconds = divmod(round(entry.created * 1e6) // 1000, 1000)
        when = f"{_second(second)}.{milliseconds:03}+00:00"
        return {"time": when, "level": entry.level.lower(), "message": entry.message, **entry.fields}


@lru_cache(2)
def _second(created: int) -> str:
    """Returns a time in UTC without its fraction and its zone. Entries of requests share it."""
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


class LineFormatter(logging.Formatter):
    """Formats an entry for a person."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, with a traceback below it if there is one."""
        line = self._line(_entry_of(record))
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def lines(self, entries: Iterable[_Entry]) -> str:
        """Returns the lines of some entries."""
        return "".join(self._line(entry) + "\n" for entry in entries)

    def _line(self, entry: _Entry) -> str:
        fields = dict(entry.fields)
        words = [time.strftime("%H:%M:%S", time.localtime(entry.created))]
        if entry.level != "INFO":
            words.append(entry.level.lower())
        if entry.message == "request":
            words += [str(fields.pop(name)) for name in ("method", "path", "status")]
            words.append(f"{fields.pop('ms')} ms")
        else:
            words.append(entry.message)
        words += [f"{name}={value}" for name, value in fields.items() if value is not None]
        return " ".join(words)
