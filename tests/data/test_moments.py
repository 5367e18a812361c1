"""Times of every spelling sort as they should."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from recurra.data.moments import sort_keys
from recurra.errors import DataError


@pytest.mark.parametrize(
    "times",
    [
        ["-1", "2", "10", "1,000"],
        ["0.25", "1e0", "1.5"],
        ["1600000000000000001", "1600000000000000002"],
        ["2023-12-31", "2024-01-01 00:00", "2024-01-01 9:30", "2024-01-01T12:30:01.5"],
        ["2024-01-01T00:00:00Z", "2024-01-01T10:00:00+09:00", "2024-01-01T02:00:00Z"],
        ["2024. 1. 5".replace(" ", ""), "2024.2.1.", "2024/10/3 7:05", "2024/10/03 10:05"],
        ["1600-01-01", "2024-01-01"],
        [1, 2, 30],
        [0.5, 0.75],
        [dt.date(2024, 1, 1), dt.date(2024, 2, 1)],
        [dt.datetime(2024, 1, 1, 3), dt.datetime(2024, 1, 1, 4)],
        [dt.time(1), dt.time(2)],
    ],
)
def test_order(times):
    found = sort_keys(pa.chunked_array([times]), name="t", where=str)
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["1", "", "3"], "1, column t: the time is missing"),
        ([1.0, None], "1, column t: the time is missing"),
        (["2024-01-01", "yesterday"], '1, column t: "yesterday" is no time like the others'),
        (["soon", "2024-01-01"], '0, column t: "soon" is no time'),
        (["2024-01-01", "2024-02-30"], '1, column t: "2024-02-30" is no time'),
        (["2024-01-01", "5"], '1, column t: "5" is no time'),
        ([[1], [2]], "column t: values of type"),
    ],
)
def test_what_is_refused(times, message):
    with pytest.raises(DataError) as error:
        sort_keys(pa.chunked_array([times]), name="t", where=str)
    assert message in str(error.value)
