"""Logs on standard error: JSON lines if it is piped, readable lines in a terminal.

They contain no inputs and no keys.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

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


class JsonFormatter(logging.Formatter):
    """Formats an entry as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(found, enc_hook=str).decode()


class LineFormatter(logging.Formatter):
    """Formats an entry for a person."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, with a traceback below it if there is one."""
        fields = dict(getattr(record, "fields", {}))
        words = [time.strftime("%H:%M:%S", time.localtime(record.created))]
        if record.levelno > logging.INFO:
            words.append(record.levelname.lower())
        if record.getMessage() == "request":
            words += [str(fields.pop(name)) for name in ("method", "path", "status")]
            words.append(f"{fields.pop('ms')} ms")
        else:
            words.append(record.getMessage())
        words += [f"{name}={value}" for name, value in fields.items() if value is not None]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
