"""Time zones: offsets from UTC at an instant, from the time zone database or from a file."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.errors import DataError

_NAMED = {"z": 0, "utc": 0, "gmt": 0, "kst": 9 * 60}
_MINUTE = 60_000_000

OFFSET = r"(?i:Z|UTC|GMT|KST)|[+-][0-9]{2}(?::?[0-9]{2})?"
"""Pattern of an offset from UTC, also valid for RE2."""


@dataclass(frozen=True)
class Zone:
    """Offsets from UTC.

    Attributes:
        name: name in the time zone database, such as `Europe/Berlin`. Empty if only the offsets of a file are known.
        since: instants (microseconds since 1970) from which the offsets apply. The first offset applies before too.
        offsets: microseconds east of UTC. The last offset applies to all later times.

    Example:
        >>> zone = Zone("America/New_York")
        >>> instants = np.array(["2022-11-06T05:30", "2022-11-06T06:30"], "datetime64[us]")
        >>> zone.wall(instants).astype("datetime64[m]").tolist()  # the clock is set back from 2:00 to 1:00
        [datetime.datetime(2022, 11, 6, 1, 30), datetime.datetime(2022, 11, 6, 1, 30)]
    """

    name: str = ""
    since: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()

    @classmethod
    def of_rows(cls, instants: np.ndarray, offsets: np.ndarray) -> Zone:
        """Returns the zone given by the instants and offsets (microseconds) of rows."""
        order = np.argsort(instants, kind="stable")
        moments, found = instants[order].astype(np.int64), offsets[order]
        at = np.flatnonzero(np.diff(found, prepend=found[0] - 1))
        return cls("", tuple(moments[at].tolist()), tuple(found[at].tolist()))

    def offset(self, instants: np.ndarray) -> np.ndarray:
        """Returns microseconds east of UTC at each instant (`datetime64[us]`)."""
        if not self.name:
            at = np.searchsorted(np.array(self.since), instants.astype(np.int64), side="right") - 1
            return np.array(self.offsets, np.int64)[np.maximum(at, 0)]
        local = self._compute(pc.local_timestamp, instants, self.name)
        return local.astype(np.int64) - instants.astype(np.int64)

    def wall(self, instants: np.ndarray) -> np.ndarray:
        """Returns the local time at each instant (`datetime64[us]`)."""
        return instants + self.offset(instants).astype("timedelta64[us]")

    def instants(self, wall: np.ndarray) -> np.ndarray:
        """Returns the instants of local times. If two instants are possible, it returns the earlier one."""
        if not self.name:
            guess = wall - np.timedelta64(self.offsets[-1], "us")
            return wall - self.offset(guess).astype("timedelta64[us]")
        return self._compute(self._assume, wall, None)

    def _assume(self, wall: Any) -> Any:
        found = pc.assume_timezone(wall, self.name, ambiguous="earliest", nonexistent="latest")
        return pc.cast(found, pa.timestamp("us", "UTC"))

    def _compute(self, function: Any, times: np.ndarray, zone: str | None) -> np.ndarray:
        column = pc.cast(pa.array(times.astype(np.int64)), pa.timestamp("us", zone))
        try:
            return np.asarray(pc.cast(function(column), pa.int64())).astype("datetime64[us]")
        except pa.ArrowInvalid as error:
            raise DataError(f"the time zone {self.name} cannot be used: {error}") from None


def offset_of(text: str) -> int:
    """Parses an offset, such as `Z`, `+09:00` or `-0530`, to microseconds east of UTC."""
    if text.lower() in _NAMED:
        return _NAMED[text.lower()] * _MINUTE
    sign = -1 if text[0] == "-" else 1
    digits = re.sub("[^0-9]", "", text)
    return sign * (int(digits[:2]) * 60 + int(digits[2:] or 0)) * _MINUTE


def write_offset(offset: int, separator: str = ":", minutes: bool = True) -> str:
    """Writes an offset as text.

    Example:
        >>> write_offset(-19_800_000_000)
        '-05:30'
    """
    hours, rest = divmod(abs(offset) // _MINUTE, 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}" + (f"{separator}{rest:02}" if minutes or rest else "")
