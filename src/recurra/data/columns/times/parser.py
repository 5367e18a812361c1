"""The parser of time columns: typed columns, whole numbers and texts."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.messages import shortened
from recurra.data.columns.frequency import Frequency
from recurra.data.columns.numbers import COMMA_NUMBER, MISSING, NUMBER, without_thousands
from recurra.data.files.table import decoded
from recurra.errors import DataError

from .choice import Choice, day_of, in_order, label_of, order_of
from .formats import JOIN, NUMBER_FORMATS, PER_UNIT, formats_of
from .model import TimeReading, Times
from .reading import Read, read_format, without_flags
from .spelling import Spelling
from .zones import Zone, offset_of

_COMPACT = (6, 8, 10, 12, 14)  # digits of whole numbers that may be dates
_UNIX = {10: "unix", 13: "unix-ms", 16: "unix-us"}  # number of digits of present times
_SPACES = "\u00a0\u2009\u202f\u3000"
_MARKS = "\u200b\u200e\u200f\ufeff"  # zero-width space, directional marks, byte order mark

Where = Callable[[int], str]


@dataclass
class Parser:
    """Parses one column; the fields are the arguments of `parse_times`."""

    name: str
    where: Where
    reading: TimeReading
    groups: np.ndarray | None
    frequency: Frequency | None
    order_only: bool

    def parse(self, column: Any) -> Times:
        """Reads an Arrow column."""
        column = decoded(column)
        kind = column.type
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
            column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        missing = pc.is_null(column, nan_is_null=pa.types.is_floating(kind))
        self._refuse_missing(missing)
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return self._typed(column)
        if pa.types.is_integer(kind):
            return self._whole(pc.cast(column, pa.int64()))
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return self._numbers(np.asarray(pc.cast(column, pa.float64(), safe=False)))
        if self.order_only and pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
            whole = pa.int32() if kind.bit_width == 32 else pa.int64()
            return Times(np.asarray(pc.cast(column, whole)).astype(np.int64), Spelling())
        if kind in (pa.string(), pa.large_string()):
            return self._texts(_plain(pc.cast(column, pa.large_string())))
        place = f"{self.where(0)}, " if len(column) else ""
        raise DataError(f"{place}column {self.name}: values of type {kind} are not times")

    def _refuse_missing(self, missing: Any) -> None:
        rows = np.flatnonzero(np.asarray(missing, dtype=bool))
        if rows.size:
            raise DataError(
                f"{self.where(int(rows[0]))}, column {self.name}: the time is missing; fill it in or leave the row out"
            )

    def _fail(self, row: int, text: str, why: str) -> NoReturn:
        raise DataError(f"{self.where(row)}, column {self.name}: {shortened(text.replace(JOIN, ' '))} {why}")

    # columns with a type

    def _typed(self, column: Any) -> Times:
        if self.order_only and getattr(column.type, "unit", "us") == "ns":
            return Times(np.asarray(pc.cast(column, pa.int64())), Spelling())
        zone = getattr(column.type, "tz", None)
        if pa.types.is_date(column.type):
            column = pc.cast(column, pa.timestamp("us"))
        microseconds = pc.CastOptions(pa.timestamp("us", zone), allow_time_truncate=True)
        try:
            found = np.asarray(pc.cast(pc.cast(column, options=microseconds), pa.int64()))
        except pa.ArrowInvalid:  # seconds that microseconds cannot represent: more than 290,000 years from now
            raise DataError(f"column {self.name}: a time is too far from 1970") from None
        instants = found.astype("datetime64[us]")
        if zone is None:
            return Times(instants, Spelling())
        if re.fullmatch(r"[+-][0-9]{2}:?[0-9]{2}", zone):
            place = Zone.of_rows(np.zeros(1, "datetime64[us]"), np.array([offset_of(zone)]))
        else:
            place = Zone(zone)
        offsets = place.offset(instants)
        return Times(instants + offsets.astype("timedelta64[us]"), Spelling(), place, offsets)

    def _numbers(self, numbers: np.ndarray) -> Times:
        if (numbers == np.round(numbers)).all() and (np.abs(numbers) < 2**53).all():
            return self._whole(pa.array(numbers.astype(np.int64)))
        if self.order_only:
            return Times(numbers, Spelling("number"))
        row = int(np.flatnonzero((numbers != np.round(numbers)) | (np.abs(numbers) >= 2**53))[0])
        raise DataError(f"{self.where(row)}, column {self.name}: {numbers[row]} is neither a date nor a whole number")

    def _whole(self, column: Any) -> Times:
        """Reads integers: counted steps, compact dates such as 20180131, or times in a given format."""
        numbers, format, known = np.asarray(column), self.reading.format, self.reading.known
        counted_only = format == "number" or (self.frequency is not None and not self.frequency.dated)
        if format is None and not counted_only and known is not None and known.format in PER_UNIT:
            format = known.format
        if format in PER_UNIT:
            each = PER_UNIT[format]
            if len(numbers) and np.abs(numbers).max() >= 2**62 // each:
                row = int(np.abs(numbers).argmax())
                self._fail(row, str(numbers[row]), f"is too large to be read as {format}")
            return Times((numbers * each).astype("datetime64[us]"), Spelling(format))
        text = pc.cast(column, pa.large_string())
        if format not in (None, "number"):
            return self._texts(text)
        dates = not counted_only and not self.order_only and len(numbers) and len(str(numbers[0])) in _COMPACT
        if dates and (found := self._candidates(text)):
            return self._times(found[0], text)
        digits = {len(str(number)) for number in (numbers.min(), numbers.max())} if len(numbers) else {0}
        unix, note = _UNIX.get(min(digits)), ""
        if format is None and known is None and unix and len(digits) == 1:
            note = f"{self.name} holds whole numbers; if they count from 1970, read them with --time-format {unix}"
        return Times(numbers, Spelling("number"), note=note)

    # texts

    def _texts(self, text: Any) -> Times:
        # an empty column has no spelling
        if not len(text):
            return Times(np.zeros(0, np.int64), self.reading.known or Spelling("number"))
        self._refuse_missing(pc.is_in(pc.utf8_lower(text), pa.array(MISSING, text.type)))
        format = self.reading.format
        if format is not None and format not in NUMBER_FORMATS:
            read = read_format(text, format)
            if not read.good.all():
                row = int(np.flatnonzero(~read.good)[0])
                self._fail(row, text[row].as_py(), self._why(read, row, f"is not written as {format!r}"))
            return self._times(read, text)
        counted_only = format is not None or (self.frequency is not None and not self.frequency.dated)
        found = [] if counted_only else self._candidates(text)
        if found:
            return self._chosen(found, text)
        if _all(text, "^[+-]?[0-9]+$"):
            try:
                return self._whole(pc.cast(text, pa.int64()))
            except pa.ArrowInvalid:
                pass  # more digits than a number can have
        if _all(text, f"^(?:{NUMBER})$"):
            return self._numbers(np.asarray(pc.cast(without_thousands(text), pa.float64())))
        if self.order_only and _all(text, f"^(?:{COMMA_NUMBER})$"):
            return self._numbers(np.asarray(pc.cast(without_thousands(text, ","), pa.float64())))
        return self._refuse(text, counted_only)

    def _candidates(self, text: Any) -> list[Read]:
        """Returns all readings that match every text, or only the reading of earlier data if it matches."""
        known = self.reading.known
        if known is not None and known.format and known.format not in NUMBER_FORMATS and self.reading.order is None:
            for format in (known.format, without_flags(known)):
                read = read_format(text, format)
                if read.good.all():
                    return [read]
        formats = [f for f in formats_of(text[0].as_py()) if in_order(f, self.reading.order)]
        compact = _all(text, "^[0-9]+$")
        reads = [read_format(text, format, any_year=not compact) for format in formats]
        found = list({read.spelling: read for read in reads if read.good.all()}.values())
        order = None if known is None else order_of(known.format)
        return [read for read in found if order_of(read.spelling.format) == order] or found if order else found

    def _refuse(self, text: Any, counted_only: bool) -> NoReturn:
        """Raises an error for the first row whose format differs from that of the previous rows."""
        first = text[0].as_py()
        formats = [] if counted_only else formats_of(first)
        reads = [read_format(text, format) for format in formats if in_order(format, self.reading.order)]
        numbers = np.asarray(pc.match_substring_regex(text, "^[+-]?[0-9]+$"), dtype=bool)
        if not reads or numbers[0]:
            row = int(numbers.argmin()) if numbers[0] else 0
            if row:
                self._fail(row, text[row].as_py(), f"is not written like the times before it ({first})")
            example = "a whole number" if counted_only else "2016-07-01 13:00:00, or a whole number"
            order = f" with the {self.reading.order} first" if self.reading.order else ""
            self._fail(0, first, f"is not a time that can be read{order}; write {example}, or give its --time-format")
        best = max(reads, key=lambda read: int(read.good.argmin()))
        row = int(best.good.argmin())
        if row:
            why = f"is not written like the times before it ({first})"
            self._fail(row, text[row].as_py(), self._why(best, row, why))
        self._fail(0, first, self._why(best, 0, "is not a time that can be read"))

    def _why(self, read: Read, row: int, otherwise: str) -> str:
        order = f" with the {self.reading.order} first" if self.reading.order else ""
        return f"is not a date of the calendar{order}" if read.fits[row] else otherwise

    def _chosen(self, found: Sequence[Read], text: Any) -> Times:
        """Returns the times of the best reading."""
        groups = np.zeros(len(text), np.int64) if self.groups is None else self.groups
        choice = Choice(groups, self.frequency)
        chosen, other = choice.best(found)
        if len(chosen) == 1:
            return self._times(chosen[0], text, other)
        if self.order_only and choice.same_order(chosen):
            return Times(chosen[0].times, Spelling())  # all readings give the same order, so none has to be stored
        ways = " and ".join(f"{label_of(read)} ({choice.describe(read)})" for read in chosen[:2])
        raise DataError(
            f"{self.where(0)}, column {self.name}: {shortened(text[0].as_py())} can be read {ways}\n"
            "say which with --day-first, --month-first or --time-format (in Python day_first=True, month_first=True or "
            "time_format=)"
        )

    def _times(self, read: Read, text: Any, other: Read | None = None) -> Times:
        spelling, note = read.spelling, ""
        if read.times.dtype == "datetime64[ns]" and not self.order_only:
            row = int(np.flatnonzero(read.times != read.times.astype("datetime64[us]"))[0])
            self._fail(row, text[row].as_py(), "is finer than a microsecond")
        order, known = order_of(spelling.format), self.reading.known
        if (other or order) and (known is None or order != order_of(known.format)):
            first = text[0].as_py().replace(JOIN, " ")
            note = f"the times are read {label_of(read)}: {first} is {day_of(read.times[0])}"
            if other is not None:
                note += f" (the steps are less regular if they are read {label_of(other)})"
        zone = None
        if read.offsets is not None:
            instants = read.times - read.offsets.astype("timedelta64[us]")
            zone = Zone.of_rows(instants, read.offsets)
        return Times(read.times, spelling, zone, read.offsets, note)


def _plain(text: Any) -> Any:
    """Removes invisible marks and replaces unusual spaces, which spreadsheets and browsers write."""
    text = pc.replace_substring_regex(text, f"[{_MARKS}]", "")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(text, f"[{_SPACES}]", " "))


def _all(text: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern)).as_py())
