"""Options of reading times, and the times."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recurra.data.columns.times.model import TimeReading, Times
from recurra.data.columns.times.spelling import Spelling
from recurra.errors import UsageError


def test_options_of_the_command_line():
    assert TimeReading.of(None, None, None) == TimeReading()
    assert TimeReading.of("", False, False) == TimeReading(None, None, None)
    assert TimeReading.of("%Y", None, None) == TimeReading("%Y")
    assert TimeReading.of(None, True, False).order == "day"
    assert TimeReading.of(None, False, True).order == "month"
    for arguments in (("%Y", True, None), ("%Y", None, True), (None, True, True)):
        with pytest.raises(UsageError, match="give one of"):
            TimeReading.of(*arguments)
    with pytest.raises(UsageError, match="no year"):
        TimeReading("%H")
    known = Spelling("%d/%m/%Y")
    assert TimeReading("%Y", "day").after(known) == TimeReading("%Y", "day", known)


def test_times_with_and_without_offsets():
    values = np.array(["2024-01-01T09", "2024-01-01T10"], "datetime64[us]")
    plain = Times(values, Spelling())
    assert (plain.dated, plain.zone, plain.offsets, plain.note) == (True, None, None, "")
    assert plain.instants is values
    hour = 3_600_000_000
    zoned = Times(values, Spelling("%Y %H%z"), offsets=np.array([9 * hour, hour]))
    assert zoned.instants.astype("datetime64[h]").astype(str).tolist() == ["2024-01-01T00", "2024-01-01T09"]
    assert zoned.write(slice(1, 2)) == ["2024 10+0100"]
    assert plain.write(slice(0, 1)) == ["2024-01-01 09:00:00"]
    assert not Times(np.array([1, 2]), Spelling("number")).dated


@pytest.mark.parametrize(
    "value", [TimeReading(), Times(np.zeros(1), Spelling())], ids=lambda value: type(value).__name__
)
def test_options_and_times_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
