"""Lines of the log."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec
import pytest

from recurra.serve.process.logs import JsonFormatter


@pytest.mark.parametrize("created", [0.0, 1_700_000_000.25, 1_700_000_000.9996, 1_700_000_001.001])
def test_the_time_of_a_line_is_in_utc_with_milliseconds(created):
    record = logging.makeLogRecord({"created": created, "msg": "a message", "levelname": "INFO"})
    line = msgspec.json.decode(JsonFormatter().format(record))
    assert line == {
        "time": datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds"),
        "level": "info",
        "message": "a message",
    }
