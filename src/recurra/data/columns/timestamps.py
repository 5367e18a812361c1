"""Converts time columns of any type and format to comparable times. All readers use it."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.data.files.table import decoded, is_blank

from .frequency import Frequency
from .times.formats import JOIN
from .times.model import TimeReading, Times
from .times.parser import Parser, Where
from .times.spelling import Spelling

__all__ = ["Spelling", "TimeReading", "Times", "join_times", "parse_times"]


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

    A text column must have one format. If several readings are possible, such as day first or month first, the reading
    with the most regular steps over all rows is used. If several are equally regular, an error names them.

    Args:
        column: texts, whole numbers, dates or timestamps, as an Arrow array.
        name: name of the column, for messages.
        where: returns the place of a row, for messages.
        reading: options of reading the times.
        groups: the number of the series of each row; None for one series.
        frequency: the expected time step; detected if None.
        order_only: True if only the order of the times within a group matters. Then numbers may have fractions.

    Raises:
        DataError: a time is missing or cannot be read, or two readings fit equally well.

    Example:
        >>> months = pa.array(["1/1/1992", "2/1/1992", "12/1/1992", "1/1/1993", "2/1/1993"])
        >>> times = parse_times(months[:2].cast(pa.string()), name="t", where=str, reading=TimeReading(order="month"))
        >>> times.values.astype("datetime64[D]").tolist(), times.spelling.format
        ([datetime.date(1992, 1, 1), datetime.date(1992, 2, 1)], '%-m/%-d/%Y')
    """
    return Parser(name, where, reading or TimeReading(), groups, frequency, order_only).parse(column)


def join_times(columns: Sequence[Any]) -> Any:
    """Joins the columns of the parts of a time, such as date and clock, to one column."""
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
