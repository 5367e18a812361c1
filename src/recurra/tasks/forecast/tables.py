"""Tables of forecasts whose times and ids have the types that they have in the user's table."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.data.columns.panel import Panel

from .result import Forecast, rows_of


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
    """A data frame of pandas or polars without rows, which keeps its types; None for other tables."""
    module = type(data).__module__.partition(".")[0]
    if module == "pandas":
        return data.to_frame().iloc[:0] if data.ndim == 1 else data.iloc[:0]
    return data.clear() if module == "polars" and hasattr(data, "clear") else None


def in_frame(table: pa.Table, panel: Panel, template: Any) -> Any:
    """A table of forecasts as a data frame like the template, with the same types of times, ids and index."""
    if template is None:
        return table
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
