"""Times of a column, and the options of reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import UsageError

from .formats import check_format
from .spelling import Spelling
from .zones import Zone


@dataclass(frozen=True)
class TimeReading:
    """Options of reading times: a format, an order, or the spelling of earlier data.

    Attributes:
        format: see `Spelling`; None to detect it.
        order: `"day"` or `"month"` if day or month come first; None to detect it.
        known: the spelling of earlier data, which is tried first.

    Raises:
        UsageError: the format cannot be used.
    """

    format: str | None = None
    order: str | None = None
    known: Spelling | None = None

    def __post_init__(self) -> None:
        if self.format is not None:
            check_format(self.format)

    @classmethod
    def of(cls, format: str | None, day_first: bool | None, month_first: bool | None) -> TimeReading:
        """Creates the options from those of the command line or the arguments of an estimator."""
        if sum(map(bool, (format, day_first, month_first))) > 1:
            raise UsageError("give one of the time format, day first and month first (--time-format, --day-first, ...)")
        return cls(format or None, "day" if day_first else "month" if month_first else None)

    def after(self, known: Spelling | None) -> TimeReading:
        """Returns these options with the spelling of earlier data."""
        return TimeReading(self.format, self.order, known)


@dataclass(frozen=True)
class Times:
    """The times of the rows of a table.

    Attributes:
        values: local times, as `datetime64[us]` (`[ns]` for texts with nanoseconds), or numbers, `(rows,)`.
        spelling: format of the times.
        zone: offsets from UTC; None if the times have none.
        offsets: microseconds east of UTC of each row, `(rows,)`, or None.
        note: names the chosen reading for the user; empty if there was no choice.
    """

    values: np.ndarray
    spelling: Spelling
    zone: Zone | None = None
    offsets: np.ndarray | None = None
    note: str = ""

    @property
    def dated(self) -> bool:
        """True if these are dates, not numbers."""
        return self.values.dtype.kind == "M"

    @property
    def instants(self) -> np.ndarray:
        """The times in UTC if their zone is known, else the local times."""
        return self.values if self.offsets is None else self.values - self.offsets.astype("timedelta64[us]")

    def write(self, rows: Any) -> list[Any]:
        """Returns some of the times in the spelling of the data."""
        return self.spelling.write(self.values[rows], None if self.offsets is None else self.offsets[rows])
