"""Settings of the server: every limit with its default, its unit and its range.

This module imports nothing that is slow, because `recurra serve --help` reads the limits from here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

from recurra.errors import UsageError

MIB = 2**20
DURABILITIES = ("process", "power")
"""What an answered step survives: the end of the process, or a loss of power as well."""

_ORIGIN = re.compile(r"https?://[^/\s,]+", re.IGNORECASE)
_HOST = re.compile(r"\*|[A-Za-z0-9._-]{1,253}")


class Limit(NamedTuple):
    """Description and range of a setting.

    Attributes:
        text: what the setting does, for the help of the command line.
        unit: unit of its values, such as seconds. Empty for settings that are not numbers.
        least: smallest value.
        most: largest value.
    """

    text: str
    unit: str = ""
    least: float = 0
    most: float = 2**31 - 1


@dataclass(frozen=True)
class Settings:
    """Settings of `recurra.serve.create_app` and of `recurra serve`.

    The guide on serving has a table of all settings with their defaults and ranges.

    Raises:
        UsageError: a value is outside of its range.

    Example:
        >>> from recurra.serve import Settings
        >>> Settings(max_batch=128, idle=3600).max_batch
        128
    """

    # batches
    max_batch: Annotated[int, Limit("Most sequences in one call of the engine.", "sequences", 1, 65_536)] = 64
    max_wait: Annotated[
        int,
        Limit(
            "Longest time that a request waits for others. With 0, requests that arrive while the engine works share a "
            "call.",
            "microseconds",
            0,
            10_000_000,
        ),
    ] = 0
    max_queue: Annotated[
        int, Limit("Most requests that wait for the engine. Further ones are refused with 429.", "requests", 1)
    ] = 1024

    # sessions
    idle: Annotated[float, Limit("A session without steps ends after this time.", "seconds", 0.01, 10**9)] = 600.0
    max_age: Annotated[float, Limit("A session ends after this time in any case.", "seconds", 0.01, 10**9)] = 86_400.0
    max_sessions: Annotated[
        int, Limit("Most sessions, live and saved. Further ones are refused with 429.", "sessions", 1)
    ] = 100_000
    max_live: Annotated[
        int, Limit("Most sessions in memory. With a state folder, the others are on disk.", "sessions", 1)
    ] = 4096
    state_dir: Annotated[Path | None, Limit("Folder for the states of sessions, so that they survive a restart.")] = (
        None
    )
    durability: Annotated[
        str,
        Limit(
            "What an answered step survives: the end of the process ('process'), or a loss of power as well ('power')."
        ),
    ] = "process"

    # requests
    keys: Annotated[Path | None, Limit("File of API keys, one per line. Read again on SIGHUP.")] = None
    open_metrics: Annotated[bool, Limit("Whether /metrics is answered without a key.")] = False
    open_page: Annotated[bool, Limit("Whether the page at / is sent without a key.")] = True
    origins: Annotated[
        tuple[str, ...],
        Limit("Origins that may open a WebSocket beside the server's, such as https://example.org."),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Limit(
            "Hosts that requests may name beside addresses and localhost, such as example.org; '*' for all. Checked "
            "at a loopback address, or if a host is given."
        ),
    ] = ()
    timeout: Annotated[float, Limit("Longest time until an answer begins.", "seconds", 0.01, 86_400)] = 30.0
    max_body: Annotated[int, Limit("Largest body of a request.", "bytes", 1)] = 8 * MIB
    max_inputs: Annotated[int, Limit("Most inputs in one request.", "inputs", 1)] = 1024
    max_steps: Annotated[int, Limit("Most time steps or characters in one request.", "steps", 1)] = 1_000_000

    # connections
    max_connections: Annotated[int, Limit("Most open connections. Further ones are closed.", "connections", 1)] = 2048
    max_sockets: Annotated[int, Limit("Most open WebSockets. Further ones are refused with 503.", "sockets", 1)] = 1024
    max_message: Annotated[int, Limit("Largest message of a WebSocket.", "bytes", 1)] = MIB
    max_head: Annotated[int, Limit("Largest head of a request: its line and headers.", "bytes", 1024)] = 32_768
    head_timeout: Annotated[
        float, Limit("Longest time for the head of a request to arrive.", "seconds", 0.01, 86_400)
    ] = 10.0
    body_timeout: Annotated[
        float, Limit("Longest time for the body of a request to arrive.", "seconds", 0.01, 86_400)
    ] = 60.0
    keep_alive: Annotated[
        float, Limit("A connection without a request is closed after this time.", "seconds", 0.01, 86_400)
    ] = 75.0
    send_timeout: Annotated[
        float,
        Limit("A connection whose peer does not read is closed after this time.", "seconds", 0.01, 86_400),
    ] = 20.0
    send_queue: Annotated[
        int, Limit("Bytes of answers that wait for a slow reader on one connection.", "bytes", 1024)
    ] = 262_144
    ping: Annotated[
        float, Limit("Time between pings on a WebSocket; a missing pong closes it.", "seconds", 0.01, 86_400)
    ] = 20.0

    # process
    grace: Annotated[
        float, Limit("Longest time for a shutdown; what runs then is cut off.", "seconds", 0.01, 86_400)
    ] = 30.0
    drain_delay: Annotated[
        float,
        Limit("Time for load balancers to notice a shutdown before new work is refused.", "seconds", 0, 86_400),
    ] = 0.0
    workers: Annotated[int, Limit("Number of worker processes.", "processes", 1, 256)] = 1

    def __post_init__(self) -> None:
        for name, (kind, limit) in limits().items():
            _check(name, getattr(self, name), kind, limit)
        if self.durability not in DURABILITIES:
            raise UsageError(f"durability is one of {', '.join(DURABILITIES)}, not {self.durability!r:.80}")
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(f"origins contains {origin!r:.80}; an origin is like https://example.org:8000")
        for host in self.allowed_hosts:
            if not _HOST.fullmatch(host):
                raise UsageError(f"allowed_hosts contains {host!r:.80}; a host is like example.org, without a port")


def limits() -> dict[str, tuple[Any, Limit]]:
    """Returns the type and the limit of every setting by name."""
    hints = get_type_hints(Settings, include_extras=True)
    return {field.name: get_args(hints[field.name])[:2] for field in fields(Settings)}  # type: ignore[misc]


def _check(name: str, value: Any, kind: Any, limit: Limit) -> None:
    """Checks the type and the range of one setting.

    Raises:
        UsageError: the value has another type or is outside of its range.
    """
    if kind is bool and not isinstance(value, bool):
        raise UsageError(f"{name} is True or False, not {value!r:.80}")
    if kind not in (int, float):
        return
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or (kind is int and value != int(value)):
        raise UsageError(f"{name} is a {'whole ' * (kind is int)}number of {limit.unit}, not {value!r:.80}")
    if not limit.least <= value <= limit.most:
        raise UsageError(f"{name} is {value}, outside of {limit.least} to {limit.most} {limit.unit}")
