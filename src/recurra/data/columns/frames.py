"""Converts data frames and tables of pandas, polars, Arrow and xarray to arrays, columns and Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from recurra.errors import DataError


def refuse_complex(values: np.ndarray, name: str) -> None:
    """Raises `DataError` for complex numbers: a conversion to real ones would drop the imaginary part."""
    held = values.dtype.kind == "O" and any(isinstance(v, complex | np.complexfloating) for v in values.flat)
    if held or values.dtype.kind == "c":
        raise DataError(
            f"{name} holds complex numbers, which a real network cannot read. Complex data not supported: "
            "pass real and imaginary parts as two features, np.stack([x.real, x.imag], axis=-1)"
        )


def refuse_times(values: np.ndarray, name: str) -> None:
    """Raises `DataError` for dates and durations: they would become integers in an arbitrary unit."""
    if values.dtype.kind in "mM":
        raise DataError(f"{name} holds times; pass numbers, such as the days since a date")


def loaded(X: Any, name: str) -> Any:
    """Returns the values of an xarray, and the table of a data set of Hugging Face; other data unchanged.

    Raises:
        DataError: the values are not computed, or they are several arrays.
    """
    module, kind = type(X).__module__.partition(".")[0], type(X).__name__
    if module == "polars" and hasattr(X, "collect"):
        raise DataError(f"{name} is a LazyFrame, whose rows are not computed; call its collect()")
    if module == "xarray" and kind == "Dataset":
        raise DataError(f"{name} is a Dataset of several arrays; pass one of them, or its to_dataframe().reset_index()")
    if module == "xarray":
        return X.values
    if module == "datasets" and kind == "Dataset":
        return X.with_format("arrow")[:]
    return X


def from_pandas(X: Any) -> Any:
    """Converts a pandas series, or a data frame of one column or of numbers only, to an array."""
    if X.ndim == 2:
        if X.shape[1] == 1:
            X = X.iloc[:, 0]
        elif all(dtype.kind in "biufc" for dtype in X.dtypes):
            return matrix_of(X, "X")
        else:
            names = ", ".join(map(str, X.columns[:10]))
            raise DataError(f"X is a table of several columns ({names}); pass the column that holds the sequences")
    return X.to_numpy()


def from_arrow(table: pa.Table) -> Any:
    """Converts a table of one column to this column, and a table of several columns of numbers to an array."""
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if table.num_columns > 1 and all(any(fits(kind) for fits in numeric) for kind in table.schema.types):
        return np.stack([column.to_numpy() for column in table.columns], 1)
    return only_column(table)


def only_column(table: pa.Table) -> pa.ChunkedArray:
    """Returns the column of a table with one column. Raises `DataError` for other tables."""
    if table.num_columns != 1:
        names = ", ".join(table.column_names[:10])
        raise DataError(f"X is a table of several columns ({names}); pass the column that holds the sequences")
    return table.column(0)


def matrix_of(frame: Any, name: str) -> np.ndarray:
    """Returns the numbers of a pandas data frame, `(rows, columns)`, with NaN for missing ones."""
    for column, kind in zip(frame.columns, frame.dtypes, strict=True):
        if kind.kind in "mM" or (kind.kind == "O" and any(isinstance(value, str) for value in frame[column])):
            raise DataError(f'{name} holds {"times" if kind.kind in "mM" else "texts"} in the column "{column}"')
    if any(kind.kind == "c" for kind in frame.dtypes):
        refuse_complex(np.asarray(frame), name)
    kinds = {getattr(kind, "numpy_dtype", kind) for kind in frame.dtypes}
    if len(kinds) == 1 and (kind := kinds.pop()).kind == "f":
        return frame.to_numpy(kind, na_value=np.nan)
    return frame.to_numpy(np.float64, na_value=np.nan)


def names_of(row: Any) -> tuple[str, ...] | None:
    """Returns the names of the columns of a data frame or of the last axis of an xarray; None for other types.

    Raises:
        DataError: two columns have the same name.
    """
    kind = type(row).__module__.partition(".")[0]
    if kind == "xarray" and row.ndim == 2 and row.dims[-1] in row.coords:
        names = row.coords[row.dims[-1]].values.tolist()
    elif kind in ("pandas", "polars") and len(getattr(row, "shape", ())) == 2:
        names = list(row.columns)
    elif isinstance(row, pa.Table):
        names = row.column_names
    else:
        return None
    found = tuple(map(str, names))
    twice = next((name for i, name in enumerate(found) if name in found[:i]), None)
    if twice is not None:
        raise DataError(f'two columns have the name "{twice}"; give every column a different name')
    return found


def step_names_of(X: Any) -> tuple[str, ...] | None:
    """Returns the names of the columns of a table whose rows are sequences.

    Args:
        X: data of any type.

    Returns:
        The names; None for other data, for one column, and if the names are not different texts.

    Example:
        >>> step_names_of(pa.table({"t0": [1.0], "t1": [2.0]}))
        ('t0', 't1')
    """
    if isinstance(X, pa.Table):
        names = X.column_names
    elif type(X).__module__.partition(".")[0] in ("pandas", "polars") and len(getattr(X, "shape", ())) == 2:
        names = list(X.columns)
    else:
        return None
    known = len(names) > 1 and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    return tuple(names) if known else None


def order_of(given: Sequence[str], wanted: Sequence[str], name: str) -> list[int]:
    """Returns the positions of the wanted columns among the given ones.

    Raises:
        DataError: a column is missing, or unknown.
    """
    missing = [column for column in wanted if column not in given]
    unknown = [column for column in given if column not in wanted]
    if missing or unknown:
        parts = [f"lacks {', '.join(missing[:10])}"] if missing else []
        parts += [f"has the unknown {', '.join(unknown[:10])}"] if unknown else []
        raise DataError(f"{name} {' and '.join(parts)}; the model's columns are {', '.join(list(wanted)[:20])}")
    return [list(given).index(column) for column in wanted]


def as_table(data: Any, names: Sequence[str] = ()) -> tuple[pa.Table, str | None] | None:
    """Converts a data frame of pandas or polars, or a dictionary of columns, to an Arrow table; None for other types.

    Args:
        data: an object that may be a table.
        names: names of the requested columns. A level of a pandas index with one of these names becomes a column.

    Returns:
        The table, and the name of the column with the pandas index if the index holds times.
    """
    data = loaded(data, "y")
    if type(data).__module__.partition(".")[0] == "pandas":
        return _of_pandas(data, names)
    if isinstance(data, pa.Table):
        return data, None
    if isinstance(data, dict):
        return pa.table(data), None
    if hasattr(data, "__arrow_c_stream__") and not isinstance(data, pa.ChunkedArray):
        return pa.table(data), None
    return None


def _of_pandas(data: Any, names: Sequence[str]) -> tuple[pa.Table, str | None]:
    index = None
    if data.ndim == 1:
        data = data.to_frame(data.name if data.name is not None else "y")
    if data.index.dtype.kind == "M" or type(data.index).__name__ == "PeriodIndex":
        index = _index_name(data)
        data = data.assign(**{index: data.index})
    else:
        levels = [level for level in data.index.names if level in names and level not in data.columns]
        data = data.reset_index(levels) if levels else data
    data = data.rename(columns=str)
    periods = [name for name, kind in data.dtypes.items() if type(kind).__name__ == "PeriodDtype"]
    data = data.assign(**{name: data[name].dt.to_timestamp() for name in periods})
    for name, kind in data.dtypes.items():
        if kind.kind == "c":
            refuse_complex(data[name].to_numpy(), f"column {name}")
    try:
        return pa.Table.from_pandas(data, preserve_index=False), index
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"the data frame mixes types: {error}") from None
    except (pa.ArrowNotImplementedError, TypeError, ValueError) as error:  # sparse columns, repeated names
        raise DataError(f"the data frame cannot be read: {error}") from None


def _index_name(data: Any) -> str:
    """Returns a name for the column with the date index of pandas. It does not replace a column with other values."""
    taken = set(map(str, data.columns))
    if data.index.name is None:
        return next(name for name in ("time", "index", "date index") if name not in taken)
    name = str(data.index.name)
    if name in taken and not data.index.equals(type(data.index)(data[data.index.name])):
        raise DataError(f'the index and a column are both named "{name}" and differ; rename one of them')
    return name
