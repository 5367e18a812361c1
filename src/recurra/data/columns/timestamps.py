"""Reads time columns of any type and spelling; the only parser of times."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.messages import shortened
from recurra.data.files.table import decoded, is_blank
from recurra.errors import DataError, UsageError

from .frequency import Frequency, find_frequency
from .numbers import BETWEEN_THOUSANDS, COMMA_NUMBER, MISSING, NUMBER
from .spellings import Read, Spelling, read_format, without_flags
from .time_formats import JOIN, NUMBER_FORMATS, PER_UNIT, check_format, formats_of
from .zones import Zone, offset_of

_COMPACT = (6, 8, 10, 12, 14)  # digits of whole numbers that may be dates
_UNIX = {10: "unix", 13: "unix-ms", 16: "unix-us"}  # digits of the times of our age
_SPACES = "\u00a0\u2009\u202f\u3000"
_MARKS = "\u200b\u200e\u200f\ufeff"  # of width zero, of the direction of writing, of the byte order

Where = Callable[[int], str]


@dataclass(frozen=True)
class TimeReading:
    """What is known about how times are written, before they are read.

    Attributes:
        format: see `recurra.data.columns.spellings.Spelling`; None to find it.
        order: `"day"` or `"month"` if day or month come first; None to find it.
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
        """From the options of the command line or the arguments of an estimator."""
        if sum(map(bool, (format, day_first, month_first))) > 1:
            raise UsageError("give one of the time format, day first and month first (--time-format, --day-first, ...)")
        return cls(format or None, "day" if day_first else "month" if month_first else None)

    def after(self, known: Spelling | None) -> TimeReading:
        """The same, with the spelling of earlier data."""
        return TimeReading(self.format, self.order, known)


@dataclass(frozen=True)
class Times:
    """The times of the rows of a table.

    Attributes:
        values: what the clock showed, as `datetime64[us]` (`[ns]` where a text is finer), or numbers, `(rows,)`.
        spelling: how they are written.
        zone: their offsets from UTC; None if they have none.
        offsets: microseconds east of UTC of each row, `(rows,)`, or None.
        note: which of several readings was chosen, for a person; empty if there was no choice.
    """

    values: np.ndarray
    spelling: Spelling
    zone: Zone | None = None
    offsets: np.ndarray | None = None
    note: str = ""

    @property
    def dated(self) -> bool:
        """Whether these are dates, not numbers."""
        return self.values.dtype.kind == "M"

    @property
    def instants(self) -> np.ndarray:
        """The times in UTC if their zone is known, else as they are."""
        return self.values if self.offsets is None else self.values - self.offsets.astype("timedelta64[us]")

    def write(self, rows: Any) -> list[Any]:
        """Some of the times as they were written."""
        return self.spelling.write(self.values[rows], None if self.offsets is None else self.offsets[rows])


def parse_times(
    column: Any,
    *,
    name: str,
    where: Where,
    reading: TimeReading | None = None,
    groups: np.ndarray | None = None,
    frequency: Frequency | None = None,
    order_only: bool = False,
) -> Times:
    """Reads a time column.

    A text column must have one spelling. If several readings are possible, such as day first or month first, all rows
    decide: the reading with regular steps is taken. If both are regular, an error names them.

    Args:
        column: texts, whole numbers, dates or timestamps, as an Arrow array.
        name: of the column, for messages.
        where: gives the place of a row, for messages.
        reading: what is known about the spelling.
        groups: the number of the series of each row; one series if None.
        frequency: the step that the times are expected to have; found if None.
        order_only: whether only the order of the times within a group matters. Then numbers may have fractions.

    Raises:
        DataError: a time is missing or cannot be read, or two readings fit equally well.

    Example:
        >>> months = pa.array(["1/1/1992", "2/1/1992", "12/1/1992", "1/1/1993", "2/1/1993"])
        >>> times = parse_times(months[:2].cast(pa.string()), name="t", where=str, reading=TimeReading(order="month"))
        >>> times.values.astype("datetime64[D]").tolist(), times.spelling.format
        ([datetime.date(1992, 1, 1), datetime.date(1992, 2, 1)], '%-m/%-d/%Y')
    """
    return _Parser(name, where, reading or TimeReading(), groups, frequency, order_only).parse(column)


def join_times(columns: Sequence[Any]) -> Any:
    """One column of times from the columns that hold its parts, such as date and clock, or year, month and day."""
    if len(columns) == 1:
        return columns[0]
    texts = []
    for column in columns:
        column = decoded(column)
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            days = pc.cast(pc.floor_temporal(column, unit="day"), column.type)
            column = pc.cast(column, pa.date32()) if pc.all(pc.equal(days, column)).as_py() else column
        if pa.types.is_floating(column.type):
            column = pc.cast(column, pa.int64(), safe=False)
        column = pc.cast(column, pa.string())
        texts.append(pc.if_else(is_blank(column), None, pc.utf8_trim_whitespace(column)))
    return pc.binary_join_element_wise(*texts, JOIN)


@dataclass
class _Parser:
    """The arguments of `parse_times`."""

    name: str
    where: Where
    reading: TimeReading
    groups: np.ndarray | None
    frequency: Frequency | None
    order_only: bool

    def parse(self, column: Any) -> Times:
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
        except pa.ArrowInvalid:  # counted in seconds, and more than 290,000 years from now
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
        """Whole numbers: counted steps, compact dates such as 20180131, or what the format says."""
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
        # a column that is empty says nothing about its spelling
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
            return self._choose(found, text)
        if _all(text, "^[+-]?[0-9]+$"):
            try:
                return self._whole(pc.cast(text, pa.int64()))
            except pa.ArrowInvalid:
                pass  # more digits than a number can have
        if _all(text, f"^(?:{NUMBER})$"):
            digits = pc.replace_substring_regex(text, f"{BETWEEN_THOUSANDS}|,", "")
            return self._numbers(np.asarray(pc.cast(digits, pa.float64())))
        if self.order_only and _all(text, f"^(?:{COMMA_NUMBER})$"):
            points = pc.replace_substring(pc.replace_substring_regex(text, rf"{BETWEEN_THOUSANDS}|\.", ""), ",", ".")
            return self._numbers(np.asarray(pc.cast(points, pa.float64())))
        return self._refuse(text, counted_only)

    def _candidates(self, text: Any) -> list[Read]:
        """All readings that fit every text: that of earlier data alone if it does."""
        known = self.reading.known
        if known is not None and known.format and known.format not in NUMBER_FORMATS and self.reading.order is None:
            for format in (known.format, without_flags(known)):
                read = read_format(text, format)
                if read.good.all():
                    return [read]
        formats = [f for f in formats_of(text[0].as_py()) if _in_order(f, self.reading.order)]
        compact = _all(text, "^[0-9]+$")
        reads = [read_format(text, format, any_year=not compact) for format in formats]
        found = list({read.spelling: read for read in reads if read.good.all()}.values())
        order = None if known is None else order_of(known.format)
        return [read for read in found if order_of(read.spelling.format) == order] or found if order else found

    def _refuse(self, text: Any, counted_only: bool) -> NoReturn:
        """Names the first row that is not written like the rows before it."""
        first = text[0].as_py()
        formats = [] if counted_only else formats_of(first)
        reads = [read_format(text, format) for format in formats if _in_order(format, self.reading.order)]
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

    def _choose(self, found: Sequence[Read], text: Any) -> Times:
        """The reading whose steps are regular."""
        if len(found) == 1:
            return self._times(found[0], text)
        ranked = sorted(((self._disorder(read), read) for read in found), key=lambda pair: pair[0])
        costs, found = [cost for cost, _ in ranked], [read for _, read in ranked]
        if costs[0] < costs[1] and 2 * costs[0] <= costs[1]:
            return self._times(found[0], text, found[1])
        tied = [read for read, cost in zip(found, costs, strict=True) if cost <= max(2 * costs[0], costs[0] + 1)]
        shortest = min(tied, key=lambda read: np.ptp(read.times.astype(np.int64)))
        # of 18-01-05 the year is not the part that changes with every row
        tied = [read for read in tied if _year_place(read) == _year_place(shortest)]
        if len(tied) == 1:
            return self._times(shortest, text, next(read for read in found if read is not shortest))
        if self.order_only and self._same_order(tied):
            return Times(tied[0].times, Spelling())  # whichever it is, so there is nothing to remember
        ways = " and ".join(f"{_label(read)} ({self._says(read)})" for read in tied[:2])
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
            note = f"the times are read {_label(read)}: {text[0].as_py().replace(JOIN, ' ')} is {_day(read.times[0])}"
            if other is not None:
                note += f" (the steps are less regular if they are read {_label(other)})"
        zone = None
        if read.offsets is not None:
            instants = read.times - read.offsets.astype("timedelta64[us]")
            zone = Zone.of_rows(instants, read.offsets)
        return Times(read.times, spelling, zone, read.offsets, note)

    # choosing

    def _grouped(self, rows: int) -> np.ndarray:
        return np.zeros(rows, np.int64) if self.groups is None else self.groups

    def _same_order(self, found: Sequence[Read]) -> bool:
        groups = self._grouped(len(found[0].times))
        orders = [np.lexsort((read.times, groups)) for read in found]
        return all((order == orders[0]).all() for order in orders)

    def _disorder(self, read: Read) -> int:
        """How many rows are off the step of their series, or out of order in the file."""
        groups = self._grouped(len(read.times))
        in_file = np.argsort(groups, kind="stable")
        same = np.diff(groups[in_file]) == 0
        steps = np.diff(read.times[in_file]).astype(np.int64)[same]
        backward = int(min((steps < 0).sum(), (steps > 0).sum()))
        series = self._series(read, groups)
        frequency = self.frequency or _frequency(series)
        if frequency is None:
            return backward
        for times in series:
            at = frequency.positions(times, times[0])
            backward += int((~(np.diff(at) == 1)).sum())
        return backward

    def _series(self, read: Read, groups: np.ndarray) -> list[np.ndarray]:
        order = np.lexsort((read.times, groups))
        return np.split(read.times[order], np.flatnonzero(np.diff(groups[order])) + 1)

    def _says(self, read: Read) -> str:
        frequency = _frequency(self._series(read, self._grouped(len(read.times))))
        span = f"{_day(read.times.min())} to {_day(read.times.max())}"
        return span if frequency is None else f"{span}, a step of {frequency}"


def _frequency(series: Sequence[np.ndarray]) -> Frequency | None:
    try:
        return find_frequency(series)
    except DataError:  # no series has two rows
        return None


def _plain(text: Any) -> Any:
    """Times without invisible marks and with usual spaces; spreadsheets and browsers write others."""
    text = pc.replace_substring_regex(text, f"[{_MARKS}]", "")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(text, f"[{_SPACES}]", " "))


def _all(text: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern)).as_py())


def _numeric(format: str) -> str:
    """The parts of a numeric date in the order in which they are written, such as `mdY`; empty for other dates."""
    parts = "".join(re.findall("%-?([Yymd])", format))
    return parts if len(parts) == 3 and parts[0] != "Y" else ""


def order_of(format: str) -> str | None:
    """`"day"` or `"month"` if that comes first in a numeric date."""
    return {"d": "day", "m": "month"}.get(_numeric(format)[:1])


def _in_order(format: str, order: str | None) -> bool:
    return order is None or not _numeric(format) or order_of(format) == order


def _year_place(read: Read) -> int:
    return _numeric(read.spelling.format).lower().find("y")


def _label(read: Read) -> str:
    order = order_of(read.spelling.format)
    return f"{order} first" if order else f"as {read.spelling.format}"


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))
