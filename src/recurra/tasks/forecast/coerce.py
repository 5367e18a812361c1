"""Converts series of any supported type to panels, and forecasts back to the same type."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.messages import counted
from recurra.data.columns.categories import with_categories, without_categories
from recurra.data.columns.frames import as_table
from recurra.data.columns.panel import Columns, Panel, panel_of_arrays
from recurra.data.columns.panel_table import choose, panel_of_table
from recurra.data.columns.timestamps import TimeReading
from recurra.data.files.table import DataFile
from recurra.errors import DataError, UsageError
from recurra.tasks.tuning.parts import Parts
from recurra.tasks.tuning.space import Space
from recurra.tasks.tuning.tunable import Tunable

from .prepare import Preparation
from .result import Forecast, rows_of
from .sizes import most_context


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
    return _panel(table, columns, None, fill_gaps=fill_gaps, reading=reading)


def accept(data: Any, features: Any, known: Any, learnt: Preparation, *, fill_gaps: bool) -> Panel:
    """Data with the columns and the step of time that a model was trained on.

    Raises:
        DataError: they are others.
    """
    if isinstance(data, tuple) and len(data) == 1:  # as the command line hands over labelled data
        data = data[0]
    if isinstance(data, Panel):
        return data
    columns = without_categories(learnt.columns, learnt.categories)
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
    columns = without_categories(learnt.columns, learnt.categories)
    columns = dataclasses.replace(columns, target=(), features=())
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
    kinds = learnt.categories
    return _panel(table, columns, kinds, frequency=learnt.frequency, fill_gaps=fill_gaps, reading=reading)


def _panel(table: pa.Table, columns: Columns, categories: Mapping[str, list[str]] | None, **options: Any) -> Panel:
    """A panel of a table in memory, with columns of 0 and 1 for those of categories.

    Args:
        table: see `panel_of_table`.
        columns: see `panel_of_table`.
        categories: those of the training data; None to detect them.
        **options: see `panel_of_table`.
    """
    file = DataFile(Path("the table"), table, "", 0)
    table, columns, kinds, said = with_categories(file, columns, categories)
    for note in said:
        warnings.warn(note, stacklevel=2)
    return dataclasses.replace(panel_of_table(table, columns, _row, **options), categories=kinds)


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


def table_of(forecasts: Sequence[Forecast], panel: Panel) -> pa.Table:
    """Forecasts as an Arrow table; its columns of times and ids have the types of the table that the panel is from."""
    columns, types = panel.columns, panel.types
    table = pa.Table.from_pylist([row for one in forecasts for row in rows_of(one, columns)])
    if not forecasts:
        return table
    typed = {}
    for i, name in enumerate(columns.times):
        kind = types[i]
        typed[name] = _stamps(forecasts, kind) if pa.types.is_temporal(kind) and len(columns.times) == 1 else None
        if typed[name] is None:
            typed[name] = _cast([value for one in forecasts for value in one.parts[i]], kind)
    if columns.id is not None and panel.labels is not None:
        places = {series.id: i for i, series in enumerate(panel.series)}
        rows = [places[one.id] for one in forecasts for _ in one.times]
        typed[columns.id] = panel.labels.take(pa.array(rows))
    for name, column in typed.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _stamps(forecasts: Sequence[Forecast], kind: pa.DataType) -> Any:
    values = np.concatenate([one.stamps for one in forecasts]).astype("datetime64[us]").astype(np.int64)
    zone = getattr(kind, "tz", None)
    times = pc.cast(pa.array(values), pa.timestamp("us", zone))
    return pc.cast(times, kind, safe=False)


def _cast(values: list[Any], kind: pa.DataType) -> Any:
    return pc.cast(pa.array(values), kind)


def template_of(data: Any) -> Any:
    """A data frame of pandas, polars or narwhals without rows, which keeps its types; None for other tables."""
    module = type(data).__module__.partition(".")[0]
    if module == "narwhals":
        return data.head(0)
    if module == "pandas":
        return data.to_frame().iloc[:0] if data.ndim == 1 else data.iloc[:0]
    return data.clear() if module == "polars" and hasattr(data, "clear") else None


def in_frame(table: pa.Table, panel: Panel, template: Any) -> Any:
    """A table of forecasts as a data frame like the template, with the same types of times, ids and index."""
    if template is None:
        return table
    if type(template).__module__.partition(".")[0] == "narwhals":
        narwhals = import_module("narwhals.stable.v1" if "stable.v1" in type(template).__module__ else "narwhals")
        native = template.to_native()
        return narwhals.from_native(in_frame(table, panel, None if isinstance(native, pa.Table) else native))
    names = [*panel.columns.times, *filter(None, (panel.columns.id,))]
    if type(template).__module__.partition(".")[0] == "pandas":
        return _in_pandas(table, names, template)
    return type(template)(table).cast({name: template.schema[name] for name in names if name in template.schema})


def _in_pandas(table: pa.Table, names: Sequence[str], template: Any) -> Any:
    frame = table.to_pandas()
    index = template.index
    single = index.nlevels == 1
    own = {str(name): kind for name, kind in template.dtypes.items()}
    levels = {} if single else {str(name): index.levels[i].dtype for i, name in enumerate(index.names)}
    if single and names and names[0] not in own:
        levels = {names[0]: index.dtype}
    for name in names:
        frame[name] = _as_type(frame[name], own.get(name, levels.get(name)))
    kept = [name for name in levels if name in names and name not in own]
    if not kept:
        return frame
    frame = frame.set_index(kept)
    frame.index.names = [index.name] if single else kept
    return frame


def _as_type(column: Any, kind: Any) -> Any:
    """A column of a pandas data frame with another type, as far as that can hold it."""
    if kind is None or kind == column.dtype:
        return column
    if type(kind).__name__ == "PeriodDtype":
        return column.dt.to_period(kind.freq)
    if type(kind).__name__ == "CategoricalDtype" and not column.isin(kind.categories).all():
        return column.astype(kind.categories.dtype)  # times to come are new categories
    return column.astype(kind)


SPLIT, SPLIT_TEST = (0.8, 0.1, 0.1), (0.9, 0.0, 0.1)
"""Parts of the time for training, choosing and measuring; without a part for choosing if other data choose."""
HORIZONS = (2, 4, 8, 16)
"""Contexts to try, in horizons."""


class SearchedForecaster(Tunable):
    """See `Tunable`."""

    def _search_space(self, *data: Any) -> Space:
        """Returns the declared space, and contexts that suit the horizon and the length of the series."""
        horizon: int = self.horizon  # type: ignore[attr-defined]
        most = most_context([round(SPLIT[0] * _longest(data[0]))], horizon)
        contexts = [horizon * factor for factor in HORIZONS if horizon * factor <= most]
        return {**super()._search_space(*data), **({"context": (None, *contexts)} if contexts else {})}

    def _search_parts(self, data: tuple[Any, ...], valid: Any, test: Any, seed: int) -> Parts:
        """Divides series by time, which every trial does itself."""
        split = self.split  # type: ignore[attr-defined]
        if split is not None:
            own = data if len(split) == 3 and split[2] else None
            return Parts(((data, valid),), own if test is None else test)
        if test is not None:
            return Parts(((data, valid),), test)
        if valid is not None:
            note = "the last tenth of the time measures the result"
            return Parts(((data, valid),), data, note=note, params={"split": SPLIT_TEST})
        note = "the last tenth of the time measures the result, and the tenth before it chooses the parameters"
        return Parts(((data, None),), data, note=note, params={"split": SPLIT})

    def _search_measure(self, *data: Any) -> tuple[str, bool, dict[str, float], Any]:
        found = self.evaluate(*data)  # type: ignore[attr-defined]
        metrics = {name: value for name, value in found.items() if isinstance(value, float)}
        return self._compared_metric, False, metrics, None  # type: ignore[attr-defined]

    def _search_adopt(self, model: Any, data: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        """Becomes a model, and keeps the end of the series, which its folder does not contain."""
        super()._search_adopt(model, data, options)
        self.tail_ = self._tail(self._accept(*data[:3]))  # type: ignore[attr-defined]
        self.kind_, self.notes_ = kind_of(data[0]), []


def _longest(y: Any) -> int:
    """Returns the number of steps of the longest series; for tables that of their rows."""
    if isinstance(y, Panel):
        return max((len(series) for series in y.series), default=0)
    if isinstance(y, Mapping):
        return max((len(column) for column in y.values()), default=0)
    if isinstance(y, list) and y and np.ndim(y[0]):
        return max(map(len, y))
    return len(y)
