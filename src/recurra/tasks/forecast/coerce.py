"""Converts series of any supported type to panels, and forecasts back to the same type."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from recurra._util.messages import counted
from recurra.data.columns.frames import as_table
from recurra.data.columns.panel import Columns, Panel, panel_of_arrays
from recurra.data.columns.panel_table import choose, panel_of_table
from recurra.data.columns.timestamps import TimeReading
from recurra.errors import DataError, UsageError

from .prepare import Preparation
from .result import Forecast
from .tables import in_frame, table_of, template_of


def new_panel(
    y: Any,
    features: Any,
    known: Any,
    time: str | Sequence[str] | None,
    target: Any,
    id: str | None,
    *,
    fill_gaps: bool,
    reading: TimeReading,
) -> Panel:
    """The data of `Forecaster.fit`, whose arguments these are.

    Raises:
        DataError: they cannot be used.
        UsageError: columns are named, but there is no table.
    """
    if isinstance(y, Panel):
        return y
    times = _names(time)
    found = as_table(y, [*times, *filter(None, (id,))])
    if found is None:
        if (time, target, id) != (None, None, None):
            raise UsageError("time=, target= and id= name columns of a table; y is an array")
        return panel_of_arrays(y, features, known)
    table, index = found
    named = (times[0] if len(times) == 1 else times) or index
    columns = Columns(named, _names(target), _names(features), _names(known), id)
    table, columns = choose(table, columns)
    return panel_of_table(table, columns, _row, fill_gaps=fill_gaps, reading=reading)


def accept(data: Any, features: Any, known: Any, learnt: Preparation, *, fill_gaps: bool) -> Panel:
    """Data with the columns and the step of time that a model was trained on.

    Raises:
        DataError: they are others.
    """
    if isinstance(data, tuple) and len(data) == 1:  # as the command line hands over labelled data
        data = data[0]
    if isinstance(data, Panel):
        return data
    columns = learnt.columns
    found = as_table(data, columns.names)
    if found is not None:
        return _learnt_panel(choose(found[0], columns)[0], columns, learnt, fill_gaps)
    if columns.times:
        names = ", ".join(columns.times)
        raise DataError(f"the model was trained on a table with times; hand over a table with the column {names}")
    panel = panel_of_arrays(data, features, known)
    for part in ("target", "features", "known"):
        there, wanted = len(getattr(panel.columns, part)), len(getattr(columns, part))
        if there != wanted:
            raise DataError(f"the data have {counted(there, 'column')} of {part}, the model was trained on {wanted}")
    return panel


def accept_future(data: Any, learnt: Preparation, *, fill_gaps: bool) -> Panel:
    """Known columns of the time to come.

    Raises:
        DataError: this is no table with them.
    """
    if isinstance(data, Panel):
        return data
    columns = dataclasses.replace(learnt.columns, target=(), features=())
    found = as_table(data, columns.names)
    if found is None or not columns.known:
        raise DataError("future values are a table with the columns of time and of what is known")
    missing = [name for name in columns.names if name not in found[0].column_names]
    if missing:
        raise DataError(f"the future values have no column {', '.join(missing)}")
    return _learnt_panel(found[0].select(columns.names), columns, learnt, fill_gaps)


def _learnt_panel(table: pa.Table, columns: Columns, learnt: Preparation, fill_gaps: bool) -> Panel:
    """A panel with the step of time of a model, whose times are read as in training."""
    reading = TimeReading(known=learnt.spelling)
    return panel_of_table(table, columns, _row, frequency=learnt.frequency, fill_gaps=fill_gaps, reading=reading)


def kind_of(data: Any) -> tuple[str, Any]:
    """`"table"`, `"flat"` (arrays of one axis) or `"array"`, and a data frame without rows that has the types."""
    pandas = type(data).__module__.partition(".")[0] == "pandas"
    if pandas or isinstance(data, pa.Table | dict) or hasattr(data, "__arrow_c_stream__"):
        return "table", template_of(data)
    if isinstance(data, Panel):
        return "array", None
    first = next(iter(data), 0) if isinstance(data, list | tuple) else 0
    return "flat" if np.ndim(first if np.ndim(first) else data) == 1 else "array", None


def in_kind(forecasts: Sequence[Forecast], panel: Panel, kind: tuple[str, Any]) -> Any:
    """Forecasts as `Forecaster.predict` returns them for data of a kind."""
    if kind[0] == "table":
        return in_frame(table_of(forecasts, panel), panel, kind[1])
    values = [f.values[:, 0] if kind[0] == "flat" and f.values.shape[1] == 1 else f.values for f in forecasts]
    return values if forecasts[0].id is not None else values[0]


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _row(row: int) -> str:
    return f"row {row}"
