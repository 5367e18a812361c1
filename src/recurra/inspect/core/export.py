"""Writes traces to files for other programs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._util.atomic import written

if TYPE_CHECKING:
    import pyarrow as pa
    import xarray

ROWS = 1 << 16
"""Approximate number of rows that are built at a time."""


def to_netcdf(parts: Mapping[str, xarray.Dataset], path: Path) -> None:
    """Writes a netCDF file with a group for each part, or without groups if there is only one part.

    The file is built in memory: the HDF5 library can crash the process when a disk is full.
    """
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    content = io.BytesIO()
    with h5netcdf.File(content, "w") as file:
        for name, data in parts.items():
            group = file if len(parts) == 1 else file.create_group(name.replace("/", " "))
            data.dump_to_store(H5NetCDFStore(group))
    with written(path) as partial:
        partial.write_bytes(content.getbuffer())


def to_parquet(parts: Mapping[str, xarray.Dataset], path: Path) -> None:
    """Writes a Parquet table with a row for each layer, direction, sequence, step and unit, without padding.

    Gates that a part does not have are null in its rows. A projected state has fewer units than the gates; it is null
    for the other units.
    """
    from pyarrow import parquet

    schema = _schema(parts)
    with written(path) as partial, parquet.ParquetWriter(partial, schema) as writer:
        for name, data in parts.items():
            for table in _tables(name, data, schema):
                writer.write_table(table)


def _schema(parts: Mapping[str, xarray.Dataset]) -> pa.Schema:
    """Returns the columns of all parts."""
    import pyarrow as pa

    arrays = {str(name): array for data in parts.values() for name, array in data.data_vars.items()}
    value = pa.from_numpy_dtype(np.result_type(*arrays.values()))
    fields = [("part", pa.string())] if len(parts) > 1 else []
    fields += [("layer", pa.int64()), ("direction", pa.string()), ("batch", pa.int64()), ("time", pa.int64())]
    if any("token" in data.coords for data in parts.values()):
        fields.append(("token", pa.string()))
    return pa.schema([*fields, ("unit", pa.int64()), *((name, value) for name in arrays)])


def _tables(part: str, data: xarray.Dataset, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yields tables, each with some steps of a sequence."""
    import pyarrow as pa

    grid_axes = ("layer", "direction", "time", "unit")
    window = max(1, ROWS // max(1, data.sizes["layer"] * data.sizes["direction"] * data.sizes["unit"]))
    for b in range(data.sizes["batch"]):
        row = data.isel(batch=b)
        steps = int((row["time"] < row["length"]).sum())
        for begin in range(0, steps, window):
            piece = row.isel(time=slice(begin, min(begin + window, steps)))
            grid = np.meshgrid(*[piece[axis].values for axis in grid_axes], indexing="ij")
            columns: dict[str, Any] = {axis: values.ravel() for axis, values in zip(grid_axes, grid, strict=True)}
            columns |= {"part": [part] * grid[0].size, "batch": np.full(grid[0].size, row["batch"].item())}
            if "token" in piece.coords:
                columns["token"] = np.broadcast_to(piece["token"].values[:, None], grid[0].shape).ravel()
            columns |= {str(n): _widened(a.values, data.sizes["unit"]) for n, a in piece.data_vars.items()}
            missing = [None] * grid[0].size
            arrays = [pa.array(columns.get(field.name, missing), field.type) for field in schema]
            yield pa.Table.from_arrays(arrays, schema=schema)


def _widened(values: np.ndarray, units: int) -> Any:
    """Flattens values `(layer, direction, time, size)`, with nulls for units that a projected state does not have."""
    missing = units - values.shape[-1]
    if not missing:
        return values.ravel()
    beyond = np.arange(units) >= values.shape[-1]
    widened = np.pad(values, [(0, 0)] * 3 + [(0, missing)])
    return np.ma.masked_array(widened, np.broadcast_to(beyond, widened.shape)).ravel()
